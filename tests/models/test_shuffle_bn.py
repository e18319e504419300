"""The order in which keys are encoded, on one process."""

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub

from detco_mm.models.shuffle_bn import Draws, Shuffle


@pytest.fixture
def hub():
    """The message hub of a run at some step."""
    found = MessageHub.get_current_instance()
    kept = {name: found.get_info(name) for name in ('seed', 'iter')}
    found.update_info_dict(dict(seed=3, iter=7))
    yield found
    found.update_info_dict(kept)


def test_an_order_comes_from_seed_and_step_alone(hub):
    torch.manual_seed(0)
    first = Draws().permutation(64)
    assert sorted(first) == list(range(64))
    torch.manual_seed(1)
    assert np.array_equal(Draws().permutation(64), first)  # of a run that was resumed at this step
    others = []
    for name, value in (('iter', 8), ('seed', 4)):
        hub.update_info(name, value)
        others.append(Draws().permutation(64))
    assert not any(np.array_equal(first, other) for other in others)


def test_where_nobody_counts_steps_each_order_is_another(hub):
    draws = Draws()
    orders = [draws.permutation(64) for _ in range(3)]
    assert len({tuple(order) for order in orders}) == 3


def test_one_process_puts_its_images_in_order_and_back():
    images = torch.arange(12.0).view(6, 2)
    permutation = np.array([3, 5, 0, 1, 4, 2])
    shuffle = Shuffle(permutation, images.device)
    (there,) = shuffle.there([images])
    assert torch.equal(there, images[torch.from_numpy(permutation)])
    assert torch.equal(shuffle.back(there), images)
