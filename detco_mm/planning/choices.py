"""What the images, the backbone and the machine say about the settings of a pre-training, each with its reason."""

from dataclasses import dataclass
from typing import Any

from detco_mm.planning.facts import Facts

#: Images below which nothing is chosen: a queue of 8 keys and two batches of 8 are the least that contrasts anything.
MIN_IMAGES = 16
#: The paper's views, in pixels: MoCo v2's global ones, patches of PIRL's jigsaw.
_GLOBAL, _LOCAL, _PATCH = 224, 255, 64
#: What one CPU core can bear (configs/adapt/), and what leaves the map of stride 32 a neighbourhood.
_CPU_SIDE, _MIN_SIDE = 96, 96
#: The paper's batch over all GPUs, and configs/adapt's on a CPU.
_BATCH, _CPU_BATCH = 256, 32
#: Share of the memory for what the query's forward pass keeps; the rest is for keys, gradients, libraries. Chosen.
_SHARE = 0.5
#: The paper's queue.
_QUEUE = 65536
#: The paper's training on ImageNet, and configs/adapt's share of it; few images are seen more often, many less often.
_EPOCHS, _GO_ON_EPOCHS = 200, 8
#: Steps below which a queue of thousands has hardly turned over, and those of the paper's 200 epochs. Chosen.
_MIN_STEPS, _GO_ON_MIN_STEPS, _MAX_STEPS = 5000, 1000, 200 * 1_281_167 // 256
#: On a CPU, what is done over night with a small network: a second a step. Chosen.
_CPU_STEPS, _CPU_GO_ON_STEPS = 20_000, 4000


@dataclass(frozen=True)
class Choice:
    """A setting.

    Args:
        name: of it, as a variable of the written config.
        value: a literal.
        reason: in a sentence or two.
    """

    name: str
    value: Any
    reason: str


def choose(facts: Facts, epochs: int | None = None, batch_size: int | None = None) -> list[Choice]:
    """Choose what a user cannot know.

    Args:
        facts: what was found.
        epochs: as the user wants it.
        batch_size: of each GPU, as the user wants it.

    Returns:
        global_size, local_size, patch_size, global_scale, batch_size, queue_len, key_momentum, max_epochs, optimizer,
        warmup, bn_splits, precision, num_workers, checkpoint_interval and log_interval, in this order.

    Raises:
        ValueError: if there are too few images, or of `epochs` and `batch_size` one is not possible.
    """
    if facts.images < MIN_IMAGES:
        raise ValueError(
            f'{facts.images} images: DetCo learns by telling images apart, and that takes {MIN_IMAGES} at least, and '
            'some thousands to be worth it'
        )
    if epochs is not None and epochs < 1:
        raise ValueError(f'epochs={epochs}: it is how often each image is seen, 1 at least')
    found = _views(facts)
    sizes = {choice.name: choice.value for choice in found}
    batch = _batch(facts, sizes, batch_size)
    joint = batch.value * max(1, facts.gpus)
    steps_an_epoch = facts.images // joint
    queue = _queue(facts, joint)
    length = _length(facts, steps_an_epoch, epochs)
    steps = length.value * steps_an_epoch
    warmup = min(max(-(-queue.value // joint), steps // 20), max(1, steps // 5))
    return [
        *found,
        batch,
        queue,
        _momentum(steps),
        length,
        _optimizer(facts, joint),
        Choice(
            'warmup',
            warmup,
            f'Of {steps} steps in all: until the queue holds real keys, or a twentieth, at most a fifth. The cosine '
            'behind it ends with the training.',
        ),
        _groups(facts),
        _precision(facts),
        _workers(facts),
        Choice('checkpoint_interval', -(-length.value // 20), 'Epochs: some twenty in all, the last three are kept.'),
        Choice('log_interval', min(50, steps_an_epoch), 'Steps; at least one line an epoch.'),
    ]


def _views(facts: Facts) -> list[Choice]:
    limit = _GLOBAL if facts.gpus else _CPU_SIDE
    side = max(_MIN_SIDE, min(limit, int(facts.side) // 32 * 32))
    seen = f'Half of the images have a shorter side of at most {facts.side:g} pixels'
    if side == _GLOBAL:
        why, patch, local = f"{seen}: the paper's size.", _PATCH, _LOCAL
    else:
        # in proportion, in whole 16s, and never below one cell of the map of stride 32
        patch = max(32, round(side * _PATCH / _GLOBAL / 16) * 16)
        local = 3 * patch
        if side < limit:
            why = f'{seen}: larger views would be enlarged ones.'
        elif facts.side < side:
            why = f'{seen}, which views enlarge: smaller ones leave the last map no neighbourhood.'
        else:
            why = f"A CPU bears no more; on a GPU it would be up to {_GLOBAL}, the paper's."
    low, scale = 0.2, "MoCo v2's range of a view's share of the image."
    if facts.side > 4 * side:
        # a view of a fifth of the area is then shrunk by more than 0.45 * 4, and small objects vanish; chosen
        low = round(max(0.05, 0.2 * 4 * side / facts.side), 2)
        scale = (
            f"The images are {facts.side / side:.0f} times as large as views: MoCo v2's 0.2 would shrink small objects "
            'to nothing.'
        )
    return [
        Choice('global_size', side, f'Pixels. {why}'),
        Choice('local_size', local, 'Pixels, of a local view: three patches side by side.'),
        Choice('patch_size', patch, 'Pixels.'),
        Choice('global_scale', (low, 1.0), scale),
    ]


def _batch(facts: Facts, sizes: dict[str, Any], wanted: int | None) -> Choice:
    most = facts.images // 2
    if wanted is not None:
        if not 2 <= wanted * max(1, facts.gpus) <= most:
            raise ValueError(
                f'batch_size={wanted} on {max(1, facts.gpus)} process(es) for {facts.images} images: an epoch has two '
                f'whole batches at least, so {most // max(1, facts.gpus)} at most, and a batch two images'
            )
        return Choice('batch_size', wanted, 'Images on each GPU; as it was asked for.')
    if most < 2 * max(1, facts.gpus):
        raise ValueError(
            f'{facts.images} images on {facts.gpus} GPUs: each needs two images in each of two batches; take fewer GPUs'
        )
    pixels = sizes['global_size'] ** 2 + 9 * sizes['patch_size'] ** 2
    each = facts.saved * pixels * (0.5 if facts.bf16 else 1)
    # query and key encoder, gradients, and up to two moments of the optimizer, in float32
    left = max(0.0, facts.memory - 5 * 4 * facts.weights) * _SHARE
    fits = int(left / each)
    limit = _BATCH // facts.gpus if facts.gpus else _CPU_BATCH
    # eight steps an epoch, so that keys are not mostly those of the batch before
    sensible = max(min(4, most // max(1, facts.gpus)), facts.images // 8 // max(1, facts.gpus))
    value = 2 ** (max(2, min(limit, fits, sensible)).bit_length() - 1)
    where = f'a GPU of {facts.memory / 2**30:.0f} GiB' if facts.gpus else f'{facts.memory / 2**30:.0f} GiB'
    why = (
        f"The paper's {_BATCH} over {facts.gpus} GPU(s)"
        if facts.gpus and value == limit
        else "configs/adapt's on a CPU"
        if value == limit
        else f'An eighth of {facts.images} images'
        if sensible <= fits
        else f'What {where} holds'
    )
    return Choice(
        'batch_size', value, f'Images on each GPU. {why}; a power of two. One takes {each / 2**20:.0f} MiB; {where}.'
    )


def _queue(facts: Facts, joint: int) -> Choice:
    longest = min(_QUEUE, facts.images - 1)
    value = 2 ** (longest.bit_length() - 1)
    if value % joint:
        value = max(1, longest // joint) * joint
    return Choice(
        'queue_len',
        value,
        f"Keys. The paper's {_QUEUE}."
        if value == _QUEUE
        else f'Keys, in whole batches. {facts.images} images: a longer queue would hold an image twice, once as a '
        'false negative.',
    )


def _momentum(steps: int) -> Choice:
    if steps >= 20_000:
        return Choice('key_momentum', 0.999, "MoCo's: the key encoder averages over some 1000 steps.")
    return Choice(
        'key_momentum', 0.996, f'The key encoder averages over 250 steps; with 0.999 it would hardly move in {steps}.'
    )


def _length(facts: Facts, steps_an_epoch: int, wanted: int | None) -> Choice:
    if wanted is not None:
        return Choice('max_epochs', wanted, f'{wanted * steps_an_epoch} steps; as it was asked for.')
    usual, least = (_GO_ON_EPOCHS, _GO_ON_MIN_STEPS) if facts.starts else (_EPOCHS, _MIN_STEPS)
    most = _MAX_STEPS if facts.gpus else _CPU_GO_ON_STEPS if facts.starts else _CPU_STEPS
    if not facts.gpus:
        least = min(least, most)
    epochs = usual
    why = "configs/adapt's, to go on from weights" if facts.starts else "the paper's"
    if usual * steps_an_epoch < least:
        epochs, why = (
            -(-least // steps_an_epoch),
            f'so few images are seen more often, until it is {least} steps',
        )
    elif usual * steps_an_epoch > most:
        epochs = max(1, most // steps_an_epoch)
        why = 'what a CPU bears; a GPU does more' if not facts.gpus else 'so many images need not be seen as often'
    return Choice('max_epochs', epochs, f'{epochs * steps_an_epoch} steps: {why}. More is better; this is not tuned.')


def _optimizer(facts: Facts, joint: int) -> Choice:
    if facts.starts:
        rate = float(f'{2e-4 * (joint / 32) ** 0.5:.2g}')
        value = dict(type='AdamW', lr=rate, weight_decay=0.01, fused=True)
        why = "To go on from weights: configs/adapt's low rate, 2e-4 at a batch of 32, by the square root of the batch."
    elif facts.batch_norm:
        value = dict(type='SGD', lr=float(f'{0.03 * joint / 256:.2g}'), momentum=0.9, weight_decay=1e-4, fused=True)
        why = "MoCo v2's, 0.03 at a batch of 256, in proportion to the batch."
    else:
        value = dict(type='AdamW', lr=float(f'{1.5e-4 * joint / 256:.2g}'), weight_decay=0.1, fused=True)
        why = "A network without BN: MoCo v3's AdamW, 1.5e-4 at a batch of 256, in proportion to the batch."
    return Choice('optimizer', value, why)


def _groups(facts: Facts) -> Choice:
    if not facts.batch_norm:
        return Choice('bn_splits', 1, 'This backbone has no BN, so nothing can leak through it.')
    return Choice('bn_splits', 'auto', 'So that BN does not tell keys by their batch: one process imitates several.')


def _precision(facts: Facts) -> Choice:
    if facts.bf16:
        return Choice('precision', 'detco_mm.BFloat16OptimWrapper', 'This device computes in bf16.')
    return Choice('precision', 'OptimWrapper', 'float32: this CPU has no instructions for bf16.')


def _workers(facts: Facts) -> Choice:
    if facts.gpus:
        value = max(1, min(8, facts.cores // facts.gpus - 1))
        return Choice('num_workers', value, f'Processes that load images, for each GPU; {facts.cores} cores in all.')
    value = 0 if facts.cores <= 2 else 1
    return Choice('num_workers', value, f'Training itself takes the {facts.cores} cores of this CPU.')
