"""Train a linear classifier with MMClassification on a frozen backbone.

    python tools/cls_train.py CONFIG [BACKBONE] [--work-dir DIR] [--resume [CHECKPOINT]] [--cfg-options KEY=VALUE ...]

BACKBONE is any checkpoint that holds one, as for tools/det_train.py. A key that does not fit stops the run.
"""

from _training import main

if __name__ == '__main__':
    main(default_scope='mmcls')
