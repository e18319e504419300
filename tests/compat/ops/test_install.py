"""mmcv.ops is importable without a compiled module, and what it lacks is said when it is called."""

import mmcv.ops
import pytest
import torch

from detco_mm.compat import ops


def test_an_operation_without_a_substitute_is_named_when_it_is_called():
    with pytest.raises(ops.MissingOperationError, match='mmcv.ops has no "carafe" here'):
        mmcv.ops.carafe(torch.rand(1, 2, 4, 4), torch.rand(1, 25, 4, 4), 5, 1, 1)


def test_modules_of_mmcv_use_the_substitutes():
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [1.0, 1.0, 10.0, 10.0], [20.0, 20.0, 30.0, 30.0]])
    assert mmcv.ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5)[1].tolist() == [0, 2]
    pooled = mmcv.ops.RoIAlign(2)(torch.ones(1, 3, 32, 32), torch.cat([torch.zeros(3, 1), boxes], 1))
    assert torch.equal(pooled, torch.ones(3, 3, 2, 2))
