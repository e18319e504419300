"""The README's commands as written, on less data and for fewer steps."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text()
# What each tool gets at the end of its command, and nothing else, to be done in seconds.
SHORTER = {
    'tools/make_data.py': ['--unlabelled', '48', '--train', '8', '--val', '4', '--test', '4'],
    'configs/mini/detco_r18.py': [
        'train_dataloader.batch_size=8',
        'model.queue_len=32',
        'train_cfg.max_epochs=1',
        'param_scheduler.1.T_max=1',
        'default_hooks.checkpoint.interval=1',
    ],
    'configs/mini/mask-rcnn_r18_fpn_embedded.py': [
        'train_dataloader.batch_size=2',
        'train_cfg.max_iters=3',
        'train_cfg.val_interval=3',
        'default_hooks.checkpoint.interval=3',
    ],
}


def commands(language):
    """List the commands of all blocks of a language, joined where a backslash breaks the line."""
    blocks = re.findall(rf'^```{language}\n(.*?)^```', README, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.replace('\\\n', '').splitlines() if line.strip()]


def shortened(command):
    for part, extra in SHORTER.items():
        if part in command and not re.search(r'tools/(visualize|eval_frozen)\.py', command):
            options = [] if part.endswith('make_data.py') or '--cfg-options' in command else ['--cfg-options']
            return ' '.join([command, *options, *map(shlex.quote, extra)])
    return command


@pytest.fixture(scope='module')
def checkout(tmp_path_factory):
    """A copy of what a clone has, so that data and work_dirs stay out of this one."""
    folder = tmp_path_factory.mktemp('clone')
    for name in ('configs', 'tools'):
        shutil.copytree(ROOT / name, folder / name)
    return folder


def test_the_first_two_commands_are_targets_of_the_makefile():
    assert commands('bash')[:2] == ['make demo', 'make test']
    for line in ('make demo', 'make test', 'make demo SIZE=medium', 'make setup', 'make check'):
        assert line in README
        subprocess.run([*line.split(), '--dry-run', '--silent'], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def test_commands_that_a_laptop_can_run_do(checkout):
    environment = {**os.environ, 'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}', 'PORT': '29741'}
    ran = [command for command in commands('bash') if not command.startswith('make ')]
    assert len(ran) >= 8
    for command in ran:
        done = subprocess.run(
            ['bash', '-c', shortened(command)], cwd=checkout, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f'{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}'
    assert (checkout / 'work_dirs/mini/detco_r18.pth').is_file()


def test_every_file_that_the_readme_names_is_there():
    named = set(re.findall(r'(?:configs|tools|detco_mm|docs)/[\w./-]+\.(?:py|sh|png)', README))
    assert len(named) > 8
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_commands_for_many_gpus_name_a_config_that_builds():
    from mmengine.config import Config

    for command in commands('sh'):
        for config in re.findall(r'configs/\S+\.py', command):
            assert Config.fromfile(ROOT / config).model
