"""Evaluate a detector, a segmenter or a classifier on the test data of its config.

    python tools/test.py CONFIG CHECKPOINT [CHECKPOINT ...] [--work-dir DIR] [--cfg-options KEY=VALUE ...]

The table of all is printed and in DIR/metrics.md, the metrics of each in DIR/metrics/SETTINGS/NAME.json or, of a single
one, in --out FILE. Of several checkpoints, those that were evaluated before with the same settings are not again.
COCO's configs name val2017 as their test data, those of the embedded set a split that nothing else looks at.

On several GPUs use tools/dist_test.sh.
"""

from _command_line import parse

if __name__ == '__main__':
    args = parse('mmdet', tests=True)
    from _training import main  # not before: the stack takes seconds to import

    main(args)
