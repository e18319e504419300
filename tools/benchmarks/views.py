"""Views per second on one core: this project's four against MMSelfSup's two and MoCo's with PIL and torchvision.

    python tools/benchmarks/views.py [--images FOLDER] [--repeats 7] [--json FILE]

Each pipeline reads and decodes JPEG files from a warm disk cache and ends with tensors. The images are photographs that
come with scikit-image, cut to ImageNet's usual 500x375 at quality 90, or the first ones of FOLDER.
"""

import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from _harness import interleaved, parser, ratio, report
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

ROOT = Path(__file__).resolve().parents[2]
PHOTOGRAPHS = (
    'astronaut.png',
    'chelsea.png',
    'coffee.png',
    'rocket.jpg',
    'motorcycle_left.png',
    'motorcycle_right.png',
)


def photographs(folder: Path) -> list[str]:
    """Write photographs as 500x375 JPEG files of quality 90, ImageNet's usual size."""
    import skimage

    paths = []
    for name in PHOTOGRAPHS:
        image = cv2.imread(str(Path(skimage.__file__).parent / 'data' / name))
        scale = max(500 / image.shape[1], 375 / image.shape[0])
        image = cv2.resize(
            image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        )
        top, left = (image.shape[0] - 375) // 2, (image.shape[1] - 500) // 2
        paths.append(str(folder / f'{Path(name).stem}.jpg'))
        cv2.imwrite(paths[-1], image[top : top + 375, left : left + 500], [cv2.IMWRITE_JPEG_QUALITY, 90])
    return paths


def mmselfsup() -> Callable[[str], Any]:
    """MMSelfSup's pipeline of MoCo v2: two views."""
    init_default_scope('mmselfsup')
    if np.lib.NumpyVersion(np.__version__) >= '2.0.0':
        from mmselfsup.datasets.transforms import processing

        processing.adjust_hue = adjust_hue
    base = Config.fromfile(str(_mmselfsup() / '.mim/configs/selfsup/_base_/datasets/imagenet_mocov2.py'))
    pipeline = Compose(base.train_pipeline)
    return lambda path: pipeline(dict(img_path=path))


def adjust_hue(image: np.ndarray, shift: float, backend: str = 'pillow') -> np.ndarray:
    """Do as mmcv 2.0's function of this name with Pillow, whose negative shifts NumPy 2 refuses; BGR."""
    from PIL import Image

    if backend != 'pillow':
        raise ValueError(f'backend={backend} is not what MMSelfSup asks for: pillow')
    hue, saturation, value = Image.fromarray(np.ascontiguousarray(image[..., ::-1])).convert('HSV').split()
    turned = Image.fromarray(np.asarray(hue) + np.uint8(int(shift * 255) % 256))
    return np.array(Image.merge('HSV', (turned, saturation, value)).convert('RGB'))[..., ::-1]


def _mmselfsup() -> Path:
    import mmselfsup

    return Path(mmselfsup.__file__).parent


def torchvision() -> Callable[[str], Any]:
    """MoCo v2's two views as its own script makes them, with PIL and torchvision; its blur is PIL's."""
    from PIL import Image, ImageFilter
    from torchvision import transforms

    def blur(image: Image.Image) -> Image.Image:
        return image.filter(ImageFilter.GaussianBlur(radius=np.random.uniform(0.1, 2.0)))

    view = transforms.Compose(
        [
            transforms.RandomResizedCrop(224, scale=(0.2, 1.0)),
            transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            transforms.RandomGrayscale(p=0.2),
            transforms.RandomApply([blur], p=0.5),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )

    def pair(path: str) -> list[torch.Tensor]:
        with open(path, 'rb') as file:
            image = Image.open(file).convert('RGB')
        return [view(image), view(image)]

    return pair


def detco(config: str) -> Callable[[str], Any]:
    """A pipeline of this project, as a config has it: four views."""
    init_default_scope('mmselfsup')
    pipeline = Compose(Config.fromfile(str(ROOT / f'configs/{config}.py')).train_pipeline)
    return lambda path: pipeline(dict(img_path=path))


def main() -> None:
    """Measure, print, write."""
    flags = parser(__doc__, repeats=7)
    flags.add_argument('--images', type=Path, help='folder of JPEG files; by default photographs are written')
    flags.add_argument('--count', type=int, default=24, help='images in a repeat; default: %(default)s')
    args = flags.parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        paths = sorted(map(str, args.images.glob('*.jp*g'))) if args.images else photographs(Path(folder))
        if not paths:
            sys.exit(f'no JPEG files in "{args.images}"')
        paths = (paths * args.count)[: args.count]
        made = {
            'MMSelfSup, imagenet_mocov2': (mmselfsup(), 2),
            'PIL + torchvision, MoCo v2': (torchvision(), 2),
            'DetCo, all on the CPU': (detco('detco_r50_8xb32'), 4),
            'DetCo, colour and blur left to the GPU': (detco('detco_r50_8xb32_device-colour'), 4),
        }
        seconds = interleaved(
            {name: (lambda one=one: [one(path) for path in paths]) for name, (one, _) in made.items()}, args.repeats
        )
    baseline = next(iter(made))
    table, figures = [['pipeline', 'views of an image', 'views/s', 'ms a view', 'against MMSelfSup']], {}
    for name, (_, views) in made.items():
        rate = statistics.median(args.count * views / took for took in seconds[name])
        # images take `seconds`; views/s count all views of an image
        gain = ratio(seconds[baseline], seconds[name]) * views / made[baseline][1]
        figures[name] = dict(views=views, views_per_second=rate, ratio=gain, seconds=seconds[name])
        table.append([name, str(views), f'{rate:.0f}', f'{1000 / rate:.2f}', f'{gain:.1f}x'])
    report('Views on one core', table, dict(images=args.count, sides=figures), args.json)


if __name__ == '__main__':
    main()
