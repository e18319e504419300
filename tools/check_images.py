"""Look for images of val or test, and for images that repeat one another, in a folder for pre-training.

    python tools/check_images.py FOLDER [--against VAL_JSON VAL_IMAGES [TEST_JSON TEST_IMAGES ...]] [--out DIR]

Near-duplicates are found by a perceptual hash (ImageHash): other sizes, compression and frames of the same video. What
there is to show is written to DIR: leaks.png and duplicates.png with the closest pairs, without_held_out.txt and
thinned.txt, lists for data.ann_file. Ends with code 1 if an image of val or test is in the folder.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import _stack  # noqa: F401

from detco_mm.checkpoints.files import write_atomically
from detco_mm.datasets import ImageFolder
from detco_mm.datasets.duplicates import THRESHOLD, Pair, all_held_out, fingerprints, near_pairs, thinned, write_list
from detco_mm.engine.errors import said_in_one_line
from detco_mm.visualization.pairs import pairs_picture

SHOWN = 12


def progress(what: str) -> Callable[[int, int], None]:
    """Print a line at every tenth of the way."""

    def report(done: int, count: int) -> None:
        if done == count or (done * 10) // count > ((done - 1) * 10) // count:
            print(f'{what}: {done}/{count} images', flush=True)

    return report


def picture(pairs: list[Pair], path: Path) -> None:
    """Draw the closest pairs."""
    shown = pairs[:SHOWN]
    write_atomically(path, pairs_picture([(p.image, p.other) for p in shown], [f'{p.distance} bits' for p in shown]))
    print(f'the closest {len(shown)} pairs: {path}')


def offer(paths: list[str], folder: str, path: Path, what: str) -> None:
    """Write a list for data.ann_file, and how to use it."""
    write_list(paths, folder, path)
    print(f'{what}: --cfg-options data.root={folder} data.ann_file={path.resolve()}  ({len(paths)} images)')


def main(args: argparse.Namespace) -> int:
    """Check, print and write; return the exit code."""
    data = ImageFolder(data_root=args.folder)
    data.full_init()
    paths = [data.get_data_info(index)['img_path'] for index in range(len(data))]
    held_out = all_held_out(args.against)
    read, hashes = fingerprints(paths, progress(args.folder))
    if len(read) < len(paths):
        print(f'{len(paths) - len(read)} of {len(paths)} files cannot be decoded and are not compared')
    leaked: list[Pair] = []
    if held_out:
        names, others = fingerprints(held_out, progress('held out'))
        leaked = near_pairs(read, hashes, names, others, args.threshold)
        found = {pair.image for pair in leaked}
        print(
            f'{len(found)} of {len(read)} images show what {len({pair.other for pair in leaked})} of {len(held_out)} '
            f'images of val or test show (at most {args.threshold} of 256 bits differ)'
        )
        if leaked:
            picture(leaked, args.out / 'leaks.png')
            read_left = [path for path in read if path not in found]
            offer(read_left, args.folder, args.out / 'without_held_out.txt', 'to leave them out')
    found = {pair.image for pair in leaked}
    kept = [index for index, path in enumerate(read) if path not in found]
    within = near_pairs([read[index] for index in kept], hashes[kept], threshold=args.threshold)
    few = thinned([read[index] for index in kept], within)
    repeats = len(kept) - len(few)
    print(f'{repeats} of {len(kept)} images repeat another one of the folder ({len(within)} pairs)')
    if within:
        print(
            'frames of one video, or shots of one scene, meet each other as negatives in the queue, which teaches '
            'to tell apart what is the same'
        )
        picture(within, args.out / 'duplicates.png')
        offer(few, args.folder, args.out / 'thinned.txt', 'to keep one of each')
    return 1 if leaked else 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', help='images for pre-training, at any depth')
    parser.add_argument(
        '--against',
        nargs='+',
        default=[],
        metavar='JSON IMAGES',
        help='what is held out: COCO jsons, each with its folder, or folders',
    )
    parser.add_argument('--out', type=Path, default=Path('work_dirs/check_images'), help='default: %(default)s')
    parser.add_argument(
        '--threshold', type=int, default=THRESHOLD, help='of 256 bits, how many may differ; default: %(default)s'
    )
    with said_in_one_line():
        sys.exit(main(parser.parse_args()))
