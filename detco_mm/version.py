"""The package's version, and what it runs with."""

import contextlib
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__version__ = '0.2.0'


def commit() -> str:
    """Return the commit of the working copy that the package runs from; 'unknown' for an installed one."""
    line = ['git', 'describe', '--always', '--dirty', '--abbrev=12', '--exclude=*']
    try:
        done = subprocess.run(line, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return 'unknown'
    return done.stdout.strip() if done.returncode == 0 and _tracked() else 'unknown'


def versions() -> dict[str, str]:
    """Return the versions of what a result depends on and is installed, and the machine."""
    import torch  # not for the version alone, which set-up asks for before there is a torch

    found = {'Python': platform.python_version()}
    for name in ('torch', 'torchvision', 'numpy', 'mmengine', 'mmcv', 'mmcv-lite', 'mmselfsup', 'mmdet'):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    if torch.cuda.is_available():
        machine = f'{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}'
    elif torch.backends.mps.is_available():
        machine = f'GPU of an {platform.machine()} Mac'
    else:
        machine = f'CPU, {torch.get_num_threads()} threads, {platform.machine()}, no GPU'
    return {**found, 'machine': f'{platform.system()}, {machine}{_processor()}'}


def _processor() -> str:
    """Name the processor where Linux tells it."""
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        return ''
    return next((f', {line.split(":", 1)[1].strip()}' for line in lines if line.startswith('model name')), '')


def _tracked() -> bool:
    """Whether the repository around the package is its own, and not one that has it in a virtual environment."""
    line = ['git', 'ls-files', '--error-unmatch', Path(__file__).name]
    return subprocess.run(line, cwd=Path(__file__).parent, capture_output=True).returncode == 0
