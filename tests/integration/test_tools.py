"""The command-line tools on real images: what they do, and what they say when they cannot."""

import json
import math
import os
import runpy
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from detco_mm.engine.launch import evaluate
from tests.integration.small_run import CONFIG, ROOT, command, free_port, photographs, start
from tests.integration.test_resume import losses

DETECTOR = 'configs/mini/mask-rcnn_r18_fpn_embedded.py'


@pytest.fixture
def images(tmp_path):
    return photographs(tmp_path / 'images', 24)


def complaint(monkeypatch, line):
    """Run a tool in this process; return what it exits with."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, 'argv', line[1:])
    monkeypatch.setattr(sys, 'path', [str(ROOT / 'tools'), *sys.path])
    sys.modules.pop('_training', None)
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(line[1], run_name='__main__')
    return str(caught.value.code)


class Single(BaseMetric):
    """A metric that is NumPy's float32, as MMSegmentation's are under NumPy 2."""

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(value=np.float32(0.5))


class Untrained(BaseModel):
    def forward(self, inputs, mode='tensor'):
        return [inputs]


def test_metrics_of_single_precision_are_written(tmp_path):
    torch.save(dict(state_dict={}), tmp_path / 'weights.pth')
    loader = DataLoader([dict(inputs=0)], collate_fn=pseudo_collate)
    runner = Runner(
        Untrained(), str(tmp_path), test_dataloader=loader, test_cfg={}, test_evaluator=Single(), cfg=dict(model={})
    )
    runner.cfg.update(test_dataloader={}, test_evaluator={})
    evaluate(runner, [str(tmp_path / 'weights.pth')], str(tmp_path / 'metrics.json'))
    assert json.loads((tmp_path / 'metrics.json').read_text()) == {'value': 0.5}


@pytest.mark.parametrize(
    ('option', 'expected'),
    [
        ('data.root=absent/images', ['FileNotFoundError', 'absent/images']),
        ('model.queue_len=3', ['ValueError', '3', '4', 'model.queue_len']),
        ('model.head.pairs=[g2g,g2l]', ['ValueError', 'g2l', 'l2g']),
        ('model.head.stage_weights.res6=1', ['ValueError', 'res6', 'res5']),
        ('train_dataloader.dataset.pipeline.1.patch_size=25', ['ValueError', '72', '25']),
        ('load_from=absent.pth', ['FileNotFoundError', 'absent.pth']),
    ],
)
def test_bad_input_gets_one_message_before_the_first_step(monkeypatch, tmp_path, images, option, expected):
    options = [f'data.root={images}', option] if not option.startswith('data') else [option]
    line = command('tools/train.py', CONFIG, '--work-dir', tmp_path / 'run', options=options)
    message = complaint(monkeypatch, line)
    assert all(part in message for part in expected), message
    assert not losses(tmp_path / 'run')


def test_a_missing_config_and_a_missing_backbone_are_named(monkeypatch, tmp_path):
    assert 'no config at "absent.py"' in complaint(monkeypatch, [sys.executable, 'tools/train.py', 'absent.py'])
    line = [sys.executable, 'tools/det_train.py', 'configs/mini/mask-rcnn_r18_fpn_embedded.py', 'absent.pth']
    assert 'no checkpoint at "absent.pth"' in complaint(monkeypatch, line)


@pytest.mark.parametrize(
    ('line', 'words'),
    [
        (['tools/det_test.py', DETECTOR, 'absent.pth'], 'no checkpoint at "absent.pth"'),
        (['tools/det_test.py', 'absent.py', 'absent.pth'], 'no config at "absent.py"'),
        (['tools/ablate.py', 'absent.py', '--finetune', 'absent.py'], 'no file at "absent.py"'),
        (['tools/eval_frozen.py', 'configs/mini/detco_r18.py', 'absent.pth'], 'no checkpoint at "absent.pth"'),
        (['tools/split_coco.py', 'absent.json'], 'no annotations at "absent.json"'),
        (['tools/benchmark_mini.py', '--report-only', '--work-dir', 'absent'], 'no evaluation is done yet'),
    ],
)  # fmt: skip
def test_what_is_missing_is_named_in_one_message(monkeypatch, line, words):
    said = complaint(monkeypatch, [sys.executable, *line])
    assert words in said and '\n' not in said


def test_two_gloo_ranks_share_the_images_with_what_cannot_be_decoded_counted(tmp_path, images):
    (images / 'broken.jpg').write_bytes((images / '00.jpg').read_bytes()[:200])
    (images / 'empty.jpg').touch()
    (images / 'text.png').write_text('no image')
    line = command(
        'tools/dist_train.sh', CONFIG, 2, '--work-dir', tmp_path / 'run', '--amp', '--auto-scale-lr',
        options=[f'data.root={images}', 'train_cfg.max_epochs=2'],
    )  # fmt: skip
    log = tmp_path / 'log'
    assert start(line, log).wait(180) == 0, log.read_text()
    text = log.read_text()
    assert 'times up to now an image could not be decoded' in text
    for name in ('broken.jpg', 'empty.jpg', 'text.png'):  # whichever rank met it
        assert f'skipped {images / name}: ' in text
    state = torch.load(tmp_path / 'run/epoch_2.pth', weights_only=True)['state_dict']
    # 27 images over 2 ranks: 14 each, in 3 whole batches of 4, twice: 48 keys in a queue of 8
    assert all(math.isfinite(row['loss']) for row in losses(tmp_path / 'run').values())
    assert len(losses(tmp_path / 'run')) == 6 and int(state['queue.pointer']) == 0
    cfg = Config.fromfile(ROOT / CONFIG)
    scaled = cfg.optim_wrapper.optimizer.lr * 8 / cfg.auto_scale_lr.base_batch_size
    warm_up = cfg.param_scheduler[0].start_factor
    assert losses(tmp_path / 'run')[1]['lr'] == pytest.approx(scaled * warm_up, rel=0.01)


def test_images_that_cannot_be_decoded_stop_the_run_with_a_reason(tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    for at in range(12):
        (folder / f'{at}.jpg').write_bytes(b'no image')
    line = command('tools/train.py', CONFIG, '--work-dir', tmp_path / 'run', options=[f'data.root={folder}'])
    log = tmp_path / 'log'
    assert start(line, log).wait(120) != 0
    assert log.read_text().count('Error: ') == 1 and '0.jpg' in log.read_text()


def test_two_nodes_make_one_run(tmp_path, images):
    options = [f'data.root={images}', 'train_cfg.max_epochs=1']
    work_dir = tmp_path / 'run'
    line = command('tools/dist_train.sh', CONFIG, 1, '--work-dir', work_dir, options=options)
    logs = [tmp_path / 'log0', tmp_path / 'log1']
    port = free_port()
    nodes = [
        start(line, log, NNODES='2', NODE_RANK=str(rank), MASTER_ADDR='127.0.0.1', PORT=port)
        for rank, log in enumerate(logs)
    ]
    assert [node.wait(180) for node in nodes] == [0, 0], logs[0].read_text() + logs[1].read_text()
    assert len(losses(work_dir)) == 3  # 24 images over 2 ranks in batches of 4


# There is no Slurm here: stand-ins write down what would be asked of it, and leave what a run leaves that was stopped.
SRUN = """#!/bin/sh
echo "srun" "$@" >>asked
[ "$(grep -c ^srun asked)" -gt 1 ] || { mkdir -p run; echo "$SIGNAL iter_5.pth" >run/stopped_by_signal; exit 0; }
rm -f run/stopped_by_signal
"""
SCONTROL = """#!/bin/sh
echo "scontrol" "$@" >>asked
"""


def asked_of_slurm(folder, *flags, **environment):
    """What tools/slurm_train.sh asks of Slurm, line by line."""
    for name, text in (('srun', SRUN), ('scontrol', SCONTROL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    path = f'{folder}:{os.environ["PATH"]}'
    line = [ROOT / 'tools/slurm_train.sh', 'gpu', 'detco', CONFIG, 'run', *flags]
    subprocess.run(line, cwd=folder, env={**os.environ, 'PATH': path, 'SIGNAL': '', **environment}, check=True)
    return (folder / 'asked').read_text().splitlines()


def test_slurm_gets_one_task_a_gpu_and_the_flags_of_training(tmp_path):
    (asked,) = asked_of_slurm(tmp_path, '--amp', GPUS='16', SRUN_ARGS='--time 9')
    assert '--gres=gpu:8 --ntasks=16 --ntasks-per-node=8' in asked and '--time 9' in asked and 'USR1@120' in asked
    assert asked.endswith(f'{CONFIG} --work-dir=run --launcher slurm --amp')


def test_a_run_whose_time_was_up_goes_on_in_a_new_allocation(tmp_path):
    first, second = asked_of_slurm(tmp_path, SIGNAL='SIGUSR1')
    assert second == f'{first} --resume'


def test_a_run_that_was_cancelled_is_not_started_again(tmp_path):
    assert len(asked_of_slurm(tmp_path, SIGNAL='SIGTERM')) == 1


def test_a_batch_job_whose_time_was_up_is_queued_again_and_then_resumed(tmp_path):
    asked = asked_of_slurm(tmp_path, SIGNAL='SIGUSR1', SLURM_JOB_ID='7')
    assert asked[1:] == ['scontrol requeue 7'] and not asked[0].endswith('--resume')
    asked = asked_of_slurm(tmp_path, SLURM_JOB_ID='7', SLURM_RESTART_COUNT='1')
    assert asked[-1].endswith('--resume')


def test_help_needs_nothing_of_the_stack(tmp_path):
    stack = "import runpy, sys; sys.modules.update(dict.fromkeys(('torch', 'numpy', 'mmengine', 'detco_mm')));"
    run = "sys.path.insert(0, 'tools'); runpy.run_path(sys.argv[0], run_name='__main__')"
    for tool in ('train', 'test', 'det_train', 'det_test', 'cls_train', 'seg_train'):
        call = f"{stack} sys.argv = ['tools/{tool}.py', '--help']; {run}"
        done = subprocess.run([sys.executable, '-c', call], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0 and '--cfg-options KEY=VALUE' in done.stdout, done.stderr


def test_an_option_without_a_value_is_named():
    line = [sys.executable, 'tools/train.py', CONFIG, '--cfg-options', 'a=1', 'model.queue_len']
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and '--cfg-options model.queue_len: write KEY=VALUE' in done.stderr


@pytest.mark.parametrize(
    ('script', 'arguments', 'tool'),
    [
        ('dist_train.sh', [DETECTOR, 2, 'backbone.pth'], 'train.py'),
        ('dist_det_train.sh', [DETECTOR, 2, 'backbone.pth'], 'det_train.py'),
        ('dist_det_train.sh', [DETECTOR, 'backbone.pth', 2], 'det_train.py'),
        ('dist_test.sh', [DETECTOR, 2, 'backbone.pth'], 'test.py'),
        ('dist_test.sh', [DETECTOR, 'backbone.pth', 2], 'test.py'),
    ],
)
def test_scripts_take_config_gpus_and_the_rest_and_the_older_orders(tmp_path, script, arguments, tool):
    """With a Python that prints what it is given."""
    python = tmp_path / 'python'
    python.write_text('#!/bin/sh\n[ "$1" = -c ] && echo 1 || echo "$@"\n')
    python.chmod(0o755)
    line = ['bash', ROOT / 'tools' / script, *map(str, arguments), '--work-dir', 'run']
    done = subprocess.run(line, capture_output=True, text=True, env={**os.environ, 'PYTHON': str(python)})
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert '--nproc_per_node=2' in said and f'/{tool} {DETECTOR} backbone.pth --work-dir run --launcher pytorch' in said
