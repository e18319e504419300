"""What should not be among the images of a pre-training: those of val and test, and frames that repeat one another."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from detco_mm.checkpoints.files import write_atomically
from detco_mm.datasets.duplicates import (
    RUN,
    Pair,
    all_held_out,
    fingerprints,
    leaks,
    near_pairs,
    sampled,
    thinned,
    write_list,
)

#: Images of the folder that are compared before a run, and of those that are held out. A share of 1 % that leaks is
#: missed once in 29,000 times, were it spread at random (0.99^1024).
SAMPLE = 1024
#: The share of repeated images that is worth a warning; a choice of this project.
_REPEATED = 0.01
#: Pairs that are drawn.
_DRAWN = 12


def find_leaks(
    paths: Sequence[str], folder: str, held_out: Sequence[str], out: Path, sample: int | None = SAMPLE
) -> str | None:
    """Look for images of val and test among those of a pre-training.

    Args:
        paths: of the pre-training's images, in the order of their names.
        folder: that a list of them would be relative to.
        held_out: COCO jsons with their folders, or folders; see all_held_out.
        out: folder for a picture of the closest pairs, and a list without what leaks.
        sample: how many images to compare at most, of either; None for all.

    Returns:
        What was found, with the way out, in one line; None if nothing leaks.

    Raises:
        FileNotFoundError, ValueError: if what is held out cannot be listed.
        ModuleNotFoundError: without ImageHash.
    """
    forbidden = all_held_out(held_out)
    chosen = list(paths) if sample is None else sampled(paths, sample)
    others = forbidden if sample is None else sampled(forbidden, sample)
    same = _in_both(paths, folder, forbidden)
    chosen = list(dict.fromkeys([*same, *chosen]))
    compared = [path for path in chosen if path not in set(same)] if same else chosen
    found = [*(Pair(path, path, 0) for path in same), *leaks(compared, others)]
    if not found:
        return None
    leaking = dict.fromkeys(pair.image for pair in found)
    shown = len(dict.fromkeys(pair.other for pair in found))
    _draw(found, out / 'leaks.png')
    if len(chosen) == len(paths):
        listed = (out / 'without_held_out.txt').absolute()
        write_list([path for path in paths if path not in leaking], folder, listed)
        way_out = f'leave them out by --cfg-options data.ann_file={shlex.quote(str(listed))}'
    else:
        against = ' '.join(map(shlex.quote, held_out))
        way_out = f'tools/check_images.py {shlex.quote(folder)} --against {against} looks at all, and lists the others'
    return (
        f'{len(leaking):,} of {_of(chosen, paths)} for pre-training show what {shown:,} of {_of(others, forbidden)} of '
        f'val or test show, such as "{found[0].image}" and "{found[0].other}" ({out / "leaks.png"}): {way_out}'
    )


def find_repeats(paths: Sequence[str], folder: str, out: Path, sample: int = SAMPLE) -> str | None:
    """Look for images that repeat one another, such as frames of a video.

    Args:
        paths: of the images, in the order of their names.
        folder: that a list of them would be relative to.
        out: folder for a list with one of each.
        sample: how many images to compare at most.

    Returns:
        How many there are, and the way out, in one line; None if they are few.

    Raises:
        ModuleNotFoundError: without ImageHash.
    """
    chosen = sampled(paths, sample)
    read, hashes = fingerprints(chosen)
    kept = thinned(read, near_pairs(read, hashes))
    repeats = len(read) - len(kept)
    if repeats <= _REPEATED * len(read):
        return None
    if len(chosen) == len(paths):
        listed = (out / 'thinned.txt').absolute()
        write_list(kept, folder, listed)
        way_out = f'one of each is in a list: --cfg-options data.ann_file={shlex.quote(str(listed))}'
    else:
        way_out = f'tools/check_images.py {shlex.quote(folder)} looks at all, and lists one of each'
    return (
        f'{repeats:,} of {_of(chosen, paths)} repeat another one. Frames of one video meet each other as negatives, '
        f'which teaches to tell apart what is the same; {way_out}'
    )


def _of(chosen: Sequence[str], paths: Sequence[str]) -> str:
    """Say how many were compared, of how many."""
    if len(chosen) == len(paths):
        return f'{len(paths):,} images'
    return f'{len(chosen):,} images that were looked at, in runs of {RUN} neighbours out of {len(paths):,},'


def _draw(pairs: Sequence[Pair], path: Path) -> None:
    from detco_mm.visualization.pairs import pairs_picture  # not before: few runs draw, and Matplotlib takes its time

    drawn = pairs[:_DRAWN]
    titles = [f'{pair.distance} bits' for pair in drawn]
    write_atomically(path, pairs_picture([(pair.image, pair.other) for pair in drawn], titles))


def _in_both(paths: Sequence[str], folder: str, held_out: Sequence[str]) -> list[str]:
    """The images that are held out themselves, of all: the plainest leak, for which nothing is compared."""
    place = os.path.realpath(folder) + os.sep
    inside = {real for path in held_out if (real := os.path.realpath(path)).startswith(place)}
    return [path for path in paths if os.path.realpath(path) in inside] if inside else []
