"""Live progress in a terminal: beside the log, and gone with the run however that ends."""

import signal

import pytest

from tests.integration import layouts
from tests.integration.small_run import command, photographs
from tests.integration.terminal import Terminal, screen


def test_a_pre_training_shows_its_progress_and_its_log_is_intact(tmp_path):
    options = [f'data.root={photographs(tmp_path / "images", 12)}', 'train_cfg.max_epochs=2']
    terminal = Terminal(command('tools/train.py', 'configs/mini/detco_r18.py', '--work-dir', tmp_path / 'run',
                                options=options)[1:])  # fmt: skip
    assert terminal.wait() == (0, True), terminal.text
    assert 'training' in terminal.text and '/6' in terminal.text and 'images/s' in terminal.text
    assert '\x1b[?' not in terminal.text, 'a mode of the terminal that a killed run would leave'
    (log,) = (tmp_path / 'run').glob('*/*.log')
    lines = log.read_text()
    assert '\r' not in lines and '\x1b' not in lines and ' left' not in lines
    steps = [line.partition(' - ')[2] for line in lines.splitlines() if 'Epoch(train)' in line]
    rows = screen(terminal.text)
    assert [row.partition(' - ')[2] for row in rows if 'Epoch(train)' in row] == steps and len(steps) == 6
    assert rows[-1] == '' and not any('━' in row for row in rows)


def test_a_fine_tuning_shows_it_and_control_c_leaves_the_terminal_as_it_was(tmp_path):
    pytest.importorskip('mmdet')
    root = layouts.embedded(tmp_path / 'data', train=4, val=2)
    options = ['train_cfg.max_iters=500', 'train_cfg.val_interval=2', 'default_hooks.logger.interval=1']
    options += ['train_dataloader.batch_size=2', f'val_evaluator.ann_file={root}/annotations/instances_val.json']
    for part in ('train', 'val'):
        options += [f'{part}_dataloader.dataset.data_root={root}/', f'{part}_dataloader.num_workers=0']
        options.append(f'{part}_dataloader.persistent_workers=False')
    terminal = Terminal(
        ['tools/det_train.py', 'configs/mini/mask-rcnn_r18_fpn_embedded.py', '--work-dir', tmp_path / 'run']
        + ['--cfg-options', *options]
    )
    terminal.wait_for('evaluating')
    terminal.wait_for('4/500')
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.wait() == (130, True)
    rows = screen(terminal.text)
    assert rows[-1] == '' and not any('━' in row for row in rows) and '\x1b[?' not in terminal.text
    assert 'images/s' in terminal.text and 'loss ' in terminal.text
