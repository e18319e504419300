"""Compare fine-tuning runs on one page, while they go on or after: every evaluation, losses and AP over the iterations.

    python tools/det_report.py RUN [RUN ...] [--out FILE.html]

RUN is a work directory of tools/det_train.py, or of one of the other training tools. Several are drawn into the same
axes. The tables are printed, too. The page of a single run, with its detections, is written by tools/report.py.
"""

import argparse
from pathlib import Path

import _stack  # noqa: F401

from detco_mm.checkpoints.files import write_atomically
from detco_mm.engine.errors import said_in_one_line
from detco_mm.visualization.parts import finetuning_page
from detco_mm.visualization.report import text_table

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', nargs='+', help='work directories')
    parser.add_argument('--out', help='comparison.html in the first work directory by default')
    args = parser.parse_args()
    with said_in_one_line():
        page, tables = finetuning_page(args.runs)
        for name, table in tables.items():
            print(f'{name}\n{text_table(table)}\n')
        out = Path(args.out or Path(args.runs[0], 'comparison.html'))
        write_atomically(out, page)
        print(out)
