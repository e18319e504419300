"""``detco-mm COMMAND ...`` and ``python -m detco_mm COMMAND ...``: the tools, from an installed package.

Each command is a file of tools/, which a wheel holds beside the configs, with its own command line.
"""

import os
import runpy
import sys
from pathlib import Path

TOOLS = Path(__file__).parent / '.mim/tools'
#: What each does, and its file.
COMMANDS = {
    'pretrain': ('a backbone from a folder of images, in one call', 'pretrain'),
    'train': ('what a config says', 'train'),
    'export': ('the backbone of a checkpoint for another library', 'export_backbone'),
    'finetune': ('a detector from a backbone', 'det_train'),
    'test': ('evaluate checkpoints of a detector, segmenter or classifier', 'test'),
    'report': ('a page for a run', 'report'),
    'probe': ('what frozen features of checkpoints are worth on labelled boxes', 'probe'),
    'verdict': ('did the pre-training help?', 'verdict'),
    'check': ('a folder of images: what is damaged, twice there, or in the test set', 'check_images'),
    'check-labels': ('labels in COCO format', 'check_labels'),
}


def main() -> None:
    """Run the tool that the first argument names, with the rest."""
    command, *rest = sys.argv[1:] or ['--help']
    if command not in COMMANDS:
        lines = '\n'.join(f'  {name:13} {said}' for name, (said, _) in COMMANDS.items())
        print(f'detco-mm COMMAND ...\n\n{lines}\n\ndetco-mm COMMAND --help tells more.')
        sys.exit(0 if command in ('-h', '--help') else f'no command "{command}"')
    tool = TOOLS / f'{COMMANDS[command][1]}.py'
    sys.argv = [str(tool), *rest]
    sys.path.insert(0, os.fspath(TOOLS))
    runpy.run_path(str(tool), run_name='__main__')


if __name__ == '__main__':
    main()
