"""Fine-tune a detector with MMDetection from an exported backbone.

    python tools/det_train.py CONFIG [BACKBONE] [--work-dir DIR] [--resume [CHECKPOINT]] [--cfg-options KEY=VALUE ...]

BACKBONE is any checkpoint that holds one: of this project's runs, exported, of MMSelfSup, of the unofficial
implementation, or released by others. Without it the config's own initialisation holds. A key that does not fit stops
the run: a backbone is never silently left random.
"""

from _command_line import parse

if __name__ == '__main__':
    args = parse('mmdet')
    from _training import main  # not before: the stack takes seconds to import

    main(args)
