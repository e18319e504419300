"""A pre-training ends with BN statistics of whole images."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from detco_mm.datasets import ImageFolder
from detco_mm.engine.bn_statistics import average_statistics, reestimate, unaugmented
from detco_mm.engine.hooks import ReestimateBN
from tests.engine.hooks.runs import build, log, saved
from tests.integration.ranks import on_ranks
from tests.integration.small_run import photographs

# Eight images in batches of four: two steps an epoch.
HOOK = [dict(type='detco_mm.ReestimateBN')]


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp('images'), 8)


@pytest.fixture(scope='module')
def runs(images, tmp_path_factory):
    """Work dirs of runs of two epochs with and without the hook, and their models."""
    found = {}
    for name, hooks in (('with', HOOK), ('without', [])):
        folder = tmp_path_factory.mktemp(name)
        runner = build(images, folder, hooks)
        runner.train()
        found[name] = folder, runner
    return found


def statistics(state):
    return {key: tensor for key, tensor in state.items() if 'running_' in key or 'num_batches' in key}


def differing(one, other):
    return {key for key in one if not torch.equal(one[key], other[key])}


def test_the_last_checkpoint_alone_has_other_statistics_and_says_of_what(runs):
    (done, _), (left, _) = runs['with'], runs['without']
    for step in (1, 3, 4):
        one, other = saved(done, step), saved(left, step)
        expected = set(statistics(one['state_dict'])) if step == 4 else set()
        # Counters are 2 batches now, and were 2 a step.
        assert differing(one['state_dict'], other['state_dict']) == expected
        assert ('bn_statistics' in one['meta']) == (step == 4)
    assert one['meta']['bn_statistics'] == 're-estimated on 8 images without augmentation of 32 x 32 pixels'
    assert any(key.startswith('key_encoder.backbone.') for key in expected)
    assert f'BN statistics of both encoders: {one["meta"]["bn_statistics"]}, in ' in log(done)


def test_they_are_the_mean_of_batches_of_images_as_they_are(runs):
    folder, runner = runs['with']
    plain = unaugmented(runner.train_dataloader.dataset)
    shown = [plain[index]['inputs'][0] for index in range(8)]
    assert torch.equal(shown[0], plain[0]['inputs'][0])  # nothing is drawn
    batch = runner.model.data_preprocessor(dict(inputs=[torch.stack(shown)]), False)['inputs'][0]
    first = runner.model.backbone.conv1(batch)
    norm = runner.model.backbone.bn1
    torch.testing.assert_close(norm.running_mean, first.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    assert int(norm.num_batches_tracked) == 2 and norm.training and norm.momentum == 0.1


def test_a_run_that_goes_on_trains_as_if_nothing_had_been_done(runs, images):
    ends = []
    for folder, _ in runs.values():
        hooks = HOOK if folder == runs['with'][0] else []
        build(images, folder, hooks, resume=folder / 'iter_4.pth', **{'train_cfg.max_epochs': 3}).train()
        ends.append(saved(folder, 6)['state_dict'])
    assert differing(*ends) == set(statistics(ends[0]))


def test_a_loop_that_counts_steps_ends_so_as_well(images, tmp_path):
    runner = build(images, tmp_path, [dict(HOOK[0], num_batches=1, plain=False)])
    runner._train_loop = dict(type='IterBasedTrainLoop', max_iters=3)
    runner.train()
    assert saved(tmp_path, 3)['meta']['bn_statistics'] == 're-estimated on 4 global views of 32 x 32 pixels'
    assert 'bn_statistics' not in saved(tmp_path, 2)['meta']


class Views(torch.utils.data.Dataset):
    """Four items of one view."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        return dict(inputs=[5 + torch.randn(3, 8, 8, generator=generator)])


class Preprocessor(nn.Module):
    def forward(self, data, training):
        assert not training
        return data


def estimate(backbone):
    return reestimate([backbone.train()], Preprocessor(), DataLoader(Views(), batch_size=2), 200)


def test_without_bn_nothing_is_done_and_frozen_bn_stays_as_it_is():
    assert estimate(nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4))) is None
    frozen = nn.BatchNorm2d(3)
    backbone = nn.Sequential(frozen, nn.BatchNorm2d(3))
    frozen.train = lambda mode=True: nn.Module.train(frozen, False)  # what norm_eval=True comes to
    assert estimate(backbone) == 're-estimated on 4 global views of 8 x 8 pixels'
    assert torch.equal(frozen.running_mean, torch.zeros(3)) and not frozen.training
    assert (backbone[1].running_mean > 4).all()


def test_what_is_dropped_in_training_is_not_dropped_here():
    backbone = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm2d(3))
    estimate(backbone)
    assert (backbone[1].running_var < 2).all() and backbone[0].training


def averaged(rank):
    norm = nn.BatchNorm1d(3)
    batches = [torch.full((2, 3), float(rank)) + torch.tensor([[1.0], [-1.0]])] * 2
    average_statistics([norm], batches, norm)
    return norm.running_mean, norm.running_var


def test_all_ranks_end_with_the_mean_over_them():
    for mean, variance in on_ranks(averaged, 2):
        assert torch.equal(mean, torch.full((3,), 0.5)) and torch.equal(variance, torch.full((3,), 2.0))


def test_skips_are_those_of_the_training_and_pixels_are_read_alike(images):
    views = dict(type='detco_mm.DetCoViews', global_size=16, pixels=dict(channels=1), max_pixels=5000)
    pipeline = [views, dict(type='detco_mm.JigsawPatches'), dict(type='detco_mm.PackDetCoInputs')]
    dataset = ImageFolder(str(images), pipeline=pipeline)
    plain = unaugmented(dataset)
    assert plain[0]['inputs'][0].shape == (1, 16, 16) and plain.skips.tried == 1 and dataset.skips.tried == 0
    assert unaugmented(Views()) is None


def test_a_number_below_one_is_refused():
    with pytest.raises(ValueError, match='at least 1'):
        ReestimateBN(num_batches=0)
