"""Whether a long run stays as it was: memory, open files and throughput of a pre-training run over an hour.

    python tools/benchmarks/soak.py [--minutes 60] [--config CONFIG] [--out FILE.png] [--json FILE] [KEY=VALUE ...]

Starts tools/train.py with the given settings, looks at its processes every few seconds, and ends it by SIGTERM. Memory
is what a process has to itself (USS), of the main process and of all data workers; the peaks are checkpoints being
written. Images a second of processor time tell of the run alone, images a second also of what else the machine does.
The first tenth is warming up; of the rest, the last fifth is compared with the first one.
"""

import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import psutil
from _harness import parser, report
from mmengine.config import Config

from detco_mm.checkpoints.files import write_atomically
from detco_mm.visualization.figures import INK, RUN_COLOURS, STYLE, png
from detco_mm.visualization.progress import clock
from detco_mm.visualization.scalars import read_rows, training_rows

ROOT = Path(__file__).resolve().parents[2]
QUANTITIES = {
    'main': ('memory of the main process', 'MiB'),
    'workers': ('memory of the data workers', 'MiB'),
    'files': ('open files of all processes', ''),
    'rate': ('throughput', 'images/s'),
    'processor_rate': ('throughput, processor time', 'images/s'),
}


def look(process: psutil.Process) -> dict[str, float]:
    """Memory in MiB and open files at this moment, and seconds of processor time up to now."""
    workers = process.children(recursive=True)
    spent = [one.cpu_times() for one in (process, *workers)]
    return dict(
        main=process.memory_full_info().uss / 2**20,
        workers=sum(worker.memory_full_info().uss for worker in workers) / 2**20,
        files=process.num_fds() + sum(worker.num_fds() for worker in workers),
        processor=sum(times.user + times.system for times in spent),
    )


def drift(times: list[float], values: list[float]) -> float | None:
    """How far the last fifth lies from the first one, once a tenth of the time is over, as a share.

    None where the first fifth has nothing to compare with: no look yet, or no step between its looks.
    """
    start, end = times[0] + 0.1 * (times[-1] - times[0]), times[-1]
    fifth = (end - start) / 5
    first = [value for moment, value in zip(times, values, strict=True) if start <= moment <= start + fifth]
    last = [value for moment, value in zip(times, values, strict=True) if moment >= end - fifth]
    base = statistics.median(first) if first else 0.0
    return statistics.median(last) / base - 1 if base else None


def percent(share: float | None) -> str:
    """Write a drift."""
    return 'unknown' if share is None else f'{100 * share:+.1f} %'


def add_throughput(seen: list[dict[str, float]], batch: int, span: float) -> None:
    """Add to each look the images a second, of the `span` seconds before it."""
    for index, now in enumerate(seen):
        before = next((past for past in seen[:index] if past['time'] >= now['time'] - span), now)
        images = batch * (now['step'] - before['step'])
        for name, clock_of in (('rate', 'time'), ('processor_rate', 'processor')):
            took = now[clock_of] - before[clock_of]
            now[name] = images / took if took > 0 else 0.0


def draw(seen: list[dict[str, float]], drifts: dict[str, float | None]) -> bytes:
    """All quantities over time."""
    minutes = [one['time'] / 60 for one in seen]
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(len(QUANTITIES), 1, figsize=(8, 9.5), sharex=True)
        for axes, (name, (title, unit)), colour in zip(panels, QUANTITIES.items(), RUN_COLOURS, strict=True):
            axes.plot(minutes, [one[name] for one in seen], color=colour)
            axes.set_ylim(0, 1.25 * max(one[name] for one in seen) or 1)
            axes.set_title(f'{title}, from first to last fifth {percent(drifts[name])}')
            axes.set_ylabel(unit, color=INK)
        panels[-1].set_xlabel('minutes')
        figure.tight_layout()
        return png(figure)


def main() -> None:
    """Run, look, end, draw."""
    flags = parser(__doc__, repeats=1)
    flags.add_argument('--minutes', type=float, default=60, help='default: %(default)s')
    flags.add_argument('--interval', type=float, default=5, help='seconds from look to look; default: %(default)s')
    flags.add_argument('--config', default='configs/mini/detco_r18.py', help='default: %(default)s')
    flags.add_argument('--out', type=Path, default=Path('work_dirs/soak.png'), help='default: %(default)s')
    flags.add_argument('options', nargs='*', metavar='KEY=VALUE', help='settings of the config')
    args = flags.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work_dir, log = Path(folder) / 'run', Path(folder) / 'log'
        options = ['train_cfg.max_epochs=1000000', 'default_hooks.logger.interval=5', *args.options]
        line = [sys.executable, 'tools/train.py', args.config, '--work-dir', str(work_dir), '--cfg-options', *options]
        with open(log, 'w') as out:
            run = subprocess.Popen(line, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
        process, seen = psutil.Process(run.pid), []
        start = None
        while run.poll() is None and (start is None or time.monotonic() - start < 60 * args.minutes):
            time.sleep(args.interval)
            rows = training_rows(read_rows(work_dir)) if work_dir.is_dir() else []
            if not rows:
                continue
            start = start or time.monotonic()
            try:
                seen.append(dict(time=time.monotonic() - start, step=rows[-1]['step'], **look(process)))
            except psutil.NoSuchProcess:  # one that ended between being listed and looked at
                continue
            left = 60 * args.minutes - seen[-1]['time']
            print(f'\rstep {rows[-1]["step"]}, {clock(left)} left ', end='', file=sys.stderr, flush=True)
        if run.poll() is not None:
            sys.exit(f'the run ended by itself with exit code {run.returncode}:\n{log.read_text()[-3000:]}')
        run.send_signal(signal.SIGTERM)
        code = run.wait(600)
    print(file=sys.stderr)
    settings = Config.fromfile(ROOT / args.config)
    settings.merge_from_dict(dict(option.split('=', 1) for option in args.options))
    add_throughput(seen, int(settings.train_dataloader.batch_size), span=max(60.0, 4 * args.interval))
    times = [one['time'] for one in seen]
    drifts = {name: drift(times, [one[name] for one in seen]) for name in QUANTITIES}
    write_atomically(args.out, draw(seen, drifts))
    table = [['', 'first fifth to last', 'at the end']]
    for name, (title, unit) in QUANTITIES.items():
        table.append([title, percent(drifts[name]), f'{seen[-1][name]:.0f} {unit}'.strip()])
    title = f'{args.config}, {times[-1] / 60:.0f} minutes, {seen[-1]["step"]} steps, exit code {code} after SIGTERM'
    report(title, table, dict(drifts=drifts, exit_code=code, looks=seen), args.json)


if __name__ == '__main__':
    main()
