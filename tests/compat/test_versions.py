"""Versions that do not work are named in one line, with the way out."""

import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from detco_mm.compat import versions


def test_the_installed_stack_is_accepted():
    versions.check_versions()


@pytest.mark.parametrize(
    ('name', 'found', 'expected'),
    [
        ('mmcv', '2.1.0', 'mmcv 2.1.0 does not work here; >=2.0.0rc4,<2.1 is needed: run make setup'),
        ('mmcls', '0.25.0', 'mmcls 0.25.0 does not work here; >=1.0.0rc6,<1.1 is needed: run pip install --no-deps '),
        ('mmselfsup', None, 'mmselfsup is not installed; >=1.0.0,<1.1 is needed: run pip install --no-deps '),
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
    assert str(caught.value).startswith(expected)
    assert '\n' not in str(caught.value)


def test_mmcv_lite_is_enough():
    def installed(distribution):
        if distribution == 'mmcv':
            raise PackageNotFoundError(distribution)
        return '2.0.1' if distribution == 'mmcv-lite' else version(distribution)

    versions.check_versions(installed)


@pytest.mark.parametrize(('found', 'warns'), [('2.5.1+cu121', True), ('2.9.1', True), ('2.10.0', False)])
def test_a_pytorch_that_reads_files_unsafely_trains_with_a_warning(found, warns, recwarn):
    versions.check_versions(lambda name: found if name == 'torch' else version(name))
    said = [str(warning.message) for warning in recwarn]
    assert len(said) == warns and all('it trains, but' in text and "pip install 'torch>=2.10'" in text for text in said)


@pytest.mark.parametrize('found', ['Python 3.13.1', 'no Python'])
def test_set_up_with_a_python_that_does_not_fit_ends_before_it_begins(found, tmp_path):
    root = Path(__file__).parents[2]
    for name in ('Makefile', 'constraints.txt', 'setup.cfg', 'pyproject.toml', 'tools/setup.sh', 'tools/build_mmcv.sh'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy2(root / name, tmp_path / name)
    other = tmp_path / 'python'
    if found != 'no Python':
        other.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo {found}\n')  # which any code fails in, as it should
        other.chmod(0o755)
    done = subprocess.run(['make', 'setup', f'PYTHON={other}'], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert f'{other} is {found}, and 3.11 or 3.12 is needed' in done.stderr
    assert 'make setup PYTHON=' in done.stderr and not (tmp_path / '.venv').exists()
