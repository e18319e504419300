"""Cut large images, and their COCO labels, into tiles.

    python tools/make_tiles.py IMAGES OUT [--labels JSON] [--size 1024] [--overlap 128] [--skip-empty]

Tiles go to OUT/images, labels to OUT/NAME_OF_THE_JSON. Deep and multi-band TIFF files stay as deep and as many bands.
"""

import argparse

import _stack  # noqa: F401

from detco_mm.datasets.tiles import make_tiles
from detco_mm.engine.errors import said_in_one_line

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', help='folder of the images')
    parser.add_argument('out', help='folder to write to')
    parser.add_argument('--labels', help='COCO json; without it all images of the folder are cut')
    parser.add_argument('--size', type=int, default=1024, help='side of a tile, in pixels; default: %(default)s')
    parser.add_argument('--overlap', type=int, default=128, help='of neighbours, in pixels; default: %(default)s')
    parser.add_argument(
        '--min-visible', type=float, default=0.3, help='share of an object that has to be inside; default: %(default)s'
    )
    parser.add_argument('--skip-empty', action='store_true', help='write no tiles without an object')
    args = parser.parse_args()
    with said_in_one_line():
        written = make_tiles(
            args.images,
            args.out,
            args.size,
            args.overlap,
            args.labels,
            args.min_visible,
            not args.skip_empty,
            lambda done, count: print(f'{done}/{count} images', flush=True),
        )
        print(written)
