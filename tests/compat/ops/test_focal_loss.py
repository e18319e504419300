"""Focal losses, compared with loops over rows and classes, and their gradients with finite differences."""

import math

import mmcv.ops
import pytest
import torch

CLASSES = 4
LOGITS = 3 * torch.randn(6, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
WEIGHT = torch.tensor([0.5, 1.0, 2.0, 3.0], dtype=torch.float64)


def sigmoid_loss(row, target, gamma, alpha, weight):
    losses = []
    for number, logit in enumerate(row):
        p = 1 / (1 + math.exp(-logit))
        if number == target:
            losses.append(-alpha * (1 - p) ** gamma * math.log(p) * weight)
        else:
            losses.append(-(1 - alpha) * p**gamma * math.log(1 - p) * weight)
    return losses


def softmax_loss(row, target, gamma, alpha, weight):
    p = math.exp(row[target]) / sum(math.exp(logit) for logit in row)
    return -alpha * (1 - p) ** gamma * math.log(p) * weight if target >= 0 else 0.0


FUNCTIONS = {
    'sigmoid': (mmcv.ops.sigmoid_focal_loss, sigmoid_loss, [0, 1, 2, 3, CLASSES, 1]),  # one is the background
    'softmax': (mmcv.ops.softmax_focal_loss, softmax_loss, [0, 1, 2, 3, -1, 1]),  # one is ignored
}


@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
@pytest.mark.parametrize('kind', FUNCTIONS)
def test_a_focal_loss_is_what_it_is_defined_as(kind, gamma, weighted):
    function, define, targets = FUNCTIONS[kind]
    weights = [WEIGHT[t].item() if weighted and 0 <= t < CLASSES else 1.0 for t in targets]
    rows = zip(LOGITS.tolist(), targets, weights, strict=True)
    expected = torch.tensor([define(row, t, gamma, 0.3, weight) for row, t, weight in rows], dtype=torch.float64)
    arguments = (torch.tensor(targets), gamma, 0.3, WEIGHT if weighted else None)
    torch.testing.assert_close(function(LOGITS, *arguments, 'none'), expected)
    torch.testing.assert_close(function(LOGITS, *arguments, 'sum'), expected.sum())
    torch.testing.assert_close(function(LOGITS, *arguments), expected.sum() / len(LOGITS))
    assert torch.autograd.gradcheck(lambda x: function(x, *arguments, 'none'), LOGITS.clone().requires_grad_())


@pytest.mark.parametrize('gamma', [0.5, 2.0])
@pytest.mark.parametrize('kind', FUNCTIONS)
def test_certain_predictions_have_finite_losses_and_gradients(kind, gamma):
    function, _, targets = FUNCTIONS[kind]
    for scale in (1e3, -1e3):
        logits = (scale * torch.eye(6, CLASSES)).requires_grad_()
        loss = function(logits, torch.tensor(targets), gamma, 0.25)
        loss.backward()
        assert loss.isfinite() and logits.grad.isfinite().all()


def test_a_focal_loss_of_no_rows_can_be_summed():
    for function, _, _ in FUNCTIONS.values():
        assert function(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), 2.0, 0.25, None, 'sum') == 0


def test_modules_take_class_weights_and_an_unknown_reduction_is_named():
    targets = torch.tensor([0, 1, 2, 3, 0, 1])
    for module, (function, _, _) in zip(
        (mmcv.ops.SigmoidFocalLoss, mmcv.ops.SoftmaxFocalLoss), FUNCTIONS.values(), strict=True
    ):
        found = module(2.0, 0.25, WEIGHT, 'sum')(LOGITS, targets)
        assert torch.equal(found, function(LOGITS, targets, 2.0, 0.25, WEIGHT, 'sum'))
        with pytest.raises(ValueError, match='reduction is "median"'):
            function(LOGITS, targets, 2.0, 0.25, None, 'median')


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_stays_what_it_is(dtype):
    for function, _, targets in FUNCTIONS.values():
        found = function(LOGITS.to(dtype), torch.tensor(targets))
        assert found.dtype == dtype
        assert math.isclose(found, function(LOGITS, torch.tensor(targets)), rel_tol=2e-2)
