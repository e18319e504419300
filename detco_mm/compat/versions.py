"""The versions of the OpenMMLab stack that work together, compared with what is installed."""

import contextlib
import importlib
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from packaging.version import Version

# Distributions, the versions that work together, and why the upper ends are where they are: MMSelfSup 1.0.0 asserts
# mmcls < 1.1 and mmcv < 2.1; MMEngine's get_installed_path needs pkg_resources, which setuptools 82 dropped.
RANGES: dict[tuple[str, ...], tuple[str, str]] = {
    ('torch',): ('2.0', '3'),
    ('mmengine',): ('0.10.4', '0.11'),
    ('mmcv', 'mmcv-lite'): ('2.0.0rc4', '2.1'),
    ('mmcls',): ('1.0.0rc6', '1.1'),
    ('mmselfsup',): ('1.0.0', '1.1'),
    ('setuptools',): ('40', '82'),
}


#: From this version on no file that ``torch.load(weights_only=True)`` lets in is known to run code (up to 2.5,
#: CVE-2025-32434) or to corrupt memory (up to 2.9, CVE-2026-24747).
SAFE_TORCH = '2.10'


class StackError(ImportError):
    """A package of the stack is missing or of a version that does not work; the message is one line."""


def check_versions(installed: Callable[[str], str] = version) -> None:
    """Compare what is installed with RANGES.

    Args:
        installed: gives the version of a distribution, or raises PackageNotFoundError.

    Raises:
        StackError: one line with the name, the version found, the range, and the command that fixes it.

    Warns of a PyTorch in which checkpoints are not safe to read; training does not suffer from it.
    """
    for names, (lowest, end) in RANGES.items():
        found: dict[str, str] = {}
        for name in names:
            with contextlib.suppress(PackageNotFoundError):
                found[name] = installed(name)
        wanted = f'>={lowest},<{end}'
        command = f"pip install '{names[-1]}{wanted}'"
        if not found:
            raise StackError(f'{names[-1]} is not installed; {wanted} is needed: run {command}')
        for name, number in found.items():
            if not Version(lowest) <= Version(number) < Version(end):
                first = '' if name == names[-1] else f'pip uninstall -y {name}, then '
                raise StackError(f'{name} {number} does not work here; {wanted} is needed: run {first}{command}')
        if len(set(found.values())) > 1:
            both = ' and '.join(f'{name} {number}' for name, number in found.items())
            raise StackError(
                f'{both} are installed and write the same files: run pip uninstall -y {" ".join(found)}, '
                'then install the one that you want'
            )
    if Version(torch := installed('torch')) < Version(SAFE_TORCH):
        warnings.warn(
            f"torch {torch} is older than {SAFE_TORCH}: it trains, but another author's checkpoint can run code or "
            'corrupt memory while it is read (CVE-2025-32434, CVE-2026-24747). Read your own alone, or run '
            f"pip install 'torch>={SAFE_TORCH}'",
            stacklevel=2,
        )


def check_opencv(load: Callable[[str], object] = importlib.import_module) -> None:
    """Load OpenCV, which MMEngine does at its first import.

    Args:
        load: imports a module by its name.

    Raises:
        StackError: one line, where a library of the system that OpenCV needs is missing: ``opencv-python``, which
            MMEngine's metadata names, has windows and needs libGL; ``opencv-python-headless`` has neither.
    """
    try:
        load('cv2')
    except ModuleNotFoundError as error:
        if error.name != 'cv2':
            raise
        raise StackError('OpenCV is not installed: run pip install opencv-python-headless') from error
    except ImportError as error:
        raise StackError(
            f'OpenCV does not load ({error}): run pip uninstall -y opencv-python opencv-python-headless, then '
            'pip install opencv-python-headless, which needs no libraries for windows'
        ) from error
