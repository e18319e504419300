"""The streaming loss against the plain formulation."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from detco_mm.models import info_nce
from detco_mm.models.info_nce import HELD, stream
from tests.devices import also_on_gpu


def plain_info_nce(query, key, queue, temperature):
    """Concatenate all logits, cross-entropy, autograd: MoCo's pseudocode."""
    logits = torch.cat([(query * key).sum(1, keepdim=True), query @ queue.T], dim=1) / temperature
    loss = F.cross_entropy(logits, torch.zeros(len(query), dtype=torch.long), reduction='none')
    return loss, logits.argmax(1) == 0


def vectors(*shape, dtype=torch.float64):
    return F.normalize(torch.randn(*shape, dtype=dtype), dim=-1)


@also_on_gpu
@pytest.mark.parametrize('length', [1, 7, 4096, 9000])
@pytest.mark.parametrize('temperature', [0.2, 0.07, 0.005])
def test_loss_gradient_and_hits_equal_the_plain_formulation(length, temperature):
    torch.manual_seed(length)
    query, key, queue = vectors(6, 16).requires_grad_(), vectors(6, 16), vectors(length, 16)
    grad = torch.rand(6, dtype=torch.float64)
    loss, hit = info_nce(query, key, queue, temperature)
    expected, expected_hit = plain_info_nce(query, key, queue, temperature)
    (ours,) = torch.autograd.grad(loss, query, grad)
    (theirs,) = torch.autograd.grad(expected, query, grad)
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    assert torch.equal(hit, expected_hit)


def test_gradient_passes_gradcheck():
    torch.manual_seed(0)
    query, key, queue = vectors(3, 5).requires_grad_(), vectors(3, 5), vectors(11, 5)
    assert torch.autograd.gradcheck(lambda q: info_nce(q, key, queue, 0.2)[0], query)


@also_on_gpu
def test_single_precision_agrees_to_a_millionth():
    torch.manual_seed(0)
    query, key, queue = vectors(8, 128), vectors(8, 128), vectors(5000, 128)
    expected, _ = plain_info_nce(query, key, queue, 0.2)
    loss, _ = info_nce(query.float(), key.float(), queue.float(), 0.2)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=0)


@also_on_gpu
def test_keys_and_queue_receive_no_gradient_and_do_not_change():
    query, key, queue = vectors(4, 8).requires_grad_(), vectors(4, 8).requires_grad_(), vectors(9, 8)
    before = queue.clone()
    info_nce(query, key, queue, 0.2)[0].sum().backward()
    assert key.grad is None and query.grad is not None
    assert torch.equal(queue, before)


@also_on_gpu
def test_half_precision_queries_are_contrasted_in_the_precision_of_the_queue():
    query, key, queue = (vectors(4, 8, dtype=torch.float32) for _ in range(3))
    with torch.autocast(query.device.type, torch.bfloat16):
        loss, _ = info_nce(query.bfloat16(), key, queue, 0.2)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, plain_info_nce(query.bfloat16().float(), key, queue, 0.2)[0])


@also_on_gpu
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_changes_no_bit_of_loss_hits_and_gradient(dtype):
    torch.manual_seed(0)
    query, key, queue = (vectors(count, 128, dtype=torch.float32) for count in (8, 8, 5000))
    results = []
    for enabled in (False, True):
        asking = query.clone().requires_grad_()
        with torch.autocast(query.device.type, dtype, enabled=enabled):
            assert (query @ queue.T).dtype == (dtype if enabled else torch.float32)  # it is at work
            loss, hit = info_nce(asking, key, queue, 0.2)
            loss.sum().backward()
        results.append((loss, hit, asking.grad))
    for plain, cast in zip(*results, strict=True):
        assert plain.dtype == cast.dtype and torch.equal(plain, cast)


@also_on_gpu
@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
@pytest.mark.parametrize('where', ['query', 'key', 'queue'])
def test_a_loss_that_is_not_finite_has_a_gradient_that_is_not(where, bad):
    torch.manual_seed(0)
    given = dict(query=vectors(4, 8), key=vectors(4, 8), queue=vectors(9, 8))
    given[where][0, 0] = bad
    given['query'].requires_grad_()
    loss, _ = info_nce(**given, temperature=0.2)
    loss.sum().backward()
    broken = ~loss.isfinite()
    assert broken.any() and not given['query'].grad[broken].isfinite().all(1).any()


@also_on_gpu
@pytest.mark.parametrize(('dtype', 'of_loss', 'of_gradient'), [('float16', 1e-6, 4e-6), ('bfloat16', 4e-6, 4e-5)])
def test_a_half_queue_of_the_papers_size_costs_what_the_docstring_of_the_queue_says(dtype, of_loss, of_gradient):
    torch.manual_seed(0)
    centre = vectors(1, 128)  # keys of a young network lie in a cone
    query, key, queue = (F.normalize(vectors(n, 128) + centre, dim=1) for n in (16, 16, 65536))
    query.requires_grad_()
    exact, _ = info_nce(query, key, queue, 0.2)
    loss, _ = info_nce(query, key, queue.to(getattr(torch, dtype)), 0.2)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), exact, rtol=of_loss, atol=0)
    wanted, got = (torch.autograd.grad(value.sum(), query)[0] for value in (exact, loss))
    assert 1e-7 < (got - wanted).norm() / wanted.norm() < of_gradient


def test_a_half_queue_is_converted_chunk_by_chunk():
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            made = func(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor) and made.dtype == torch.float32:
                largest = max(largest, made.numel())
            return made

    query, key, queue = (vectors(n, 8, dtype=torch.float32) for n in (4, 4, 5 * 4096))
    with Watch():
        info_nce(query, key, queue.half(), 0.2)
    assert largest == 4096 * 8


@also_on_gpu
@pytest.mark.parametrize('chunk', [7, 2048, 5000])
@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_all_stages_in_one_pass_are_what_they_are_one_by_one(chunk, dtype, tolerance):
    torch.manual_seed(0)
    query, key, queue = (vectors(4, n, 32, dtype=dtype) for n in (6, 6, 2100))
    asking = query.clone().requires_grad_()
    expected, expected_hit = info_nce(asking, key, queue, 0.2)
    (expected_gradient,) = torch.autograd.grad(expected.sum(), asking)
    singly = [info_nce(*stage, 0.2) for stage in zip(query, key, queue, strict=True)]
    stages = zip(*singly, strict=True)
    assert all(torch.equal(a, torch.stack(b)) for a, b in zip((expected, expected_hit), stages, strict=True))
    loss, hit, gradient = stream(query, key, queue, 0.2, chunk)
    assert torch.equal(hit, expected_hit)
    for found, wanted in ((loss, expected), (gradient, expected_gradient)):
        assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()


class Largest(TorchDispatchMode):
    """Numbers in the largest tensor that is made, and the operations that are no views."""

    def __init__(self):
        super().__init__()
        self.numbers, self.operations = 0, 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **(kwargs or {}))
        self.operations += not operation.is_view
        if isinstance(made, torch.Tensor) and not operation.is_view:
            self.numbers = max(self.numbers, made.numel())
        return made


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
@pytest.mark.parametrize('rows', [1, 64, 512, 4096])
def test_on_a_device_a_pass_holds_no_more_than_its_bound_in_few_operations(rows, dtype):
    query = torch.empty(4, rows, 128, device='meta')
    queue = torch.empty(4, 65536, 128, device='meta', dtype=dtype)
    with Largest() as seen:
        info_nce(query, query, queue, 0.2)
    assert seen.numbers == HELD if rows >= 512 else seen.numbers < HELD
    assert seen.operations <= 30 + 20 * max(1, 4 * rows * 65536 / HELD)
