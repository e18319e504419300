"""What is chosen for which images and machines."""

import dataclasses

import pytest

from detco_mm.planning import Facts, choose

LAPTOP = dict(gpus=0, memory=16 * 2**30, cores=8, bf16=False)
GPU = dict(gpus=1, memory=80 * 2**30, cores=16, bf16=True)
#: ResNet-50, as `backbone_facts` finds it.
RESNET = dict(batch_norm=True, weights=23_508_032, saved=1712.0)
FEW = Facts(images=300, side=480, channels=3, starts=False, **RESNET, **LAPTOP)


def chosen(facts=FEW, **more):
    wanted = {name: more.pop(name) for name in ('epochs', 'batch_size') if name in more}
    return {choice.name: choice.value for choice in choose(dataclasses.replace(facts, **more), **wanted)}


@pytest.mark.parametrize('machine', [LAPTOP, GPU, dict(GPU, gpus=8)], ids=['CPU', 'GPU', '8 GPUs'])
@pytest.mark.parametrize('images', [32, 60, 300, 3000, 30_000, 1_281_167])
@pytest.mark.parametrize('starts', [False, True])
def test_all_of_it_fits_together(machine, images, starts):
    found = chosen(images=images, starts=starts, **machine)
    joint = found['batch_size'] * max(1, machine['gpus'])
    steps = images // joint * found['max_epochs']
    assert joint <= images / 2 and found['queue_len'] < images and found['queue_len'] % joint == 0
    assert 0 < found['warmup'] <= steps / 5 + 1
    assert found['local_size'] >= 3 * found['patch_size'] and found['patch_size'] >= 32
    assert 1 <= found['checkpoint_interval'] <= found['max_epochs']
    assert 1 <= found['log_interval'] <= images // joint
    assert steps >= 1000 or machine is LAPTOP


def test_the_papers_data_on_the_papers_gpus_get_the_papers_recipe():
    found = chosen(images=1_281_167, side=375, **dict(GPU, gpus=8, memory=32 * 2**30, bf16=False))
    assert (found['batch_size'], found['queue_len'], found['max_epochs']) == (32, 65536, 200)
    assert (found['global_size'], found['local_size'], found['patch_size']) == (224, 255, 64)
    assert found['optimizer']['type'] == 'SGD' and found['optimizer']['lr'] == 0.03 and found['key_momentum'] == 0.999
    assert found['global_scale'] == (0.2, 1.0) and found['bn_splits'] == 'auto'


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        (dict(starts=True), dict(optimizer=dict(type='AdamW', lr=2e-4, weight_decay=0.01, fused=True))),
        (dict(side=130, **GPU), dict(global_size=128, patch_size=32, local_size=96)),
        (dict(side=20), dict(global_size=96)),
        (dict(side=4000, **GPU), dict(global_size=224, global_scale=(0.05, 1.0))),
        (dict(batch_norm=False), dict(bn_splits=1)),
        (dict(GPU, images=30_000, memory=2 * 2**30), dict(batch_size=8)),
        (dict(GPU, images=30_000), dict(batch_size=256, precision='detco_mm.BFloat16OptimWrapper')),
        (dict(epochs=7), dict(max_epochs=7)),
        (dict(batch_size=5), dict(batch_size=5, queue_len=295)),
        (dict(cores=2), dict(num_workers=0)),
    ],
)
def test_each_fact_has_its_say(given, expected):
    found = chosen(**given)
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (dict(images=15), '15 images: .* takes 16 at least'),
        (dict(GPU, images=16, gpus=8), '16 images on 8 GPUs: .* fewer GPUs'),
        (dict(epochs=0), 'epochs=0: .* 1 at least'),
        (dict(batch_size=151), 'batch_size=151 .* 150 at most'),
        (dict(batch_size=1), 'batch_size=1 .* two images'),
    ],
)
def test_what_cannot_be_is_said(given, message):
    with pytest.raises(ValueError, match=message):
        chosen(**given)


def test_every_choice_has_a_reason_that_holds_its_numbers():
    reasons = {choice.name: choice.reason for choice in choose(FEW)}
    assert all(reasons.values())
    assert '300 images' in reasons['queue_len'] and '16 GiB' in reasons['batch_size']
    assert '8 cores' in reasons['num_workers'] and '5000 steps' in reasons['max_epochs']
