"""The whole way in one command: make data, pre-train, export, fine-tune twice, compare.

Each step is one of the commands that the README documents, run by itself; its output goes to a log beside its results.
A step that is done is not repeated when the demo is run again; --fresh starts over.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from detco_mm.visualization import demo_report
from detco_mm.visualization.progress import Forecast, clock, fraction_done, tail, total_steps
from detco_mm.visualization.scalars import last_metrics, read_rows

ROOT = Path(__file__).resolve().parents[1]
PRETRAIN = 'configs/mini/detco_r18.py'
FINETUNE = 'configs/mini/mask-rcnn_r18_fpn_embedded.py'
DATA = 'data/embedded'  # where both configs look
DATA_FOLDER = DATA  # each size and seed gets a folder of its own beside it

# What each size runs. `seconds` is what each step took on two cores, or would by the rates of the small size: the
# forecast of the time left starts from it.
# Few steps need scenes that are easier than tools/make_data.py's own: larger objects, fewer other things.
SCENES = ['--objects', '1', '4', '--clutter', '0', '2', '--diameter', '28', '100']
SIZES: dict[str, dict[str, Any]] = {
    'small': {
        'data': {'unlabelled': 2000, 'train': 300, 'val': 150, 'test': 0},
        'epochs': 6,
        'finetune_iters': 350,
        'seconds': {'data': 11, 'pretrain': 261, 'export': 5, 'random': 142, 'detco': 142},
    },
    'medium': {
        'data': {'unlabelled': 4000, 'train': 600, 'val': 200, 'test': 0},
        'epochs': 28,
        'finetune_iters': 1500,
        'seconds': {'data': 30, 'pretrain': 2300, 'export': 5, 'random': 640, 'detco': 640},
    },
}


@dataclass
class Step:
    """One command of the demo."""

    name: str
    title: str
    command: list[str]
    folder: Path | None = None  # cleared before the step runs
    steps: int = 0  # iterations, where the folder's scalars tell how far it is
    needs: tuple[str, ...] = ()
    config: str = ''  # text of the config with all overrides

    @property
    def identity(self) -> dict[str, Any]:
        """What makes this step the one that was done before."""
        return {'command': self.command, 'config': hashlib.sha256(self.config.encode()).hexdigest()}


def moved(config: Any, root: str, prefix: str = '') -> list[str]:
    """List the --cfg-options that lead a config from DATA to another folder."""
    if isinstance(config, str):
        return [f'{prefix}={root}{config[len(DATA) :]}'] if config == DATA or config.startswith(DATA + '/') else []
    items = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    return [option for key, value in items for option in moved(value, root, f'{prefix}.{key}' if prefix else str(key))]


def epochs(count: int) -> list[str]:
    """List the --cfg-options that shorten or lengthen the pre-training with its schedule."""
    return [f'train_cfg.max_epochs={count}', f'param_scheduler.1.T_max={count}']


def iterations(iters: int) -> list[str]:
    """List the --cfg-options that shorten or lengthen the fine-tuning with its schedule."""
    return [
        f'train_cfg.max_iters={iters}',
        f'train_cfg.val_interval={iters}',
        f'default_hooks.checkpoint.interval={iters}',
        f'param_scheduler.0.end={max(1, iters // 10)}',
        f'param_scheduler.1.end={iters}',
        f'param_scheduler.1.milestones=[{iters * 3 // 4},{iters * 11 // 12}]',
    ]


def plan(size: str, seed: int, work: Path) -> list[Step]:
    """Write the demo down as commands."""
    spec, python = SIZES[size], sys.executable
    data = f'{DATA_FOLDER}-{size}-{seed}'
    random = [f'randomness.seed={seed}']

    def options(path: str, extra: list[str]) -> tuple[list[str], Config]:
        config = Config.fromfile(str(ROOT / path))
        chosen = [*extra, *random, *moved(config._cfg_dict.to_dict(), data)]
        config.merge_from_dict(_parsed(chosen))
        return ['--cfg-options', *chosen], config

    pre_options, pre = options(PRETRAIN, epochs(spec['epochs']))
    det_options, det = options(FINETUNE, iterations(spec['finetune_iters']))
    pre_steps, det_steps = total_steps(pre, spec['data']['unlabelled']), total_steps(det, spec['data']['train'])
    weights = str(work / 'detco_r18.pth')
    counts = [text for name, count in spec['data'].items() for text in (f'--{name}', str(count))]
    return [
        Step(
            'data',
            'making the embedded detection data',
            [python, 'tools/make_data.py', data, '--seed', str(seed), *counts, *SCENES],
        ),
        Step(
            'pretrain',
            f'pre-training DetCo for {pre_steps} iterations',
            [python, 'tools/train.py', PRETRAIN, '--work-dir', str(work / 'pretrain'), *pre_options],
            work / 'pretrain',
            pre_steps,
            ('data',),
            str(pre._cfg_dict),
        ),
        Step(
            'export',
            'exporting its backbone',
            [python, 'tools/export_backbone.py', str(work / 'pretrain' / 'CHECKPOINT'), weights],
            needs=('pretrain',),
        ),
        Step(
            'random',
            f'fine-tuning Mask R-CNN from random weights for {det_steps} iterations',
            [python, 'tools/det_train.py', FINETUNE, '--work-dir', str(work / 'random'), *det_options],
            work / 'random',
            det_steps,
            ('data',),
            str(det._cfg_dict),
        ),
        Step(
            'detco',
            f'fine-tuning Mask R-CNN from DetCo for {det_steps} iterations',
            [python, 'tools/det_train.py', FINETUNE, weights, '--work-dir', str(work / 'detco'), *det_options],
            work / 'detco',
            det_steps,
            ('export',),
            str(det._cfg_dict),
        ),
    ]


def _parsed(options: list[str]) -> dict[str, Any]:
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_args(['--cfg-options', *options]).cfg_options


def checkpoint(folder: Path) -> str:
    """Return the path of the last checkpoint that a training run wrote."""
    return (folder / 'last_checkpoint').read_text().strip()


def run(step: Step, number: str, log: Path, forecast: Forecast) -> float:
    """Run one step to its end, saying how far it is; leave the program if it fails."""
    command = [checkpoint(Path(part).parent) if part.endswith('/CHECKPOINT') else part for part in step.command]
    print(f'step {number}: {step.title}', flush=True)
    print(f'  $ python {" ".join(command[1:])}\n  log: {log}', flush=True)
    start, said, live = time.monotonic(), 0.0, sys.stdout.isatty()
    with log.open('w') as out:
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, 'PYTHONUNBUFFERED': '1', 'MPLBACKEND': 'Agg'},
        )
        try:
            while child.poll() is None:
                time.sleep(0.5)
                elapsed = time.monotonic() - start
                if elapsed - said < (1 if live else 20):
                    continue
                said, done = elapsed, fraction_done(step.folder, step.steps) if step.folder else 0.0
                line = (
                    f'  {100 * done:3.0f} % ' if step.steps else '  '
                ) + f'{clock(elapsed)} elapsed, about {clock(forecast.left(elapsed, done))} left overall'
                print(f'\r{line:<70}' if live else line, end='' if live else '\n', flush=True)
        except BaseException:
            child.terminate()
            child.wait()
            raise
    seconds = time.monotonic() - start
    if child.returncode:
        print(f'\n{tail(log)}\n\nstep {number} failed with exit code {child.returncode}; its log is {log}', flush=True)
        sys.exit(1)
    print(f'\r  done in {clock(seconds)}'.ljust(70 if live else 0), flush=True)
    return seconds


def main() -> None:
    """Read the command line, run what is not done yet, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', choices=sorted(SIZES, reverse=True), default='small')
    parser.add_argument('--seed', type=int, default=0, help='of the data, the weights and the order of images')
    parser.add_argument('--work-dir', default='work_dirs/demo')
    parser.add_argument('--fresh', action='store_true', help='repeat steps that are done')
    args = parser.parse_args()
    os.chdir(ROOT)
    work = Path(args.work_dir)
    work.mkdir(parents=True, exist_ok=True)
    steps = plan(args.size, args.seed, work)
    forecast = Forecast([SIZES[args.size]['seconds'][step.name] for step in steps])
    print(
        f'DetCo demo, size {args.size}, seed {args.seed}: {len(steps)} steps, about {clock(forecast.left())} on two '
        'cores from the start',
        flush=True,
    )
    seconds: dict[str, float] = {}
    renewed: set[str] = set()
    for at, step in enumerate(steps):
        stamp, number = work / f'{step.name}.done.json', f'{at + 1} of {len(steps)}'
        done = json.loads(stamp.read_text()) if stamp.is_file() else {}
        same = {key: done.get(key) for key in step.identity} == step.identity
        # The data's own command finds out by itself whether they are there.
        if same and not args.fresh and not renewed & set(step.needs) and step.name != 'data':
            print(f'step {number}: {step.title}: done before', flush=True)
            seconds[step.name] = done['seconds']
            forecast.finish(None)
            continue
        stamp.unlink(missing_ok=True)
        if step.folder:
            shutil.rmtree(step.folder, ignore_errors=True)
        seconds[step.name] = run(step, number, work / f'{step.name}.log', forecast)
        forecast.finish(seconds[step.name])
        if step.name != 'data' or not same:
            renewed.add(step.name)
        stamp.write_text(json.dumps({**step.identity, 'seconds': seconds[step.name]}))

    print('drawing the report', flush=True)
    data = steps[0].command[2]
    config = Config.fromfile(str(work / 'pretrain' / Path(PRETRAIN).name))
    pictures = demo_report.draw(
        pipeline=config.train_dataloader.dataset.pipeline,
        data=data,
        seed=args.seed,
        pretrain=work / 'pretrain',
        runs={name: (work / name / Path(FINETUNE).name, checkpoint(work / name)) for name in ('random', 'detco')},
    )
    metrics = {title: last_metrics(read_rows(work / name)) for name, title in demo_report.TITLES.items()}
    facts = {
        'size and seed': f'{args.size}, {args.seed}',
        'images': ', '.join(f'{count} {name}' for name, count in SIZES[args.size]['data'].items() if count),
        'configs': f'{PRETRAIN}, {FINETUNE}',
    }
    report = work / 'report.html'
    report.write_text(
        demo_report.page(
            args.size,
            metrics,
            pictures,
            facts,
            {step.title: (seconds[step.name], ' '.join(['python', *step.command[1:]])) for step in steps},
        )
    )
    print(f'\n{demo_report.table_text(metrics)}\n\n{demo_report.CAVEAT[args.size]}\n\nreport: {report}')


if __name__ == '__main__':
    main()
