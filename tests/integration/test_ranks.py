"""Several gloo ranks against one process."""

import copy
import itertools
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset, DefaultSampler, InfiniteSampler, RepeatDataset
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from torch.utils.data import DataLoader

from detco_mm.datasets.sampler import ResumableSampler
from detco_mm.engine import settings
from detco_mm.engine.checks import check_contrast_batches
from detco_mm.engine.train_loop import ResumableTrainLoop
from detco_mm.models.shuffle_bn import Draws, Shuffle
from tests.integration.ranks import on_ranks
from tests.models.test_detco import build, freeze_bn, total, views


def shuffle_there_and_back(rank):
    torch.manual_seed(rank)  # what is drawn on a rank must not matter
    images = torch.arange(rank * 6, rank * 6 + 6).float().view(6, 1).expand(6, 3)
    permutation = Draws().permutation(6 * torch.distributed.get_world_size())
    shuffle = Shuffle(permutation, images.device)
    shuffled, other = shuffle.there([images, images[:, None, :2] + 0.5])
    strided = shuffled.t().contiguous().t()  # as the encoder's keys come, the stage first
    return images, torch.from_numpy(permutation), shuffled, shuffle.back(strided), other


@pytest.mark.gpu
@pytest.mark.parametrize('world', [2, 3])
def test_each_rank_encodes_its_part_of_one_permutation_and_gets_its_own_keys_back(world):
    results = on_ranks(shuffle_there_and_back, world)
    permutation = results[0][1]
    assert all(torch.equal(result[1], permutation) for result in results)
    assert torch.equal(torch.cat([result[2][:, 0] for result in results]).long(), permutation)
    assert all(torch.equal(result[0], result[3]) for result in results)
    # two views leave together and arrive each as what it was
    assert all(torch.equal(result[2][:, None, :2] + 0.5, result[4]) for result in results)


class Sent:
    """Notes what leaves by all-to-all."""

    def __init__(self):
        self.sent = []
        self._all_to_all = torch.distributed.all_to_all_single

    def __call__(self, received, rows, **splits):
        self.sent.append((rows.dtype, tuple(rows.shape)))
        return self._all_to_all(received, rows, **splits)


def losses_from_bytes_and_from_floats(rank):
    torch.manual_seed(0)
    torch.distributed.all_to_all_single = sent = Sent()
    generator = torch.Generator('cpu').manual_seed(rank)
    shapes = [(4, 3, 32, 32)] * 2 + [(4, 9, 3, 16, 16)] * 2
    drawn = dict(dtype=torch.uint8, generator=generator, device='cpu')
    data = dict(inputs=[torch.randint(0, 256, shape, **drawn) for shape in shapes])
    model = build(data_preprocessor=dict(type='detco_mm.DetCoDataPreprocessor', channels_last=True))
    model.to(torch.get_default_device())
    state = {name: value.clone() for name, value in model.state_dict().items()}
    found = []
    for copied in (False, True):
        model.load_state_dict(state)
        model._draws = Draws()
        wrapped = MMDistributedDataParallel(model, broadcast_buffers=False)
        inputs = model.data_preprocessor(data, True)['inputs']
        losses = wrapped([view.clone() for view in inputs] if copied else inputs, mode='loss')
        found.append({name: value.detach() for name, value in losses.items()} | {'queue': model.queue.keys.clone()})
    return *found, sent.sent


@pytest.mark.gpu
def test_views_leave_in_one_exchange_as_bytes_which_changes_no_bit_of_the_losses():
    for bytes_, floats, sent in on_ranks(losses_from_bytes_and_from_floats, 2):
        assert all(torch.equal(bytes_[name], floats[name]) for name in floats)
        pixels = 3 * 32 * 32 + 9 * 3 * 16 * 16
        keys = (torch.float32, (4, 8, 16))
        assert sent == [(torch.uint8, (4, pixels)), keys, (torch.float32, (4, pixels)), keys]


def train_three_steps(rank, counts, dtype='float32'):
    torch.manual_seed(rank)  # what is drawn on a rank must not matter where ranks must agree
    model = build(queue_dtype=dtype)
    for tensor in model.state_dict().values():  # as Runner.train does after initialisation
        torch.distributed.broadcast(tensor, 0)
    model = MMDistributedDataParallel(model, broadcast_buffers=False)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), accumulative_counts=counts)
    wrapper.initialize_count_status(model, 0, 4)
    loop, pointers = SimpleNamespace(runner=SimpleNamespace(model=model, optim_wrapper=wrapper)), []
    for step in range(4):
        with ResumableTrainLoop._within_optimizer_step(loop):
            model.train_step(dict(inputs=views(seed=10 * step + rank)), wrapper)
        pointers.append(int(model.module.queue.pointer))
    state = {k: v for k, v in model.module.state_dict().items() if 'running_' not in k and 'num_batches' not in k}
    return state, pointers


@pytest.mark.gpu
@pytest.mark.parametrize(('counts', 'dtype'), [(1, 'float32'), (2, 'float32'), (1, 'float16'), (2, 'bfloat16')])
def test_ranks_agree_on_queues_pointers_and_weights_after_steps(counts, dtype):
    (first, pointers), (second, _) = on_ranks(train_three_steps, 2, counts, dtype)
    assert pointers == ([8, 16, 24, 32] if counts == 1 else [0, 16, 16, 32])  # once an optimizer step, DDP or not
    assert first['queue.keys'].dtype == getattr(torch, dtype)
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0, msg=name)


def two_steps(model, batches):
    """Train; return the losses of each step, and all weights and the queue after them."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for batch in batches:
        losses.append(model(batch, mode='loss'))
        optimizer.zero_grad()
        total(losses[-1]).backward()
        optimizer.step()
    state = getattr(model, 'module', model).state_dict()
    return [{name: loss.detach() for name, loss in step.items()} for step in losses], state


def two_steps_of_a_part(rank, state, batches):
    model = freeze_bn(build(momentum=0.9))
    model.load_state_dict(state)
    world = torch.distributed.get_world_size()
    parts = [[view.chunk(world)[rank] for view in batch] for batch in batches]
    return two_steps(MMDistributedDataParallel(model, broadcast_buffers=False), parts)


@pytest.mark.gpu
@pytest.mark.parametrize('world', [2, 8])
def test_ranks_learn_what_one_process_learns_on_the_joined_batch_with_bn_frozen(world):
    model = freeze_bn(build(momentum=0.9))
    state, batches = copy.deepcopy(model.state_dict()), [views(8, seed) for seed in range(2)]
    ranks = on_ranks(two_steps_of_a_part, world, state, batches)
    losses, learnt = two_steps(model, batches)
    for step, expected in enumerate(losses):
        for name, value in expected.items():
            found = torch.stack([of_rank[step][name] for of_rank, _ in ranks]).mean()
            torch.testing.assert_close(found, value, rtol=1e-4, atol=1e-5, msg=f'step {step}, {name}')
    for name, value in learnt.items():
        torch.testing.assert_close(ranks[0][1][name], value, rtol=1e-3, atol=1e-5, msg=name)
        assert all(torch.equal(ranks[0][1][name], other[name]) for _, other in ranks), name
    assert int(learnt['queue.pointer']) == 16


class Numbers(BaseDataset):
    """Seven entries."""

    def load_data_list(self):
        return [dict(number=number) for number in range(7)]


def sizes_of_batches(rank):
    """For each way to set a loader: what the check says, and the sizes of the batches that this rank would have."""
    sets = dict(
        seven=Numbers(), indices=Numbers(indices=6), few=Numbers(indices=3), thrice=RepeatDataset(Numbers(), times=3)
    )
    samplers = [(kind, dict(round_up=up)) for kind in (DefaultSampler, ResumableSampler) for up in (True, False)]
    found = {}
    for (name, images), (kind, arguments), drop_last, workers in itertools.product(
        sets.items(), [*samplers, (InfiniteSampler, {})], (True, False), (0, 1)
    ):
        sampler = kind(images, seed=0, **arguments)
        options = dict(num_workers=workers, persistent_workers=workers > 0, drop_last=drop_last)
        loader = DataLoader(images, 2, sampler=sampler, **options)
        try:
            said = check_contrast_batches(loader)
        except ValueError as error:
            said = str(error)
        sizes = [len(batch) for batch in itertools.islice(loader.batch_sampler, 20)]
        found[name, kind.__name__, *arguments.values(), drop_last, workers] = said, sizes
    return found


def test_ranks_whose_batches_would_differ_are_refused_and_no_others():
    first, second = on_ranks(sizes_of_batches, 2)
    refused = 0
    for way, (said, sizes) in first.items():
        assert second[way][0] == said, way  # all ranks say the same
        equal = sizes == second[way][1]
        assert equal == isinstance(said, int), way
        assert not equal or not sizes or said == sizes[-1], way
        refused += not equal
    assert refused == 20  # odd numbers of images that are not rounded up
    said, _ = first['seven', 'ResumableSampler', False, True, 0]
    assert said.startswith('the first rank has 7 images and 2 batches of 2, the last one of 2; rank 1 has 7 images and')
    assert '1 batches of 2' in said and 'set train_dataloader.drop_last=True' in said


def write_checkpoint(folder, step):
    torch.save(dict(meta=dict(iter=step), state_dict={}), folder / f'iter_{step}.pth')
    return folder


def what_is_chosen(rank, cases, blind):
    found = []
    for folders in cases:
        try:
            found.append(settings._newest_checkpoint(Config(dict(work_dir=str(folders[rank])))))
        except ValueError as error:
            found.append(str(error))
    size = settings._size
    settings._size = lambda path: -1 if rank == 1 else size(path)  # as on a machine with a disk of its own
    try:
        settings._newest_checkpoint(Config(dict(work_dir=str(blind))))
    except ValueError as error:
        found.append(str(error))
    return found


def test_the_first_rank_chooses_the_checkpoint_and_all_follow(tmp_path):
    names = ('fresh', 'stale', 'empty', 'broken')
    folders = {name: tmp_path / name for name in names}
    for folder in folders.values():
        folder.mkdir()
    write_checkpoint(write_checkpoint(folders['fresh'], 1), 2)
    write_checkpoint(folders['stale'], 1)
    (folders['broken'] / 'iter_3.pth').write_bytes(b'PK')
    fresh, stale, empty, broken = folders.values()
    cases = [(fresh, stale), (stale, fresh), (empty, fresh), (fresh, broken), (broken, fresh)]
    first, second = on_ranks(what_is_chosen, 2, cases, fresh)
    assert first == second
    assert first[:4] == [fresh / 'iter_2.pth', stale / 'iter_1.pth', None, fresh / 'iter_2.pth']
    assert 'none of 1 checkpoints' in first[4]
    assert 'and rank 1 sees no such file there: give a --work-dir on a file system that all machines share' in first[5]
