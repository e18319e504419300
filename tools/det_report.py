"""One page about fine-tuning runs, while they go on or after: every evaluation, losses and AP over the iterations.

    python tools/det_report.py RUN [RUN ...] [--out FILE.html]

RUN is a work directory of tools/det_train.py, or of one of the other training tools. Several are drawn into the same
axes. The tables are printed, too.
"""

import argparse
from pathlib import Path

import _stack  # noqa: F401

from detco_mm.checkpoints.files import write_atomically
from detco_mm.engine.errors import said_in_one_line
from detco_mm.visualization.curves import evaluation_curves, finetuning_curves
from detco_mm.visualization.figures import RUN_COLOURS
from detco_mm.visualization.report import Section, evaluation_table, html_page, text_table
from detco_mm.visualization.scalars import evaluations, read_rows

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', nargs='+', help='work directories')
    parser.add_argument('--out', help='report.html in the first work directory by default')
    args = parser.parse_args()
    with said_in_one_line():
        if len(args.runs) > len(RUN_COLOURS):
            raise ValueError(f'{len(args.runs)} runs: at most {len(RUN_COLOURS)} can be told apart in one picture')
        runs = {str(Path(run)): read_rows(run, newest_only=False) for run in args.runs}
        if empty := [name for name, rows in runs.items() if not rows]:
            raise ValueError(
                f'nothing was logged in "{empty[0]}": it holds no */vis_data/scalars.json; give a work dir'
            )
        tables = {name: evaluation_table(found, 'after') for name, rows in runs.items() if (found := evaluations(rows))}
        for name, table in tables.items():
            print(f'{name}\n{text_table(table)}\n')
        sections = [Section('Fine-tuning', pictures=evaluation_curves(runs) | finetuning_curves(runs))]
        sections += [Section(name, tables=[table]) for name, table in tables.items()]
        out = Path(args.out or Path(args.runs[0], 'report.html'))
        write_atomically(out, html_page('Fine-tuning', sections))
        print(out)
