"""Draw docs/method.png, the picture of the method, from a photograph that scikit-image ships."""

import argparse
from pathlib import Path

import _stack  # noqa: F401
import cv2
import numpy as np
import skimage

from detco_mm.registry import TRANSFORMS
from detco_mm.visualization.method import method_picture


def main() -> None:
    """Run the project's own view transforms on the photograph and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', nargs='?', default='docs/method.png')
    parser.add_argument('--seed', type=int, default=3)
    args = parser.parse_args()
    np.random.seed(args.seed)
    photograph = Path(skimage.__file__).parent / 'data' / 'chelsea.png'
    item = {'img_path': str(photograph)}
    for step in (
        {'type': 'detco_mm.DetCoViews'},
        {'type': 'detco_mm.JigsawPatches', 'grid': 3, 'patch_size': 64},
        {'type': 'detco_mm.PackDetCoInputs'},
    ):
        item = TRANSFORMS.build(step)(item)
    image = cv2.cvtColor(cv2.imread(str(photograph)), cv2.COLOR_BGR2RGB)
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    Path(args.out).write_bytes(method_picture(image, item['inputs']))
    print(args.out)


if __name__ == '__main__':
    main()
