"""Packing gives tensors of the contract, and both of MMEngine's collates make batches of them."""

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate, pseudo_collate
from mmselfsup.structures import SelfSupDataSample

from detco_mm.models.preprocessor import DetCoDataPreprocessor
from detco_mm.transforms import PackDetCoInputs


def item(seed):
    """Return views as JigsawPatches leaves them."""
    rng = np.random.default_rng(seed)
    shapes = [(24, 20, 3), (24, 20, 3), (9, 8, 10, 3), (9, 8, 10, 3)]
    views = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]
    return dict(img_path=f'{seed}.jpg', sample_idx=seed, views=views)


def test_views_become_uint8_tensors_with_the_channels_first():
    raw = item(0)
    packed = PackDetCoInputs()(raw)
    for view, tensor in zip(raw['views'], packed['inputs'], strict=True):
        assert tensor.dtype == torch.uint8 and tensor.is_contiguous()
        assert torch.equal(tensor, torch.from_numpy(np.moveaxis(view, -1, -3).copy()))


def test_the_data_sample_knows_the_path():
    sample = PackDetCoInputs()(item(3))['data_samples']
    assert isinstance(sample, SelfSupDataSample)
    assert sample.metainfo == dict(img_path='3.jpg')


@pytest.mark.parametrize('collate', [default_collate, pseudo_collate])
def test_the_preprocessor_takes_batches_of_either_collate(collate):
    items = [item(seed) for seed in range(3)]
    packed = [PackDetCoInputs()(one) for one in items]
    out = DetCoDataPreprocessor(mean=(0, 0, 0), std=(1, 1, 1))(collate(packed))
    assert [tuple(view.shape) for view in out['inputs']] == [(3, 3, 24, 20)] * 2 + [(3, 9, 3, 8, 10)] * 2
    for number, view in enumerate(out['inputs']):
        raw = np.stack([np.moveaxis(one['views'][number], -1, -3) for one in items])
        assert torch.equal(view, torch.from_numpy(raw).float())
    assert [sample.img_path for sample in out['data_samples']] == ['0.jpg', '1.jpg', '2.jpg']
