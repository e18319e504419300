"""Views per second on one core: this project's four against MMSelfSup's two and MoCo's with PIL and torchvision.

    python tools/benchmarks/views.py [--images FOLDER] [--repeats 7] [--json FILE]

Each pipeline reads and decodes JPEG files from a warm disk cache and ends with tensors. The images are photographs that
come with scikit-image, cut to ImageNet's usual 500x375 at quality 90, and 64 of these side by side as one of 12
megapixels, as a camera makes them; or the first ones of FOLDER. Where the time of an image goes is found by adding one
step of the pipeline after the other.
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
from _harness import interleaved, parser, ratio, report, text_table
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

from detco_mm.transforms.views import BLUR, COLOUR_JITTER, DetCoViews

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


def large(paths: list[str], folder: Path) -> list[str]:
    """Write 4000x3000 JPEG files of quality 90, some 4 MB each: every photograph 64 times."""
    made = [str(folder / f'large_{Path(path).name}') for path in paths]
    for path, out in zip(paths, made, strict=True):
        cv2.imwrite(out, np.tile(cv2.imread(path), (8, 8, 1)), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return made


def mmselfsup() -> Callable[[str], Any]:
    """MMSelfSup's pipeline of MoCo v2: two views."""
    init_default_scope('mmselfsup')
    if np.lib.NumpyVersion(np.__version__) >= '2.0.0':
        from mmselfsup.datasets.transforms import processing

        processing.adjust_hue = adjust_hue
    base = Config.fromfile(str(_mmselfsup() / '.mim/configs/selfsup/_base_/datasets/imagenet_mocov2.py'))
    return composed(base.train_pipeline)


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
    return composed(Config.fromfile(str(ROOT / f'configs/{config}.py')).train_pipeline)


def composed(steps: list[dict[str, Any]]) -> Callable[[str], Any]:
    """A pipeline of these transforms."""
    init_default_scope('mmselfsup')
    pipeline = Compose(steps)
    return lambda path: pipeline(dict(img_path=path))


def parts() -> dict[str, Callable[[str], Any]]:
    """The pipeline on the CPU, each side with one step more than the one before."""
    linear = dict(COLOUR_JITTER, hue=0)
    off: dict[str, Any] = dict(colour_jitter=None, grey_prob=0, blur=None, flip_prob=0)
    views = {
        'four crops': off,
        'brightness, contrast, saturation': off | dict(colour_jitter=linear),
        'hue': off | dict(colour_jitter=COLOUR_JITTER),
        'blur': off | dict(colour_jitter=COLOUR_JITTER, blur=BLUR),
        'grey and flip': {},
    }
    sides: dict[str, Callable[[str], Any]] = {'reading and decoding': DetCoViews()._read}
    for name, options in views.items():
        sides[name] = composed([dict(options, type='detco_mm.DetCoViews')])
    return sides | {'patches and packing': detco('detco_r50_8xb32')}


def timed(sides: dict[str, Callable[[str], Any]], paths: list[str], repeats: int) -> dict[str, list[float]]:
    """Seconds that each takes for all files, in turn."""
    return interleaved({name: (lambda one=one: [one(path) for path in paths]) for name, one in sides.items()}, repeats)


def compared(seconds: dict[str, list[float]], views: dict[str, int], images: int) -> dict[str, dict[str, Any]]:
    """Figures of each pipeline, beside the first one."""
    baseline, figures = next(iter(seconds)), {}
    for name, took in seconds.items():
        figures[name] = dict(
            images=images,
            views=views[name],
            views_per_second=statistics.median(images * views[name] / each for each in took),
            # images take `seconds`; views/s count all views of an image
            ratio=ratio(seconds[baseline], took) * views[name] / views[baseline],
            seconds=took,
        )
    return figures


def image_sets(images: Path | None, count: int, folder: Path) -> dict[str, list[str]]:
    """What is read in a repeat: the user's files, or photographs in two sizes, a quarter as many large ones."""
    if images:
        sets = {str(images): (sorted(map(str, images.glob('*.jp*g'))), count)}
    else:
        small, few = photographs(folder), max(1, count // 4)
        sets = {'500x375': (small, count), '4000x3000': (large(small[:few], folder), few)}
    if not all(paths for paths, _ in sets.values()):
        sys.exit(f'no JPEG files in "{images}"')
    return {name: (paths * number)[:number] for name, (paths, number) in sets.items()}


def main() -> None:
    """Measure, print, write."""
    flags = parser(__doc__, repeats=7)
    flags.add_argument('--images', type=Path, help='folder of JPEG files; by default photographs are written')
    flags.add_argument('--count', type=int, default=24, help='images in a repeat; default: %(default)s')
    args = flags.parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    made = {
        'MMSelfSup, imagenet_mocov2': (mmselfsup(), 2),
        'PIL + torchvision, MoCo v2': (torchvision(), 2),
        'DetCo, all on the CPU': (detco('detco_r50_8xb32'), 4),
        'DetCo, colour and blur left to the GPU': (detco('detco_r50_8xb32_device-colour'), 4),
    }
    pipelines = {name: pipeline for name, (pipeline, _) in made.items()}
    views = {name: number for name, (_, number) in made.items()}
    table = [['images', 'pipeline', 'views of an image', 'views/s', 'ms an image', 'against MMSelfSup']]
    going = [['images', 'a step more', 'ms an image', 'until here']]
    found: dict[str, dict[str, dict[str, Any]]] = {}
    seconds: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, paths in image_sets(args.images, args.count, Path(folder)).items():
            found[name] = compared(timed(pipelines, paths, args.repeats), views, len(paths))
            for side, of in found[name].items():
                each = 1000 * of['views'] / of['views_per_second']
                figures = [str(of['views']), f'{of["views_per_second"]:.0f}', f'{each:.1f}', f'{of["ratio"]:.1f}x']
                table.append([name, side, *figures])
            seconds[name], before = timed(parts(), paths, args.repeats), [0.0] * args.repeats
            for side, took in seconds[name].items():
                more = statistics.median(1000 * (b - a) / len(paths) for a, b in zip(before, took, strict=True))
                going.append([name, side, f'{more:.2f}', f'{1000 * statistics.median(took) / len(paths):.2f}'])
                before = took
    print(f'\nWhere the time of an image goes\n\n{text_table(going)}')
    report('Views on one core', table, dict(sets=found, parts=seconds), args.json)


if __name__ == '__main__':
    main()
