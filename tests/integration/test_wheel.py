"""The metadata of the wheel says what it needs: with nothing else it pre-trains, exports and fine-tunes."""

import json
import subprocess
import sys
import sysconfig
import zipfile
from email import message_from_bytes
from importlib.metadata import distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.integration import layouts
from tests.integration.small_run import ROOT, photographs
from tests.integration.test_mim import DETECTOR, run, wheels  # noqa: F401  (a fixture)

# MMEngine's metadata names the OpenCV with windows; here is the one without, the same module.
SAME = {'opencv-python': 'opencv-python-headless'}


def needed(wheel, extras):
    """Names of the distributions that a wheel's metadata leads to."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith('.dist-info/METADATA')]
        left = [(line, extras) for line in message_from_bytes(archive.read(name)).get_all('Requires-Dist')]
    found = set()
    while left:
        line, wanted = left.pop()
        requirement = Requirement(line)
        if requirement.marker and not any(requirement.marker.evaluate({'extra': extra}) for extra in wanted or ['']):
            continue
        name = canonicalize_name(requirement.name)
        name = SAME.get(name, name)
        for extra in [(name, ''), *((name, extra) for extra in requirement.extras)]:
            if extra not in found:
                found.add(extra)
                left += [(line, [extra[1]]) for line in distribution(name).requires or ()]
    return {name for name, _ in found}


def environment(folder, wheel, names):
    """Make a virtual environment of a wheel and of the named distributions alone; return its Python."""
    run(sys.executable, '-m', 'venv', '--without-pip', folder, folder=folder.parent)
    packages = Path(sysconfig.get_path('purelib', 'posix_prefix', {'base': str(folder)}))
    for name in names:
        for part in {path.parts[0] for path in distribution(name).files} - {'..', '__pycache__'}:
            if not (packages / part).exists():  # several share a folder: nvidia
                (packages / part).symlink_to(distribution(name).locate_file(part))
    install = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--no-index', '--target', packages]
    run(sys.executable, *install, wheel, folder=folder)
    return folder / 'bin/python'


@pytest.mark.slow
def test_with_the_extra_det_and_nothing_else_a_wheel_pre_trains_exports_and_fine_tunes(wheels, tmp_path):  # noqa: F811
    names = needed(wheels['wheel'], ['det'])
    assert {'mmselfsup', 'mmcls', 'mmcv-lite', 'mmdet', 'torch'} <= names and not {'mmsegmentation', 'pytest'} & names
    python = environment(tmp_path / 'venv', wheels['wheel'], names)
    [packages] = tmp_path.glob('venv/lib/*/site-packages')
    [installed] = distributions(name='detco-mm', path=[str(packages)])
    assert ('detco-mm', 'detco_mm.__main__:main') in [(entry.name, entry.value) for entry in installed.entry_points]
    photographs(tmp_path / 'images', 16)
    root = layouts.embedded(tmp_path / 'data', train=4, val=2)
    line = ['-m', 'detco_mm', 'pretrain', 'images', '--backbone', 'resnet18', '--epochs', '1', '--out', 'mine']
    assert 'fine-tune a detector from it' in run(python, *line, folder=tmp_path)
    options = ['--cfg-options', 'train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'train_dataloader.batch_size=2']
    for part in ('train', 'val', 'test'):
        options += [f'{part}_dataloader.dataset.data_root={root}/', f'{part}_dataloader.num_workers=0']
        options.append(f'{part}_dataloader.persistent_workers=False')
    options.append(f'val_evaluator.ann_file={root}/annotations/instances_val.json')
    line = ['-m', 'detco_mm', 'finetune', DETECTOR, 'mine/backbone.pth', '--work-dir', 'detector', *options]
    said = run(python, *line, folder=tmp_path)
    assert 'coco/segm_mAP' in said and 'You should install ``mmcv``' not in said


@pytest.mark.slow
@pytest.mark.parametrize('extra', ['det', 'seg'])
def test_pip_finds_versions_that_fit_each_other(wheels, extra, tmp_path):  # noqa: F811
    where = f'detco-mm[{extra}] @ {wheels["wheel"].as_uri()}'
    line = [sys.executable, '-m', 'pip', 'install', '--quiet', '--dry-run', '--ignore-installed']
    done = subprocess.run([*line, '--report', tmp_path / 'report', where], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    chosen = {entry['metadata']['name']: entry for entry in json.loads((tmp_path / 'report').read_text())['install']}
    assert {'mmcv-lite', 'mmselfsup', 'mmcls', 'mmengine', 'torchvision'} <= set(chosen) and 'mmcv' not in chosen


@pytest.mark.exhaustive  # builds four times
def test_the_same_commit_makes_the_same_bytes(tmp_path):
    made = {}
    for name in ('one', 'other'):
        run('git', 'clone', '--quiet', ROOT, name, folder=tmp_path)
        (tmp_path / name / '.venv').symlink_to(Path(sys.prefix))
        (tmp_path / name / 'README.md').touch()
        # without set-up, which would make an environment of its own
        run('make', '--assume-old=setup', 'dist', folder=tmp_path / name)
        made[name] = {path.name: path.read_bytes() for path in (tmp_path / name / 'dist').iterdir()}
    assert len(made['one']) == 2 and made['one'] == made['other']
