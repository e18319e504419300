"""Fine-tune a detector with MMDetection from an exported backbone.

    python tools/det_train.py CONFIG [BACKBONE] [--work-dir DIR] [--resume [CHECKPOINT]] [--cfg-options KEY=VALUE ...]

BACKBONE is a file written by tools/export_backbone.py; without it the config's own initialisation holds. A key that
does not fit stops the run: a backbone is never silently left random.
"""

from _training import main

if __name__ == '__main__':
    main(default_scope='mmdet')
