"""A probe tells whether a run is learning, and changes nothing of it."""

import json
import random
import time

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from detco_mm.engine.hooks import Probe
from detco_mm.visualization.curves import pretraining_curves
from detco_mm.visualization.scalars import evaluations, read_rows
from tests.engine.hooks.runs import build, log, saved, scalars
from tests.integration.ranks import on_ranks
from tests.integration.small_run import photographs

STATES = []


@HOOKS.register_module()
class NoteStates(Hook):
    """Note all generators' states and all modes when each step begins and when each epoch has ended."""

    priority = 'VERY_LOW'

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        modes = [module.training for module in runner.model.modules()]
        generators = random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()
        STATES.append((modes, generators))

    def after_train_epoch(self, runner):
        self.before_train_iter(runner, 0)


@pytest.fixture(scope='module')
def labelled(tmp_path_factory):
    """Eight photographs of 64 x 64 pixels, two boxes of two classes on each."""
    folder = photographs(tmp_path_factory.mktemp('images'), 8)
    objects = [
        dict(
            id=2 * at + side + 1,
            image_id=at,
            category_id=side + 1,
            bbox=[2 + 30 * side, 4, 28, 50],
            area=1400,
            iscrowd=0,
        )
        for at in range(8)
        for side in range(2)
    ]
    images = [dict(id=at, file_name=f'{at:02d}.jpg', width=64, height=64) for at in range(8)]
    categories = [dict(id=1, name='left'), dict(id=2, name='right')]
    path = tmp_path_factory.mktemp('labels') / 'labels.json'
    path.write_text(json.dumps(dict(images=images, annotations=objects, categories=categories)))
    return folder, dict(type='detco_mm.Probe', ann_file=str(path), data_prefix=str(folder), size=64, folds=2)


@pytest.fixture(scope='module')
def runs(labelled, tmp_path_factory):
    """Work dirs of runs of two epochs of two steps, with a probe that may take all the time, and without; states."""
    images, hook = labelled
    found = {}
    for name, hooks in (('with', [dict(hook, max_share=1.0)]), ('without', [])):
        folder = tmp_path_factory.mktemp(name)
        STATES.clear()
        build(images, folder, [*hooks, dict(type='NoteStates')]).train()
        found[name] = folder, list(STATES)
    return found


def test_training_is_the_same_to_the_bit_with_and_without(runs):
    (probed, states), (plain, others) = runs['with'], runs['without']
    assert states == others and len(states) == 6
    for step in (1, 2, 4):
        one, other = saved(probed, step), saved(plain, step)
        assert all(torch.equal(value, other['state_dict'][name]) for name, value in one['state_dict'].items())
        assert str(one['optimizer']) == str(other['optimizer'])
    losses = [[row['loss'] for row in scalars(folder) if 'loss' in row] for folder in (probed, plain)]
    assert losses[0] == losses[1] and len(losses[0]) == 4


def test_the_curve_has_its_start_and_one_point_an_epoch(runs):
    folder = runs['with'][0]
    rows = [row for row in read_rows(folder) if 'probe/mean' in row]
    assert [row['step'] for row in rows] == [0, 2, 4]
    stages = [f'{kind}_{stage}' for kind in ('knn', 'linear') for stage in ('res2', 'res3', 'res4', 'res5')]
    for row in rows:
        values = [row[f'probe/{name}'] for name in stages]
        assert all(0 <= value <= 1 for value in values) and row['probe/mean'] == pytest.approx(np.mean(values))
        assert 0 <= row['probe/alignment_local_res3'] <= 4 and 0 < row['probe/share'] < 1
    assert 'probe/rank_global_res5' not in rows[0]  # no key has entered the queue
    assert 1 <= rows[1]['probe/rank_global_res5'] <= 8 and rows[1]['probe/uniformity_local_res2'] < 0
    said = log(folder)
    assert '16 boxes of 2 classes on 8 images, BN by the statistics of each batch, 2 folds by image' in said
    assert 'probe at step 0: mean ' in said and '% of the run so far' in said
    assert not evaluations(rows)
    assert any(name.startswith('Probe') for name in pretraining_curves(read_rows(folder)))


def test_the_checkpoint_of_the_best_probe_is_kept_sealed(runs):
    folder = runs['with'][0]
    rows = [row for row in read_rows(folder) if 'probe/mean' in row]
    best = max(rows, key=lambda row: row['probe/mean'])
    kept = torch.load(folder / 'best_probe.pth', weights_only=True)
    assert (
        kept['meta']['iter'] == best['step']
        and kept['message_hub']['runtime_info']['best_probe']['step'] == best['step']
    )
    assert saved(folder, 4)['message_hub']['runtime_info'].keys() >= {'best_probe'}
    if best['step']:
        last = saved(folder, best['step'])['state_dict']
        assert all(torch.equal(value, last[name]) for name, value in kept['state_dict'].items())


def test_what_would_take_too_much_time_is_skipped_and_that_is_said(labelled, tmp_path):
    images, hook = labelled
    build(images, tmp_path, [dict(hook, max_share=1e-6)]).train()
    assert [row['step'] for row in scalars(tmp_path) if 'probe/mean' in row] == [0]
    assert 'probe skipped after epoch 1: it would take some' in log(tmp_path)


def test_without_labels_nothing_is_done_and_wrong_settings_are_named(labelled, tmp_path):
    images, hook = labelled
    with pytest.raises(ValueError, match='interval=0: it is a number of epochs'):
        Probe(interval=0)
    with pytest.raises(ValueError, match='max_share=5: it is a share of the run'):
        Probe(max_share=5)
    with pytest.raises(ValueError, match='too few boxes for a probe of 9 folds'):
        build(images, tmp_path, [dict(hook, folds=9)]).train()


def fails_on_the_first(rank):
    began = time.monotonic()
    hook = Probe('labels.json')
    hook._probe_here = lambda *_: {}['an error of the first rank']
    try:
        hook._probe(None, 0, None)
    except KeyError as error:
        return str(error), time.monotonic() - began
    return None


def works_on_the_first(rank):
    calls = []
    hook = Probe('labels.json')
    hook._probe_here = lambda *arguments: calls.append(arguments)
    hook._probe(None, 0, None)
    return len(calls)


def both(rank):
    return fails_on_the_first(rank)[0], works_on_the_first(rank)


def test_one_rank_computes_and_all_hear_of_its_errors():
    assert on_ranks(both, 2) == [("'an error of the first rank'", 1), ("'an error of the first rank'", 0)]
