"""OpenMMLab's mim finds configs and tools in an installed wheel, without the checkout, and in an editable install."""

import math
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.integration.small_run import NARROW, ROOT, photographs
from tests.integration.test_resume import losses

DETECTOR = 'configs/mini/mask-rcnn_r18_fpn_embedded.py'


def run(python, *arguments, folder, fails=False):
    """Run Python in a folder, without a way to the checkout; return what it printed."""
    variables = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    variables |= {'HOME': str(folder), 'OMP_NUM_THREADS': '1'}  # mim makes a cache in HOME
    done = subprocess.run([python, *map(str, arguments)], cwd=folder, env=variables, capture_output=True, text=True)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def tracked(*folders):
    done = subprocess.run(['git', 'ls-files', '-z', *folders], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.split('\0')[:-1]


def clone(folder):
    """Copy the files that git knows, so that builds litter the copy."""
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


def build(hook, source, folder):
    """Call a hook of the build backend, as pip does; return what it made in an empty folder."""
    call = 'import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])'
    run(sys.executable, '-c', call, hook, folder, folder=source)
    return next(folder.glob('detco_mm*'))


@pytest.fixture(scope='module')
def wheels(tmp_path_factory):
    """The wheel that pip builds from a checkout, and the one that it builds from a source distribution."""
    source, made = clone(tmp_path_factory.mktemp('clone')), tmp_path_factory.mktemp('made')
    wheel = ['-m', 'pip', 'wheel', '--quiet', '--no-deps', '--no-index', '--no-build-isolation', '--wheel-dir']
    run(sys.executable, *wheel, made / 'sdist', build('build_sdist', source, made), folder=made)
    shutil.rmtree(source)
    run(sys.executable, *wheel, made / 'wheel', clone(source), folder=made)
    return {kind: next((made / kind).glob('*.whl')) for kind in ('sdist', 'wheel')}


def environment(folder, wheel):
    """Make a virtual environment of a wheel and of all that this one has but detco_mm; return its Python."""
    run(sys.executable, '-m', 'venv', '--without-pip', folder, folder=folder.parent)
    packages = sysconfig.get_path('purelib', 'posix_prefix', {'base': str(folder)})
    install = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--no-index', '--target', packages]
    run(sys.executable, *install, wheel, folder=folder)
    # A .pth file's folder comes after the wheel's, and .pth files in it, such as an editable install's, are not read.
    with open(f'{packages}/everything_else.pth', 'w') as file:
        file.write(sysconfig.get_path('purelib') + '\n')
        # but for setuptools', which stands in for the distutils that Python 3.12 has no more
        file.write(Path(sysconfig.get_path('purelib'), 'distutils-precedence.pth').read_text() + '\n')
    return folder / 'bin/python'


@pytest.fixture(scope='module')
def python(wheels, tmp_path_factory):
    return environment(tmp_path_factory.mktemp('installed') / 'venv', wheels['wheel'])


@pytest.mark.parametrize('kind', ['wheel', 'sdist'])
def test_a_wheel_holds_every_config_and_tool_as_it_is(wheels, kind):
    with zipfile.ZipFile(wheels[kind]) as archive:
        held = {name: archive.read(name) for name in archive.namelist() if '/.mim/' in name}
    names = ['model-index.yml', *tracked('configs', 'tools')]
    assert held == {f'detco_mm/.mim/{name}': (ROOT / name).read_bytes() for name in names}


@pytest.mark.slow
def test_mim_trains_a_config_found_by_its_name_in_an_empty_folder(python, tmp_path):
    photographs(tmp_path / 'images', 8)
    flags = ['--gpus', 0, '--work-dir', 'run', '--cfg-options', *NARROW, 'data.root=images', 'train_cfg.max_epochs=1']
    said = run(python, '-m', 'mim', 'train', 'detco_mm', 'detco_r18.py', *flags, folder=tmp_path)
    assert 'Training finished successfully' in said
    [package] = python.parents[1].glob('lib/*/site-packages/detco_mm')
    assert f'{package}/.mim/tools/train.py {package}/.mim/configs/mini/detco_r18.py' in said
    find = 'import importlib.util; print(importlib.util.find_spec("detco_mm").origin)'
    assert run(python, '-c', find, folder=tmp_path).strip() == f'{package}/__init__.py'
    assert (tmp_path / 'run/epoch_1.pth').is_file()
    logged = losses(tmp_path / 'run')
    assert len(logged) == 2 and all(math.isfinite(row['loss']) for row in logged.values())


@pytest.mark.exhaustive  # as from a checkout, below
def test_mim_runs_fine_tuning_with_a_config_of_the_package(python, tmp_path):
    line = ['-m', 'mim', 'run', 'detco_mm', 'det_train', DETECTOR, 'absent.pth']
    assert 'no checkpoint at "absent.pth"' in run(python, *line, folder=tmp_path, fails=True)


def test_mim_searches_the_index(python, tmp_path):
    line = ['-m', 'mim', 'search', 'detco_mm', '--config', 'detco_r50_8xb32-800e', '--field', 'epochs', 'config']
    said = run(python, *line, folder=tmp_path).split()
    assert said[-4:] == ['config', 'configs/detco_r50_8xb32-800e.py', 'epochs', '800']


@pytest.mark.exhaustive  # the wheel's are found above; pip's editable install is that of every set-up
def test_mim_finds_the_tools_of_an_editable_install_from_its_checkout(tmp_path):
    source = clone(tmp_path / 'clone')
    python = environment(tmp_path / 'venv', build('build_editable', source, tmp_path / 'made'))
    line = ['-m', 'mim', 'run', 'detco_mm', 'det_train', DETECTOR, 'absent.pth']
    said = run(python, *line, folder=source, fails=True)
    assert f'{source}/detco_mm/.mim/tools/det_train.py' in said and 'no checkpoint at "absent.pth"' in said
