"""mmcv.ops is importable without a compiled module, and what it lacks is said when it is called."""

import importlib.util
import sys

import mmcv.ops
import mmcv.utils
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


def test_a_report_of_the_environment_says_that_nothing_is_compiled():
    assert mmcv.utils.collect_env()['MMCV Compiler'] == 'not compiled'


def test_a_compiled_module_is_found_before_the_substitutes(tmp_path, monkeypatch):
    assert isinstance(importlib.util.find_spec('mmcv._ext').loader, ops._Finder)
    (tmp_path / '_ext.py').write_text('')
    monkeypatch.setattr(mmcv, '__path__', [*mmcv.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, 'mmcv._ext')
    assert importlib.util.find_spec('mmcv._ext').origin == str(tmp_path / '_ext.py')


def test_the_substitutes_are_offered_once():
    assert ops.install() is False and sum(isinstance(finder, ops._Finder) for finder in sys.meta_path) == 1
