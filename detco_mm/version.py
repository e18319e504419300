"""The package's version."""

import subprocess
from pathlib import Path

__version__ = '0.1.0'


def commit() -> str:
    """Return the commit of the working copy that the package runs from; 'unknown' for an installed one."""
    line = ['git', 'describe', '--always', '--dirty', '--abbrev=12', '--exclude=*']
    try:
        done = subprocess.run(line, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return 'unknown'
    return done.stdout.strip() if done.returncode == 0 and _tracked() else 'unknown'


def _tracked() -> bool:
    """Whether the repository around the package is its own, and not one that has it in a virtual environment."""
    line = ['git', 'ls-files', '--error-unmatch', Path(__file__).name]
    return subprocess.run(line, cwd=Path(__file__).parent, capture_output=True).returncode == 0
