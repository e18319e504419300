"""What a run says of a contrast that has stopped to teach."""

import re

import pytest
import torch
from mmengine.hooks import Hook

from detco_mm.engine.hooks import WatchContrast
from detco_mm.engine.hooks.watch_contrast import mean_cosine
from tests.engine.hooks.runs import build, log, scalars
from tests.integration.small_run import photographs

# Twelve images in batches of four, and a queue of eight: it has turned over after two steps.


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp('images'), 12)


class Collapse(Hook):
    """Before some steps, let a projection give the same vector whatever comes in; before others, let it be itself."""

    def __init__(self, alike, restored=()):
        self.alike, self.restored = alike, restored

    def before_train_iter(self, runner, *args, **kwargs):
        model, step = runner.model, runner.iter + 1
        # keys' weights are a moving average of the queries'
        layers = [encoder.neck.projections['global'].res5[2] for encoder in (model, model.key_encoder)]
        for layer in layers:
            if step in self.alike:
                self.saved = layer.weight.data.clone()
                layer.weight.data.zero_()
            elif step in self.restored:
                layer.weight.data.copy_(self.saved)


def train(images, work_dir, *hooks, epochs=2, **arguments):
    watch = dict(type='detco_mm.WatchContrast', **dict(dict(interval=1, max_accuracy=1.0), **arguments))
    # nothing is learnt, so that what is broken stays so
    options = {'train_cfg.max_epochs': epochs, 'optim_wrapper.optimizer.lr': 1e-12}
    runner = build(images, work_dir, [watch], **options)
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    return log(work_dir)


def complaints(written, what):
    return re.findall(rf'WARNING - step (\d+): {what}.*', written)


def test_the_mean_cosine_is_that_of_all_pairs_of_two():
    torch.manual_seed(0)
    keys = torch.nn.functional.normalize(torch.randn(2, 5, 3), dim=2)
    products = keys @ keys.transpose(1, 2)
    expected = (products.sum((1, 2)) - 5) / 20
    torch.testing.assert_close(mean_cosine(keys), expected)
    assert mean_cosine(keys[:, :1].expand(2, 5, 3)).tolist() == pytest.approx([1, 1])


def test_collapsed_keys_are_named_once_with_scope_stage_and_figure(images, tmp_path):
    written = train(images, tmp_path, Collapse(alike=[1]))
    assert complaints(written, 'the keys collapse') == ['2']  # no earlier: the queue had not turned over
    assert re.search(r'the keys collapse.* above 0\.99: global_res5 1\. .*README', written)
    assert scalars(tmp_path)[-1]['key_cosine_global_res5'] > 0.9999
    assert scalars(tmp_path)[-1]['key_cosine_local_res5'] < 0.99


def test_after_a_recovery_the_next_collapse_is_told_again(images, tmp_path):
    written = train(images, tmp_path, Collapse(alike=[1, 7], restored=[4]), epochs=3)
    # two steps, and the queue holds nothing else
    assert complaints(written, 'the keys collapse') == ['2', '8']


def test_queries_that_cannot_tell_their_key_from_the_others_are_at_chance(images, tmp_path):
    written = train(images, tmp_path, Collapse(alike=[1]), interval=3)
    # not at step 3, for the queue had turned over at step 2
    (told,) = re.findall(r'step (\d+): accuracy no better than chance, 0\.11, over 3 steps: (.*?)\. ', written)
    assert told[0] == '6' and 'g2g_res5 0,' in told[1]


def test_an_accuracy_near_one_is_told_with_its_mean_over_the_interval(images, tmp_path):
    written = train(images, tmp_path, interval=3, max_accuracy=0.1)
    (step, told), *more = re.findall(r'step (\d+): accuracy above 0\.1 over 3 steps.*?: (.*?)\. it is a leak', written)
    figures = dict(pair.split() for pair in told.split(', '))
    rows = [row for row in scalars(tmp_path) if int(step) - 3 < row['step'] <= int(step)]
    assert figures and not more and step == '6'
    for pair, figure in figures.items():
        assert float(figure) == pytest.approx(sum(row[f'acc_{pair}'] for row in rows) / 3, rel=1e-3)


def test_a_run_without_cause_for_complaint_makes_none_and_draws_its_cosines(images, tmp_path):
    written = train(images, tmp_path, interval=100)
    assert 'WARNING - step' not in written
    assert 'key_cosine' not in written  # too short a run
    train(images, tmp_path / 'other', interval=2)
    rows = [name for name in scalars(tmp_path / 'other')[-1] if name.startswith('key_cosine_')]
    assert rows == [f'key_cosine_{scope}_res{stage}' for scope in ('global', 'local') for stage in (2, 3, 4, 5)]


@pytest.mark.parametrize('arguments', [dict(interval=0), dict(max_cosine=0), dict(max_accuracy=1.5)])
def test_numbers_out_of_bounds_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        WatchContrast(**arguments)
