"""Draw docs/method.png, the picture of the method, from a photograph that scikit-image ships."""

import argparse
from pathlib import Path

import _stack  # noqa: F401
import numpy as np
import skimage

from detco_mm.checkpoints.files import write_atomically
from detco_mm.engine.checks import check_seeds
from detco_mm.engine.errors import said_in_one_line
from detco_mm.registry import TRANSFORMS
from detco_mm.visualization.method import method_picture
from detco_mm.visualization.pictures import drawable


def main() -> None:
    """Run the project's own view transforms on the photograph and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', nargs='?', default='docs/method.png')
    parser.add_argument('--seed', type=int, default=3)
    args = parser.parse_args()
    check_seeds([args.seed])
    np.random.seed(args.seed)
    photograph = Path(skimage.__file__).parent / 'data' / 'chelsea.png'
    item = {'img_path': str(photograph)}
    for step in (
        {'type': 'detco_mm.DetCoViews'},
        {'type': 'detco_mm.JigsawPatches', 'grid': 3, 'patch_size': 64},
        {'type': 'detco_mm.PackDetCoInputs'},
    ):
        item = TRANSFORMS.build(step)(item)
    write_atomically(args.out, method_picture(drawable(photograph), item['inputs']))
    print(args.out)


if __name__ == '__main__':
    with said_in_one_line():
        main()
