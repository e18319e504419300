"""Every benchmark, one after the other, and one short table of all.

    python tools/benchmarks/report.py [--out FOLDER] [--sizes gpu|cpu|tiny] [--minutes 8] [--only NAME ...]

The sizes are by default those for the machine: on a GPU 8 minutes, on two CPU cores 20. What would begin, or is not
done, after that many minutes is left out and named; the same goes for a benchmark that fails. The figures of each are
in FOLDER/NAME.json, the last table is in FOLDER/summary.md.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from _harness import text_table

HERE = Path(__file__).resolve().parent
SMALL = '--depth 18 --batch-size 2 --size 64 --queue-len 256'
# Name -> script and flags; the most important first.
SIZES = {
    'gpu': {
        'step-128': 'step --batch-size 128 --compile --repeats 10',
        'contrast': 'contrast --batch-sizes 32 128 --repeats 20',
        'parts-128': 'parts --batch-size 128 --compile --repeats 5',
        'step-32': 'step --batch-size 32 --compile --repeats 20',
        'ema': 'ema',
        'views': 'views',
        'step-256': 'step --batch-size 256 --compile --repeats 5',
        'shuffle': 'shuffle --ranks 2',
        'dispatch': 'dispatch',
    },
    'cpu': {
        'step-8': 'step --batch-size 8 --repeats 3',
        'contrast': 'contrast --batch-sizes 32 128 --repeats 15',
        'parts-8': 'parts --batch-size 8 --repeats 2',
        'views': 'views',
        'ema': 'ema',
        'shuffle': 'shuffle --ranks 2 4 8',
        'dispatch': 'dispatch',
    },
    'tiny': {
        'step-2': f'step {SMALL} --repeats 1',
        'contrast': 'contrast --batch-sizes 4 --queue-len 8192 --repeats 1',
        'parts-2': f'parts {SMALL} --repeats 1',
        'views': 'views --count 1 --repeats 1',
        'ema': 'ema --repeats 1',
        'shuffle': 'shuffle --ranks 2 --batch-size 8 --repeats 1',
        'dispatch': 'dispatch --batch-sizes 2 --cfg-options model.backbone.depth=18 model.queue_len=256',
    },
}


def run(line: str, out: Path, seconds: float) -> str:
    """Run one benchmark; return what went wrong, or nothing."""
    script, *flags = line.split()
    call = [sys.executable, str(HERE / f'{script}.py'), *flags, '--json', str(out)]
    out.unlink(missing_ok=True)
    try:
        subprocess.run(call, check=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return 'out of time'
    except subprocess.CalledProcessError as error:
        return f'failed with exit code {error.returncode}'
    return ''


def rows(name: str, found: dict[str, Any]) -> list[list[str]]:
    """Return what one benchmark adds to the summary: goal and measured."""
    script, _, size = name.partition('-')
    return ROWS[script](found, f'batch {size}: ' if size else '')


def _step(found: dict[str, Any], size: str) -> list[list[str]]:
    made = []
    for side in ('DetCo, float32', 'DetCo, bf16'):
        if side in found['sides']:
            figures = found['sides'][side]
            precision = side.split(', ')[1]
            rate = f'{figures["images_per_second"]:.1f} images/s'
            if figures['over_floor'] is not None:  # None where the other side did not fit
                over = f'{100 * figures["over_floor"]:+.0f} %'
                made.append([f'{size}step in {precision} near its bare backbones', f'{over}, {rate}'])
            if figures['gain'] is not None:
                made.append([f'{size}step in {precision} faster than a plain one', f'{figures["gain"]:.1f}x'])
    return made


def _contrast(found: dict[str, Any], size: str) -> list[list[str]]:
    made = []
    for side in found['sides']:
        extra = {name: count / 2**20 for name, count in side['extra_bytes'].items()}
        memory = f'{extra["streaming"]:.1f} of {extra["plain"]:.1f} MiB'
        measured = f'{side["ratio"]:.1f}x, {memory}, off by {side["relative_deviation"]:.0e}'
        made.append([f'contrast of {side["batch_size"]} faster than plain, in less memory', measured])
    return made


def _parts(found: dict[str, Any], size: str) -> list[list[str]]:
    return [
        [f'{size}the step is the backbone', f'{100 * found["backbone"]:.1f} %'],
        [f'{size}what is ours is small', f'{100 * found["ours"]:.1f} %'],
    ]


def _views(found: dict[str, Any], size: str) -> list[list[str]]:
    return [
        [
            f"views of {images} on a core faster than MMSelfSup's: {name}",
            f'{side["ratio"]:.1f}x, {side["views_per_second"]:.0f} views/s',
        ]
        for images, sides in found['sets'].items()
        for name, side in sides.items()
        if name.startswith('DetCo')
    ]


def _ema(found: dict[str, Any], size: str) -> list[list[str]]:
    return [["moving average faster than MMEngine's", f'{found["ratio"]:.1f}x']]


def _shuffle(found: dict[str, Any], size: str) -> list[list[str]]:
    return [
        [f'shuffle over {side["ranks"]} ranks with fewer bytes than by gathering', f'1/{side["fewer_bytes"]:.1f}']
        for side in found['sides']
    ]


def _dispatch(found: dict[str, Any], size: str) -> list[list[str]]:
    return [
        [f'operations of a forward step of {images} outside its backbones', str(number)]
        for images, number in found['outside_backbones'].items()
    ]


ROWS = dict(step=_step, contrast=_contrast, parts=_parts, views=_views, ema=_ema, shuffle=_shuffle, dispatch=_dispatch)


def main() -> None:
    """Run all, print, write."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument('--out', type=Path, default=Path('work_dirs/benchmarks'), help='default: %(default)s')
    flags.add_argument('--sizes', choices=SIZES, default='gpu' if torch.cuda.is_available() else 'cpu')
    flags.add_argument('--minutes', type=float, help='default: 8 on a GPU, else 20')
    flags.add_argument('--only', nargs='+', metavar='NAME', help='benchmarks to run, e.g. step contrast')
    args = flags.parse_args()
    minutes = args.minutes or (8 if args.sizes == 'gpu' else 20)
    end = time.monotonic() + 60 * minutes
    table, failed = [['goal', 'measured']], []
    args.out.mkdir(parents=True, exist_ok=True)
    for name, line in SIZES[args.sizes].items():
        if args.only and name.partition('-')[0] not in args.only:
            continue
        left, out = end - time.monotonic(), args.out / f'{name}.json'
        wrong = run(line, out, left) if left > 0 else 'out of time'
        if wrong:
            failed.append(name)
            table.append([name, wrong])
        else:
            table += rows(name, json.loads(out.read_text()))
    summary = text_table(table)
    (args.out / 'summary.md').write_text(summary + '\n')
    print(f'\n{summary}')
    if failed:
        sys.exit(f'without {", ".join(failed)}')


if __name__ == '__main__':
    main()
