"""Did a pre-training help? One sentence, from detectors fine-tuned from its start, its middle and its end."""

import math
from collections.abc import Sequence

from .results import Difference, Result, paired

#: Points of AP below which a gain does not count. A choice, not a measurement.
MARGIN = 1.0
START, MIDDLE, END = 'start', 'middle', 'end'
#: Settings over a detector's config under which its backbone's weights stay as they are, whatever its class. BN of the
#: backbone keeps to the mode that the config has it in.
FROZEN_BACKBONE = {'optim_wrapper.paramwise_cfg.custom_keys': {'backbone': dict(lr_mult=0.0, decay_mult=0.0)}}


def verdict(
    results: Sequence[Result], task: str, metric: str = 'bbox_mAP', margin: float = MARGIN, start: str = START
) -> str:
    """Say in one sentence whether going from a start to END helps: it does, it does not, or it cannot be told.

    It helps if the 95 % interval of the paired differences lies above 0. It does not if it lies below 0, or reaches
    no gain of `margin`. Otherwise these labels and seeds cannot tell.

    Args:
        results: of the fine-tunings, methods named START, MIDDLE and END.
        task: of the results.
        metric: of the results, a share.
        margin: gain in percentage points below which it is none.
        start: the method to compare END with.

    Raises:
        ValueError: if the two share no seed.
    """
    found = paired(results, task, metric, start).get(END)
    if found is None:
        raise ValueError(f'no seed has been fine-tuned both from {start} and from {END} on {task}: run it to its end')
    if found.half_width is None:
        return (
            f'Cannot tell: {found.mean:+.1f} AP with a single seed is no evidence, for seeds differ; give at least '
            'three with --seeds.'
        )
    low, high = found.mean - found.half_width, found.mean + found.half_width
    measured = f'{found.mean:+.1f} AP against the {start}, 95 % interval {low:+.1f} to {high:+.1f}, {found.seeds} seeds'
    if low > 0:
        return f'It helps: {measured}.'
    if high < 0:
        return f'It does not help, it harms: {measured}.'
    if high < margin:
        return f'It does not help: {measured}, which leaves no room for a gain of {margin:g}.'
    return (
        f'Cannot tell with these labels: {measured}, which holds both nothing and a gain of {margin:g} or more; '
        f'{_way_out(found, margin)}.'
    )


def _way_out(found: Difference, margin: float) -> str:
    """Say how many seeds would do if they differ as they do now: the interval's half width goes with 1 / sqrt(seeds).

    An interval of ±margin / 2 cannot hold both 0 and the margin well within. Few seeds have a wide t, which more
    seeds narrow faster than this says, so it is an upper bound.
    """
    assert found.half_width is not None
    needed = math.ceil(found.seeds * (2 * found.half_width / margin) ** 2)
    if needed > 30:
        return 'label more images, or fine-tune longer: seeds alone would not settle it'
    return f'some {needed} seeds would narrow it to half of that gain, as would more labels'
