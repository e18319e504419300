"""Train a linear classifier with MMClassification on a frozen backbone.

    python tools/cls_train.py CONFIG [BACKBONE] [--work-dir DIR] [--resume [CHECKPOINT]] [--cfg-options KEY=VALUE ...]

BACKBONE is any checkpoint that holds one, as for tools/det_train.py. A key that does not fit stops the run.
"""

from _command_line import parse

if __name__ == '__main__':
    args = parse('mmcls')
    from _training import main  # not before: the stack takes seconds to import

    main(args)
