"""The mini benchmark: does DetCo help a detector more than MoCo v2 does, and both more than no pre-training?

    python tools/benchmark_mini.py [--size small|medium] [--seeds 0 1 2] [--report-only]

All methods see the same unlabelled images equally often. Each backbone is then fine-tuned with the same number of
iterations, and tested on a split that nothing else looks at. Interrupted, it goes on where it was. Seeds can be shared
out to several processes, each with its own --seeds; a last call with all of them writes the table.
"""

import argparse
import os
from pathlib import Path

import _stack  # noqa: F401

from detco_mm.engine.checks import check_seeds, check_work_dir
from detco_mm.engine.errors import said_in_one_line
from detco_mm.experiments import benchmark_mini

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', choices=sorted(benchmark_mini.SIZES, reverse=True), default='small')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2], help='default: 0 1 2')
    parser.add_argument('--work-dir', help='work_dirs/benchmark-mini-SIZE by default')
    parser.add_argument('--out', help='folder for table, plot and CSV; the work dir by default')
    parser.add_argument('--report-only', action='store_true', help='write the table of what is done, run nothing')
    args = parser.parse_args()
    root = Path(__file__).resolve().parents[1]
    os.chdir(root)
    work = Path(args.work_dir or f'work_dirs/benchmark-mini-{args.size}')
    with said_in_one_line():
        check_seeds(args.seeds)
        check_work_dir(work)
        files = benchmark_mini.run(args.size, args.seeds, work, Path(args.out or work), root, args.report_only)
        print(files[1].read_text(encoding='utf-8') + '\n' + '\n'.join(map(str, files)))
