"""The streaming loss against the plain formulation."""

import pytest
import torch
import torch.nn.functional as F

from detco_mm.models import info_nce


def plain_info_nce(query, key, queue, temperature):
    """Concatenate all logits, cross-entropy, autograd: MoCo's pseudocode."""
    logits = torch.cat([(query * key).sum(1, keepdim=True), query @ queue.T], dim=1) / temperature
    loss = F.cross_entropy(logits, torch.zeros(len(query), dtype=torch.long), reduction='none')
    return loss, logits.argmax(1) == 0


def vectors(*shape, dtype=torch.float64):
    return F.normalize(torch.randn(*shape, dtype=dtype), dim=-1)


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


def test_single_precision_agrees_to_a_millionth():
    torch.manual_seed(0)
    query, key, queue = vectors(8, 128), vectors(8, 128), vectors(5000, 128)
    expected, _ = plain_info_nce(query, key, queue, 0.2)
    loss, _ = info_nce(query.float(), key.float(), queue.float(), 0.2)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=0)


def test_keys_and_queue_receive_no_gradient_and_do_not_change():
    query, key, queue = vectors(4, 8).requires_grad_(), vectors(4, 8).requires_grad_(), vectors(9, 8)
    before = queue.clone()
    info_nce(query, key, queue, 0.2)[0].sum().backward()
    assert key.grad is None and query.grad is not None
    assert torch.equal(queue, before)


def test_half_precision_queries_are_contrasted_in_the_precision_of_the_queue():
    query, key, queue = (vectors(4, 8, dtype=torch.float32) for _ in range(3))
    with torch.autocast('cpu', torch.bfloat16):
        loss, _ = info_nce(query.bfloat16(), key, queue, 0.2)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, plain_info_nce(query.bfloat16().float(), key, queue, 0.2)[0])


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_changes_no_bit_of_loss_hits_and_gradient(dtype):
    torch.manual_seed(0)
    query, key, queue = (vectors(count, 128, dtype=torch.float32) for count in (8, 8, 5000))
    results = []
    for enabled in (False, True):
        asking = query.clone().requires_grad_()
        with torch.autocast('cpu', dtype, enabled=enabled):
            assert (query @ queue.T).dtype == (dtype if enabled else torch.float32)  # it is at work
            loss, hit = info_nce(asking, key, queue, 0.2)
            loss.sum().backward()
        results.append((loss, hit, asking.grad))
    for plain, cast in zip(*results, strict=True):
        assert plain.dtype == cast.dtype and torch.equal(plain, cast)


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
    from torch.utils._python_dispatch import TorchDispatchMode

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
