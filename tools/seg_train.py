"""Fine-tune a segmenter with MMSegmentation from an exported backbone.

    python tools/seg_train.py CONFIG [BACKBONE] [--work-dir DIR] [--resume [CHECKPOINT]] [--cfg-options KEY=VALUE ...]

BACKBONE is any checkpoint that holds one, as for tools/det_train.py. A key that does not fit stops the run.
tools/det_test.py evaluates the run's checkpoints.
"""

from _command_line import parse

if __name__ == '__main__':
    args = parse('mmseg')
    from _training import main  # not before: the stack takes seconds to import

    main(args)
