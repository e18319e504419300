"""oneDNN's products against PyTorch's own, in the layouts that the loss and the projections have."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from detco_mm.models import products
from detco_mm.models.products import Linear, times_transposed


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(('rows', 'columns', 'inner'), [(8, 4096, 128), (1, 1, 1), (300, 5, 7), (0, 3, 4)])
def test_every_layout_gives_the_product(rows, columns, inner, dtype):
    torch.manual_seed(0)
    left, right = torch.randn(rows, inner, dtype=dtype), torch.randn(columns, inner, dtype=dtype)
    expected = (left.double() @ right.double().T).to(dtype)
    for one in (left, left.T.contiguous().T, left.repeat_interleave(2, 1)[:, ::2]):
        for other in (right, right.T.contiguous().T):
            made = times_transposed(one, other)
            assert made.dtype == dtype and made.is_contiguous()
            torch.testing.assert_close(made, expected)


@pytest.mark.parametrize('shape', [(4, 6), (2, 9, 6)])
@pytest.mark.parametrize('onednn', [True, False])
def test_a_linear_layer_and_its_gradients_are_pytorchs(shape, onednn, monkeypatch):
    if onednn and not products._HAS_ONEDNN:
        pytest.skip('this PyTorch has no oneDNN')
    monkeypatch.setattr(products, '_HAS_ONEDNN', onednn)
    torch.manual_seed(0)
    ours, theirs = Linear(6, 5), nn.Linear(6, 5)
    theirs.load_state_dict(ours.state_dict())
    inputs = torch.randn(shape)
    found = []
    for layer in (ours, theirs):
        given = inputs.clone().requires_grad_()
        made = layer(given)
        made.square().sum().backward()
        found.append((made, given.grad, layer.weight.grad, layer.bias.grad))
    for mine, expected in zip(*found, strict=True):
        torch.testing.assert_close(mine, expected)


@pytest.mark.skipif(not products._HAS_ONEDNN, reason='this PyTorch has no oneDNN')
def test_float32_on_a_cpu_goes_to_onednn():
    called = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            called.append(str(func))
            return func(*args, **(kwargs or {}))

    with Watch():
        Linear(6, 5)(torch.randn(4, 6)).sum().backward()
    assert called.count('mkldnn._linear_pointwise.default') == 3


def test_a_gradient_that_is_one_number_for_all_is_no_special_case():
    layer, inputs = Linear(6, 5), torch.randn(4, 6)
    layer(inputs).sum().backward()  # its gradient is expanded, with strides of 0
    torch.testing.assert_close(layer.weight.grad, inputs.sum(0).expand(5, 6))


def test_frozen_weights_need_no_gradient():
    layer = Linear(6, 5).requires_grad_(False)
    assert not layer(torch.randn(4, 6)).requires_grad
    inputs = torch.randn(4, 6, requires_grad=True)
    layer(inputs).sum().backward()
    assert inputs.grad is not None and layer.weight.grad is None
