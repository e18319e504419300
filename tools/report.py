"""Write the page of a run: curves, evaluations, views, similarity maps, detections in one HTML file.

    python tools/report.py WORK_DIR [WORK_DIR ...]

WORK_DIR is that of a pre-training or a fine-tuning, be it finished, interrupted or still going. The page, report.html
in it, needs no other file and no network, and holds some of the run's images. A run writes it itself at its end.
"""

import argparse

import _stack  # noqa: F401

from detco_mm.engine.errors import said_in_one_line
from detco_mm.visualization.run_report import write_report

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', nargs='+', metavar='WORK_DIR')
    args = parser.parse_args()
    with said_in_one_line():
        for run in args.runs:
            print(write_report(run))
