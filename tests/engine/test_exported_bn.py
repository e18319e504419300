"""BN statistics of an export."""

import re
from functools import partial

import pytest
import torch

from detco_mm.checkpoints.reading import load_checkpoint
from detco_mm.engine.exported_bn import reestimated
from detco_mm.weights import export_backbone
from tests.engine.hooks.runs import build
from tests.integration.commands import ran
from tests.integration.small_run import photographs


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp('images'), 8)


@pytest.fixture(scope='module')
def run(images, tmp_path_factory):
    """A work dir whose last checkpoint has statistics of whole images."""
    folder = tmp_path_factory.mktemp('run')
    build(images, folder, [dict(type='detco_mm.ReestimateBN'), dict(type='detco_mm.RecordPixels')]).train()
    return folder


def export(checkpoint, **arguments):
    return export_backbone(checkpoint, checkpoint.with_name('out.pth'), statistics=partial(reestimated, **arguments))


def test_a_checkpoint_from_before_the_end_is_given_what_the_last_one_has_already(run):
    last = export(run / 'iter_4.pth')
    assert last['meta']['sha256'] == export_backbone(run / 'iter_4.pth', run / 'as_it_is.pth')['meta']['sha256']
    early = export(run / 'iter_3.pth')
    assert early['meta']['bn_statistics'] == last['meta']['bn_statistics']
    assert early['meta']['bn_statistics'] == 're-estimated on 8 images without augmentation of 32 x 32 pixels'
    kept = export_backbone(run / 'iter_3.pth', run / 'kept.pth')
    differ = {n for n, tensor in kept['state_dict'].items() if not torch.equal(tensor, early['state_dict'][n])}
    assert differ == {n for n in kept['state_dict'] if re.search('running_|num_batches', n)}
    assert 'bn_statistics' not in kept['meta']


def test_the_same_images_give_the_statistics_of_the_end_of_the_run(run, images):
    last, again = export_backbone(run / 'iter_4.pth', run / 'a.pth'), export(run / 'iter_4.pth', images=images)
    torch.testing.assert_close(again['state_dict'], last['state_dict'])


def test_other_images_give_other_statistics_also_of_the_key_encoder(run, tmp_path):
    few = photographs(tmp_path / 'few', 2)
    found = export_backbone(
        run / 'iter_4.pth', tmp_path / 'key.pth', 'key', statistics=partial(reestimated, images=few)
    )
    assert 'on 2 images' in found['meta']['bn_statistics']
    own = load_checkpoint(run / 'iter_4.pth')['state_dict']
    assert not torch.equal(found['state_dict']['bn1.running_mean'], own['key_encoder.backbone.bn1.running_mean'])
    assert torch.equal(found['state_dict']['conv1.weight'], own['key_encoder.backbone.conv1.weight'])


def test_where_the_images_are_gone_the_statistics_stay_and_that_is_said(run, images, tmp_path):
    checkpoint = load_checkpoint(run / 'iter_3.pth')
    weights = {'a': torch.zeros(1)}
    with pytest.raises(ValueError, match='of 1 image: --images needs two'):
        reestimated(checkpoint, weights, photographs(tmp_path / 'one', 1))
    checkpoint['meta']['cfg'] = checkpoint['meta']['cfg'].replace(str(images), '/nowhere')
    assert reestimated(checkpoint, weights) == (weights, None)
    assert reestimated(dict(state_dict=weights), weights) == (weights, None)
    with pytest.raises(ValueError, match='holds no config of a pre-training'):
        reestimated(dict(state_dict=weights), weights, images)
    text = checkpoint['meta']['cfg'].replace('/nowhere', str(images)).replace('detco_mm.ImageFolder', 'CocoDataset')
    assert reestimated(dict(meta=dict(cfg=text)), weights) == (weights, None)  # a detector's


@pytest.mark.parametrize(
    'part', ['type="ResNet"', 'type="detco_mm.DetCoViews"', 'type="default_collate"', 'type="detco_mm.ImageFolder"']
)
def test_a_checkpoint_of_somebody_else_has_nothing_called(part, run, images, tmp_path):
    checkpoint = load_checkpoint(run / 'iter_3.pth')
    text, part = checkpoint['meta']['cfg'], part.replace('"', "'")
    assert part in text
    checkpoint['meta']['cfg'] = text.replace(part, f"type='mmengine.mkdir_or_exist', dir_name='{tmp_path}/called'")
    # another data set makes it no pre-training's, and nothing of it is built either
    with pytest.raises(ValueError, match='only classes of OpenMMLab are built|holds no config of a pre-training'):
        reestimated(checkpoint, {}, images)
    assert not (tmp_path / 'called').exists()


def test_the_tool_says_what_was_done(run, images, tmp_path):
    out = tmp_path / 'backbone.pth'
    said = ran('export_backbone.py', str(run / 'iter_3.pth'), str(out), '--images', str(images))
    assert 'BN statistics re-estimated on 8 images' in said
    meta = torch.load(out, weights_only=True)['meta']
    assert meta['bn_statistics'].startswith('re-estimated on 8 images')
    assert 'as in the checkpoint\n' in ran('export_backbone.py', str(run / 'iter_3.pth'), str(out), '--keep-statistics')
