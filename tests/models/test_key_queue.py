"""The ring buffer."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detco_mm.models import KeyQueue
from tests.devices import also_on_gpu


@settings(max_examples=60, deadline=None)
@given(length=st.integers(1, 12), batches=st.lists(st.integers(1, 12), max_size=8))
def test_the_queue_holds_the_newest_keys_whatever_the_batch_sizes(length, batches):
    queue = KeyQueue(num_rows=2, length=length, dim=1)
    history = [queue.keys[:, [place]].clone() for place in range(length)]
    written = 0
    for size in (size for size in batches if size <= length):
        keys = torch.arange(written, written + size).view(1, -1, 1) + torch.tensor([10.0, 1000.0]).view(2, 1, 1)
        queue.enqueue(keys)
        history += [keys[:, [place]] for place in range(size)]
        written += size
        assert int(queue.pointer) == written % length
        oldest_first = torch.cat([queue.keys[:, int(queue.pointer) :], queue.keys[:, : int(queue.pointer)]], dim=1)
        assert torch.equal(oldest_first, torch.cat(history[-length:], dim=1))


@also_on_gpu
def test_a_batch_longer_than_the_queue_is_refused_with_the_way_out():
    queue = KeyQueue(num_rows=1, length=256, dim=4)
    before = queue.keys.clone()
    with pytest.raises(
        ValueError, match='batch of 512 keys does not fit a queue of 256: raise model.queue_len or lower'
    ):
        queue.enqueue(torch.randn(1, 512, 4))
    assert torch.equal(queue.keys, before)


def test_the_queue_starts_as_unit_vectors_and_is_part_of_the_checkpoint():
    queue = KeyQueue(num_rows=3, length=5, dim=7)
    torch.testing.assert_close(queue.keys.norm(dim=2), torch.ones(3, 5))
    assert set(queue.state_dict()) == {'keys', 'pointer'}


@pytest.mark.parametrize('field', ['num_rows', 'length', 'dim'])
def test_an_empty_queue_is_refused(field):
    with pytest.raises(ValueError, match='must be at least 1'):
        KeyQueue(**dict(dict(num_rows=1, length=1, dim=1), **{field: 0}))


@also_on_gpu
@pytest.mark.parametrize('bad', [float('nan'), float('inf'), -float('inf')])
def test_a_key_that_is_not_finite_never_enters_and_the_old_one_of_its_slot_stays(bad):
    queue = KeyQueue(num_rows=2, length=5, dim=3)
    queue.enqueue(torch.ones(2, 4, 3))
    before = queue.keys.clone()
    keys = torch.full((2, 3, 3), 2.0)
    keys[1, 1, 2] = bad  # goes to slot 0, behind the end of the ring
    queue.enqueue(keys)
    expected = before.clone()
    expected[:, [4, 0, 1]] = 2.0
    expected[1, 0] = before[1, 0]
    assert torch.equal(queue.keys, expected)
    assert int(queue.pointer) == 2


def test_an_unknown_type_of_storage_is_named_with_those_there_are():
    with pytest.raises(ValueError, match="queue_dtype='int8'.*float32, float16, bfloat16"):
        KeyQueue(num_rows=1, length=4, dim=2, dtype='int8')


@also_on_gpu
@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_a_half_queue_is_the_float32_one_rounded_and_its_checkpoint_keeps_the_type(dtype, tmp_path):
    queues = []
    for storage in ('float32', dtype):
        torch.manual_seed(0)
        queue = KeyQueue(num_rows=2, length=5, dim=3, dtype=storage)
        queue.enqueue(torch.randn(2, 4, 3))
        queue.enqueue(torch.randn(2, 3, 3))
        queues.append(queue)
    whole, half = queues
    assert half.keys.dtype == getattr(torch, dtype) and torch.equal(half.keys, whole.keys.to(half.keys.dtype))
    torch.save(half.state_dict(), tmp_path / 'queue.pth')
    resumed = KeyQueue(num_rows=2, length=5, dim=3, dtype=dtype)
    resumed.load_state_dict(torch.load(tmp_path / 'queue.pth', weights_only=True))
    assert torch.load(tmp_path / 'queue.pth')['keys'].dtype == half.keys.dtype
    assert torch.equal(resumed.keys, half.keys) and int(resumed.pointer) == int(half.pointer) == 2


def test_enqueueing_reads_nothing_back_from_the_device():
    queue = KeyQueue(num_rows=1, length=8, dim=2).to('meta')  # where a tensor has no value to read
    queue.enqueue(torch.randn(1, 6, 2, device='meta'))
