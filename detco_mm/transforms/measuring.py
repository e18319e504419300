"""A look at some files before the first step: what their pixels are, and which range of values to stretch."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from mmengine.logging import print_log

from detco_mm.transforms import sources
from detco_mm.transforms.decoding import MAX_PIXELS, UndecodableImage, read_header
from detco_mm.transforms.pixels import Pixels, is_range, shown
from detco_mm.transforms.rasters import read_raster

#: Files that are looked at. With 64, a kind of file that is 5 % of a folder is missed in 4 % of folders (binomial).
SAMPLE = 64
#: Pixels of each that are kept, evenly spaced: 64 files then make 4 million, of which a percentile is certain enough.
_PIXELS = 65536
#: What is stretched by default: single hot pixels and dead ones are left out. A choice of this project.
PERCENTILES = (0.5, 99.5)
#: Of the sample, the share that may have other bands than stated; such files are skipped and counted later on.
_MAX_OTHERS = 0.05


@dataclass
class Sample:
    """What was found in some of the files.

    Args:
        values: for each type of numbers, (M, N) of the channels that are used, without what is NaN or nodata.
        looked_at: how many files could be decoded.
        plain: how many of them are 8-bit files, taken as they are.
        sides: the shorter side of each, in pixels.
        refused: reasons for which files cannot be used, with one path each.
        notes: what else is worth a line.
        damaged: reasons for which files cannot be decoded, by their paths.
    """

    values: dict[str, np.ndarray]
    looked_at: int
    plain: int
    sides: list[int]
    refused: dict[str, list[str]]
    notes: list[str]
    damaged: dict[str, str] = field(default_factory=dict)


def look(paths: Sequence[str], pixels: Pixels, every: bool = False, max_pixels: int = MAX_PIXELS) -> Sample:
    """Read a sample of files, the same on all ranks.

    Args:
        paths: of all files, in an order that does not change.
        pixels: which bands are used.
        every: whether to read also those that are taken as they are.
        max_pixels: files with more are left out.
    """
    chosen = np.random.RandomState(0).permutation(len(paths))[:SAMPLE]
    kept: dict[str, list[np.ndarray]] = {}
    refused: dict[str, list[str]] = {}
    notes: dict[str, None] = {}
    sides: list[int] = []
    damaged: dict[str, str] = {}
    plain = looked_at = 0
    for path in [paths[index] for index in sorted(chosen)]:
        if os.path.exists(path) and not os.path.isfile(path):
            continue  # a pipe, which might never answer
        try:
            data = sources.read(path)
            header = read_header(data, max_pixels)
            if not every and pixels.leaves(data, header):
                plain += 1
                looked_at += 1
                sides.append(min(header.width, header.height))
                continue
            raster = read_raster(data, header)
            values = pixels.select(raster)
        except UndecodableImage as error:
            if error.reason in ('other pixels than stated', 'a codec is missing'):
                refused.setdefault(str(error), []).append(path)
            else:
                damaged[path] = str(error)  # skipped, named and counted while training
            continue
        except (OSError, ValueError) as error:
            damaged[path] = str(error)
            continue
        looked_at += 1
        sides.append(min(header.width, header.height))
        if raster.more:
            notes[f'of files with several images, such as {path}, the first is taken'] = None
        if values.shape[2] < raster.values.shape[2] and pixels.bands is None and raster.alpha:
            notes[f'the last band, marked as transparency, is dropped, as in {path}'] = None
        usable = np.isfinite(values).all(-1)
        for number in (pixels.nodata, raster.nodata):
            if number is not None:
                usable &= (values != number).all(-1)
        flat = values[usable]
        kept.setdefault(values.dtype.name, []).append(flat[:: max(1, len(flat) // _PIXELS)])
    gathered = {kind: np.concatenate(parts) for kind, parts in kept.items()}
    return Sample(gathered, looked_at, plain, sides, refused, list(notes), damaged)


def settle(
    paths: Sequence[str],
    pixels: Pixels,
    percentiles: Sequence[float] | None = None,
    max_pixels: int = MAX_PIXELS,
    side: int = 0,
) -> Pixels:
    """Find the value range that is not stated, and say so in one line of the log.

    Args:
        paths: of all files, in an order that does not change.
        pixels: what is stated.
        percentiles: what to stretch, of all values of the sample; 8-bit files are stretched as well then. Default:
            :data:`PERCENTILES`, for files that are not 8-bit.
        max_pixels: files with more are left out.
        side: of the largest view, in pixels; images that are mostly smaller are worth a warning.

    Returns:
        Pixels with a range for each type of numbers that was found; the same object if nothing is to be found.

    Raises:
        ValueError: if the files have other bands than stated, or all the same value.
    """
    if percentiles is not None and not (is_range(percentiles) and percentiles[0] >= 0 and percentiles[1] <= 100):
        raise ValueError(f'data.percentiles={percentiles!r}: write (low, high), 0 <= low < high <= 100')
    low, high = percentiles or PERCENTILES
    sample = look(paths, pixels, percentiles is not None, max_pixels)
    if sample.damaged and not sample.looked_at and not sample.refused:
        path, reason = next(iter(sample.damaged.items()))
        raise ValueError(
            f'none of the {len(sample.damaged)} images that were looked at, out of {len(paths)}, can be decoded; of '
            f'"{path}", {reason}'
        )
    _check_bands(sample, pixels)
    for note in sample.notes:
        print_log(f'pixels: {note}', logger='current', level=logging.WARNING)
    median = float(np.median(sample.sides)) if sample.sides else side
    if median < side:
        print_log(
            f'half of the images that were looked at are {median:g} pixels or less on their shorter side, and views of '
            f'{side} pixels show them enlarged, which costs time and teaches nothing: lower global_size and '
            'local_size of DetCoViews, and patch_size of JigsawPatches',
            logger='current',
            level=logging.WARNING,
        )
    found = {}
    for kind, values in sample.values.items():
        if (percentiles is None and pixels.ranges(np.dtype(kind)) is not None) or not len(values):
            continue
        # The colours of RGB keep their balance; bands of other kinds differ too much for one range.
        parts = [values] if pixels.channels == 3 and pixels.bands is None else list(values.T)
        pairs = [_range(part, low, high, kind) for part in parts]
        found[kind] = pairs[0] if len(pairs) == 1 else pairs
        alone = len(sample.values) == 1 and not sample.plain
        pinned = str(found[kind] if alone else {kind: found[kind]}).replace(' ', '')
        print_log(
            f'pixels: of {len(paths)} files {sample.looked_at} were looked at; {kind} numbers go from {values.min()} '
            f'to {values.max()}, and what lies between their percentiles {low:g} and {high:g}, '
            f'{shown(found[kind])}, is stretched to 0 to 255, the same in all files. To keep it, write '
            f'data.value_range={pinned} into the config',
            logger='current',
        )
    if not found:
        return pixels
    stated = pixels.value_range if isinstance(pixels.value_range, dict) else {}
    return Pixels(pixels.channels, pixels.bands, {**stated, **found}, pixels.nodata)


def statistics(paths: Sequence[str], pixels: Pixels) -> tuple[list[float], list[float]]:
    """Measure mean and standard deviation of each channel on a sample of files, on the scale 0..255."""
    sample = look(paths, pixels, every=True)
    parts = []
    for kind, values in sample.values.items():
        ranges = pixels.ranges(np.dtype(kind))
        if ranges is not None:
            lows, highs = np.array(ranges).T
            parts.append(((values - lows) / (highs - lows) * 255).clip(0, 255))
    if not parts:
        raise ValueError(f'none of {len(paths)} files could be read to measure mean and std: check data.root')
    values = np.concatenate(parts)
    # A channel that never changes would be divided by nothing.
    return values.mean(0).round(3).tolist(), np.maximum(values.std(0), 1.0).round(3).tolist()


def _check_bands(sample: Sample, pixels: Pixels) -> None:
    others = sum(len(paths) for paths in sample.refused.values())
    if others > _MAX_OTHERS * (sample.looked_at + others):
        reason, examples = max(sample.refused.items(), key=lambda item: len(item[1]))
        raise ValueError(
            f'{others} of {sample.looked_at + others} images that were looked at cannot be used as they are: of '
            f'"{examples[0]}", {reason}'
        )


def _range(values: np.ndarray, low: float, high: float, kind: str) -> tuple[float, float]:
    bounds = [float(bound) for bound in np.percentile(values.astype(np.float64), (low, high))]
    if bounds[0] == bounds[1]:
        bounds = [float(values.min()), float(values.max())]  # a few bright points on an even ground
    if bounds[0] == bounds[1]:
        raise ValueError(
            f'all {kind} numbers of the images that were looked at are {bounds[0]:g}: check data.root and data.bands, '
            'or state data.value_range=(low, high)'
        )
    if np.dtype(kind).kind in 'iu':
        return (int(np.floor(bounds[0])), int(np.ceil(bounds[1])))
    return (float(f'{bounds[0]:.6g}'), float(f'{bounds[1]:.6g}'))
