"""What is random about an item comes from (seed, epoch, index), however data sets are wrapped."""

import pickle

import numpy as np
import pytest
from mmengine.dataset import ConcatDataset, RepeatDataset

from detco_mm.datasets.image_folder import ImageFolder
from detco_mm.datasets.sampler import ResumableSampler
from tests.datasets.test_image_folder import VIEWS
from tests.integration.small_run import photographs


@pytest.mark.parametrize('wrap', [lambda folder: folder, lambda folder: RepeatDataset(folder, times=2), None])
def test_wrapped_data_sets_seed_each_item_as_well(wrap, tmp_path):
    def folder():
        return ImageFolder(str(photographs(tmp_path / 'images', 3)), pipeline=VIEWS)

    images = wrap(folder()) if wrap else ConcatDataset([folder(), folder()])
    sampler = ResumableSampler(images, seed=1, shuffle=False)

    def items():
        np.random.seed()  # what a data worker drew before
        return [images[pickle.loads(pickle.dumps(index))]['views'] for index in sampler]

    first, second = items(), items()
    assert all(np.array_equal(*pair) for both in zip(first, second, strict=True) for pair in zip(*both, strict=True))
    if len(images) == 6:  # an image's second turn in an epoch is not its first
        assert not np.array_equal(first[0][0], first[3][0])
