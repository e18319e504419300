"""Evaluate a detector with MMDetection on the test data of its config.

    python tools/det_test.py CONFIG CHECKPOINT [--work-dir DIR] [--out METRICS.json] [--cfg-options KEY=VALUE ...]

COCO's configs name val2017 as their test data, those of the embedded set a split that nothing else looks at.
"""

from _training import main

if __name__ == '__main__':
    main(default_scope='mmdet', tests=True)
