"""Versions that do not work are named in one line, with the way out."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from detco_mm.compat import versions


def test_the_installed_stack_is_accepted():
    versions.check_versions()


@pytest.mark.parametrize(
    ('name', 'found', 'expected'),
    [
        ('mmcv', '2.1.0', "run pip uninstall -y mmcv, then pip install 'mmcv-lite>=2.0.0rc4,<2.1'"),
        ('mmcv-lite', None, "mmcv-lite is not installed; >=2.0.0rc4,<2.1 is needed: run pip install 'mmcv-lite>="),
        ('mmcls', '0.25.0', "mmcls 0.25.0 does not work here; >=1.0.0rc6,<1.1 is needed: run pip install 'mmcls>="),
        ('mmselfsup', None, "mmselfsup is not installed; >=1.0.0,<1.1 is needed: run pip install 'mmselfsup>="),
    ],
)
def test_a_wrong_version_gets_one_line_with_name_version_range_and_command(name, found, expected):
    def installed(distribution):
        if distribution == name:
            if found is None:
                raise PackageNotFoundError(distribution)
            return found
        return version(distribution)

    with pytest.raises(versions.StackError) as caught:
        versions.check_versions(installed)
    assert expected in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('mmcv', [{'mmcv': '2.0.1'}, {'mmcv-lite': '2.0.1'}, {'mmcv': '2.0.1', 'mmcv-lite': '2.0.1'}])
def test_mmcv_may_be_compiled_or_lite(mmcv):
    versions.check_versions(with_mmcv(mmcv))


def test_two_versions_of_mmcv_that_overwrite_each_other_are_refused():
    with pytest.raises(versions.StackError, match='mmcv 2.0.0 and mmcv-lite 2.0.1 are installed and write the same'):
        versions.check_versions(with_mmcv({'mmcv': '2.0.0', 'mmcv-lite': '2.0.1'}))


def with_mmcv(found):
    """The installed versions, but for mmcv's two packages."""

    def installed(distribution):
        if distribution in ('mmcv', 'mmcv-lite'):
            if distribution not in found:
                raise PackageNotFoundError(distribution)
            return found[distribution]
        return version(distribution)

    return installed


def test_a_missing_libgl_gets_one_line_with_the_way_out():
    def load(name):
        raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')

    with pytest.raises(versions.StackError) as caught:
        versions.check_opencv(load)
    assert '(libGL.so.1: cannot open' in str(caught.value) and '\n' not in str(caught.value)
    assert 'then pip install opencv-python-headless' in str(caught.value)


def test_a_missing_opencv_is_named_and_what_it_lacks_itself_is_not_hidden():
    def lacks(name):
        return lambda _: (_ for _ in ()).throw(ModuleNotFoundError(f"No module named '{name}'", name=name))

    with pytest.raises(versions.StackError, match='OpenCV is not installed: run pip install opencv-python-headless'):
        versions.check_opencv(lacks('cv2'))
    with pytest.raises(ModuleNotFoundError, match='numpy'):
        versions.check_opencv(lacks('numpy'))


def test_the_message_comes_before_any_import_of_the_stack(tmp_path):
    (tmp_path / 'cv2.py').write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(tmp_path), *sys.path])}
    tool = Path(__file__).parents[2] / 'tools/check_stack.py'
    done = subprocess.run([sys.executable, tool], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith('StackError: OpenCV does not load (libGL.so.1: cannot open')


@pytest.mark.parametrize(('found', 'warns'), [('2.5.1+cu121', True), ('2.9.1', True), ('2.10.0', False)])
def test_a_pytorch_that_reads_files_unsafely_trains_with_a_warning(found, warns, recwarn):
    versions.check_versions(lambda name: found if name == 'torch' else version(name))
    said = [str(warning.message) for warning in recwarn]
    assert len(said) == warns and all('it trains, but' in text and "pip install 'torch>=2.10'" in text for text in said)


@pytest.mark.parametrize('found', ['Python 3.10.13', 'no Python'])
def test_set_up_with_a_python_that_does_not_fit_ends_before_it_begins(found, tmp_path):
    root = Path(__file__).parents[2]
    for name in ('Makefile', 'constraints.txt', 'setup.cfg', 'pyproject.toml', 'tools/setup.sh'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy2(root / name, tmp_path / name)
    other = tmp_path / 'python'
    if found != 'no Python':
        other.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo {found}\n')  # which any code fails in, as it should
        other.chmod(0o755)
    done = subprocess.run(['make', 'setup', f'PYTHON={other}'], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert f'{other} is {found}, and 3.11 or newer is needed' in done.stderr
    assert 'make setup PYTHON=' in done.stderr and not (tmp_path / '.venv').exists()
