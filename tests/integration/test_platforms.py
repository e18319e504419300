"""Pre-training and fine-tuning where what Linux has is missing, as it is on macOS or Windows.

Pre-training has neither MMDetection nor mmcv's operations there, which it does not need on any system.
"""

import os
import subprocess
import sys

import pytest

from tests.integration import layouts
from tests.integration.small_run import CONFIG, ROOT, command, photographs
from tests.integration.test_resume import losses

#: Python imports it as it starts, in every process: the run, and its data workers, which are started by spawn.
ELSEWHERE = """
import builtins, multiprocessing, multiprocessing.context as contexts, os, signal, sys
for name in {missing!r}:
    delattr(signal, name)
del os.sched_getaffinity
del contexts._concrete_contexts['fork'], contexts._concrete_contexts['forkserver']
contexts._default_context._default_context = contexts._concrete_contexts['spawn']
multiprocessing.get_all_start_methods = lambda: ['spawn']

def without_proc(path, *arguments, open=builtins.open, **more):
    if str(path).startswith('/proc'):
        raise FileNotFoundError(2, 'No such file or directory', path)
    return open(path, *arguments, **more)

builtins.open = without_proc

class Late:  # PyTorch itself asks sys.platform whether these exist
    def find_spec(self, name, path=None, target=None):
        if name == 'detco_mm.engine' and hasattr(os, 'fork') and 'SIGUSR1' in {missing!r}:
            del os.fork, os.register_at_fork

sys.meta_path.insert(0, Late())
"""
#: What a pre-training needs neither of: importing these fails.
ABSENT = """
sys.modules.update(dict.fromkeys(('mmcv.ops', 'mmcv._ext', 'mmdet')))
"""
MISSING = {
    'macOS': ['sigwaitinfo', 'sigtimedwait'],
    'Windows': ['SIGUSR1', 'SIGUSR2', 'sigwaitinfo', 'sigtimedwait', 'sigwait', 'pthread_sigmask', 'pthread_kill'],
}
WORKERS = ['train_dataloader.num_workers=1', 'train_dataloader.persistent_workers=True']


@pytest.fixture(params=MISSING)
def elsewhere(request, tmp_path, monkeypatch):
    """Have processes start as on another system."""
    (tmp_path / 'site').mkdir()
    (tmp_path / 'site/sitecustomize.py').write_text(ELSEWHERE.format(missing=MISSING[request.param]))
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(tmp_path / 'site'), str(ROOT)]))
    proof = 'import signal, multiprocessing; print(hasattr(signal, "sigwaitinfo"), multiprocessing.get_start_method())'
    assert subprocess.check_output([sys.executable, '-c', proof], text=True).split() == ['False', 'spawn']
    return request.param


# of the two systems, the one where such a run once never ended
SYSTEMS = [pytest.param('macOS', marks=pytest.mark.slow), pytest.param('Windows', marks=pytest.mark.exhaustive)]


@pytest.mark.parametrize('elsewhere', SYSTEMS, indirect=True)
def test_pre_training_with_data_workers_runs_and_ends(elsewhere, tmp_path):
    with (tmp_path / 'site/sitecustomize.py').open('a') as file:
        file.write(ABSENT)
    images = photographs(tmp_path / 'images', 12)
    (images / '03.jpg').write_text('no image')  # counted in memory that the workers share
    options = [f'data.root={images}', 'train_cfg.max_epochs=1', *WORKERS]
    line = command('tools/train.py', CONFIG, '--work-dir', tmp_path / 'run', options=options)
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert len(losses(tmp_path / 'run')) == 3 and (tmp_path / 'run/epoch_1.pth').is_file()
    assert '1 times up to now an image could not be decoded' in done.stdout + done.stderr


@pytest.mark.exhaustive  # starts its workers as pre-training does
@pytest.mark.parametrize('elsewhere', MISSING, indirect=True)
def test_fine_tuning_with_data_workers_runs_and_ends(elsewhere, tmp_path):
    root = layouts.embedded(tmp_path / 'data', train=4, val=2)
    options = ['train_dataloader.batch_size=2', 'train_cfg.max_iters=2', 'train_cfg.val_interval=2']
    options += ['default_hooks.checkpoint.interval=2', f'val_evaluator.ann_file={root}/annotations/instances_val.json']
    for part in ('train', 'val'):
        options += [f'{part}_dataloader.dataset.data_root={root}/', f'{part}_dataloader.num_workers=1']
    line = [sys.executable, 'tools/det_train.py', 'configs/mini/mask-rcnn_r18_fpn_embedded.py']
    line += ['--work-dir', str(tmp_path / 'run'), '--cfg-options', *options]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (tmp_path / 'run/iter_2.pth').is_file() and 'coco/segm_mAP' in done.stdout + done.stderr
