"""Several gloo ranks against one process."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper

from detco_mm.models.shuffle_bn import draw_permutation, shuffle, unshuffle
from tests.integration.ranks import on_ranks
from tests.models.test_detco import build, total, views


def shuffle_there_and_back(rank):
    images = torch.arange(rank * 6, rank * 6 + 6).float().view(6, 1).expand(6, 3)
    permutation = draw_permutation(6 * torch.distributed.get_world_size(), images.device)
    shuffled = shuffle(images, permutation)
    strided = shuffled.t().contiguous().t()  # as the encoder's keys come, the stage first
    return images, permutation, shuffled, unshuffle(strided, permutation)


@pytest.mark.parametrize('world', [2, 3])
def test_each_rank_encodes_its_part_of_one_permutation_and_gets_its_own_keys_back(world):
    results = on_ranks(shuffle_there_and_back, world)
    permutation = results[0][1]
    assert all(torch.equal(result[1], permutation) for result in results)
    assert torch.equal(torch.cat([result[2][:, 0] for result in results]).long(), permutation)
    assert all(torch.equal(result[0], result[3]) for result in results)


def train_three_steps(rank, counts, dtype='float32'):
    torch.manual_seed(rank)  # what is drawn on a rank must not matter where ranks must agree
    model = build(queue_dtype=dtype)
    for tensor in model.state_dict().values():  # as Runner.train does after initialisation
        torch.distributed.broadcast(tensor, 0)
    model = MMDistributedDataParallel(model, broadcast_buffers=False)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), accumulative_counts=counts)
    wrapper.initialize_count_status(model, 0, 4)
    for step in range(4):
        model.train_step(dict(inputs=views(seed=10 * step + rank)), wrapper)
    state = {k: v for k, v in model.module.state_dict().items() if 'running_' not in k and 'num_batches' not in k}
    return state


@pytest.mark.parametrize(('counts', 'dtype'), [(1, 'float32'), (2, 'float32'), (1, 'float16'), (2, 'bfloat16')])
def test_ranks_agree_on_queues_pointers_and_weights_after_steps(counts, dtype):
    first, second = on_ranks(train_three_steps, 2, counts, dtype)
    assert int(first['queue.pointer']) == 32 and first['queue.keys'].dtype == getattr(torch, dtype)
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0, msg=name)


def loss_of_a_part(rank, state, batch):
    model = build().eval()
    model.load_state_dict(state)
    wrapped = MMDistributedDataParallel(model, broadcast_buffers=False)
    losses = wrapped([view.chunk(2)[rank] for view in batch], mode='loss')
    total(losses).backward()
    return {k: v.detach() for k, v in losses.items()}, model.backbone.conv1.weight.grad, model.queue.keys


def test_two_ranks_lose_what_one_process_loses_on_the_joined_batch_with_bn_frozen():
    model = build().eval()
    state, batch = {k: v.clone() for k, v in model.state_dict().items()}, views(8)
    first, second = on_ranks(loss_of_a_part, 2, state, batch)
    losses = model.loss(batch)
    total(losses).backward()
    for name, value in losses.items():
        torch.testing.assert_close((first[0][name] + second[0][name]) / 2, value.detach(), msg=name)
    torch.testing.assert_close(first[1], model.backbone.conv1.weight.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(first[2], model.queue.keys, rtol=1e-5, atol=1e-6)
    assert torch.allclose(F.normalize(first[2], dim=2), first[2], atol=1e-5)
