"""Evaluate a detector; the same as tools/test.py.

python tools/det_test.py CONFIG CHECKPOINT [CHECKPOINT ...] [--work-dir DIR] [--cfg-options KEY=VALUE ...]
"""

from _command_line import parse

if __name__ == '__main__':
    args = parse('mmdet', tests=True)
    from _training import main  # not before: the stack takes seconds to import

    main(args)
