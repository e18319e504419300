"""Seconds until something happens: imports, --help, and the list of a folder's images.

    python tools/benchmarks/startup.py [--folders 1000] [--files 100] [--repeats 5] [--json FILE]

Each start is a process of its own, on a warm disk cache. The folder holds empty files, ImageNet's number of folders by
default; MMEngine's walk is what its and MMSelfSup's data sets search a folder with.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from _harness import interleaved, parser, ratio, report
from mmengine import fileio

from detco_mm.datasets.file_list import find_files
from detco_mm.datasets.image_folder import EXTENSIONS

ROOT = Path(__file__).resolve().parents[2]
TRAIN = ROOT / 'tools/train.py'


def start(*arguments: str | Path) -> Callable[[], object]:
    """Return a function that runs this Python with arguments."""
    line = [sys.executable, *map(str, arguments)]
    return partial(subprocess.run, line, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def fill(folder: Path, folders: int, files: int) -> None:
    """Make empty files, named as ImageNet's."""
    for at in range(folders):
        below = folder / f'n{at:08d}'
        below.mkdir()
        for number in range(files):
            (below / f'{below.name}_{number}.JPEG').touch()


def walk(folder: str) -> list[str]:
    """Search as MMEngine does."""
    found = fileio.list_dir_or_file(folder, list_dir=False, recursive=True)
    return sorted(name for name in found if name.lower().endswith(EXTENSIONS))


def main() -> None:
    """Measure, print, write."""
    flags = parser(__doc__, repeats=5)
    flags.add_argument('--folders', type=int, default=1000, help='default: %(default)s')
    flags.add_argument('--files', type=int, default=100, help='in each folder; default: %(default)s')
    args = flags.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder, cache = Path(made, 'images'), Path(made, 'cache')
        folder.mkdir()
        fill(folder, args.folders, args.files)
        # a cache of its own, into which no list is ever put
        first = partial(find_files, str(folder), EXTENSIONS, cache / 'empty', least=args.folders * args.files + 1)
        again = partial(find_files, str(folder), EXTENSIONS, cache, least=1, settled=0)
        if not walk(str(folder)) == first() == again() == again():
            sys.exit('the searches differ')
        sides = {
            'import torch': start('-c', 'import torch'),
            'import mmengine.runner': start('-c', 'import mmengine.runner'),
            'import detco_mm': start('-c', 'import detco_mm'),
            'import all that a run takes': start(
                '-c', 'import detco_mm.models, detco_mm.transforms, detco_mm.datasets'
            ),
            'tools/train.py --help': start(TRAIN, '--help'),
            "images, MMEngine's walk": partial(walk, str(folder)),
            'images, first scan': first,
            'images, kept list': again,
        }
        seconds = interleaved(sides, args.repeats)
    table = [['start', 'seconds'], *([name, f'{statistics.median(times):.3g}'] for name, times in seconds.items())]
    gains = {
        name: ratio(seconds["images, MMEngine's walk"], seconds[f'images, {name}'])
        for name in ('first scan', 'kept list')
    }
    title = f'Start-up; {args.folders * args.files} files in {args.folders} folders'
    report(title, table, dict(seconds=seconds, ratios=gains), args.json)


if __name__ == '__main__':
    main()
