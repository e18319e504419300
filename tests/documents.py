"""Commands in the documents, run as written or on less."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.integration.forked import python

ROOT = Path(__file__).parents[1]
EPOCH = [
    'train_dataloader.batch_size=8',
    'model.queue_len=16',
    'train_cfg.max_epochs=1',
    'default_hooks.checkpoint.interval=1',
]
STEPS = ['train_dataloader.batch_size=2', 'train_cfg.max_iters=3', 'train_cfg.val_interval=3']
# What the command of a tool, or of a tool with a config, gets at its end to be done in seconds.
SHORTER = {
    'pretrain.py': ['--epochs', '1'],
    'make_data.py': ['--unlabelled', '24', '--train', '40', '--val', '4', '--test', '4'],
    r'train\.(py|sh) configs/(mini/detco_r18|mine/pretrain|mine/adapt).py': EPOCH,
    'det_train.py configs/': [*STEPS, 'default_hooks.checkpoint.interval=3'],
}


def blocks(document: str, language: str) -> list[str]:
    """List a document's blocks of a language; a command that a backslash breaks is joined."""
    found = re.findall(rf'^```{language}\n(.*?)^```', (ROOT / document).read_text(), re.DOTALL | re.MULTILINE)
    return [block.replace('\\\n', '') for block in found]


def shortened(block: str) -> str:
    """Make a block's commands run on less data and for fewer steps."""
    lines = block.splitlines()
    for at, line in enumerate(lines):
        for pattern, extra in SHORTER.items():
            if re.search(rf'^(python )?tools/\S*{pattern}', line):
                options = [] if extra[0].startswith('--') or '--cfg-options' in line else ['--cfg-options']
                lines[at] = ' '.join([line, *options, *map(shlex.quote, extra)])
    return '\n'.join(lines)


def checkout(folder: Path) -> Path:
    """Copy what the commands need, so that data and work_dirs stay out of this checkout."""
    for name in ('configs', 'tools'):
        shutil.copytree(ROOT / name, folder / name)
    return folder


def run(block: str, folder: Path) -> str:
    """Run a block in a folder and return what it prints; a command that fails, fails the test."""
    path = [str(Path(python()).parent), str(Path(sys.executable).parent), os.environ['PATH']]
    environment = {**os.environ, 'PATH': ':'.join(path), 'OMP_NUM_THREADS': '1'}
    done = subprocess.run(
        ['bash', '-euo', 'pipefail', '-c', block], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f'{block}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}'
    return done.stdout
