"""The versions of the OpenMMLab stack that work together, compared with what is installed."""

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
        StackError: one line with the name, the version found, the range, and the command that mends it.

    Warns of a PyTorch in which checkpoints are not safe to read; training does not suffer from it.
    """
    for names, (lowest, end) in RANGES.items():
        found = None
        for name in names:
            try:
                found = installed(name)
                break
            except PackageNotFoundError:
                continue
        wanted = f'>={lowest},<{end}'
        # mmselfsup and mmcls name a torch-era dependency tree in their metadata: --no-deps leaves yours alone.
        command = f"pip install --no-deps '{names[0]}{wanted}'" if names[0] != 'mmcv' else 'make setup'
        if found is None:
            raise StackError(f'{names[0]} is not installed; {wanted} is needed: run {command}')
        if not Version(lowest) <= Version(found) < Version(end):
            raise StackError(f'{name} {found} does not work here; {wanted} is needed: run {command}')
    if Version(found := installed('torch')) < Version(SAFE_TORCH):
        warnings.warn(
            f"torch {found} is older than {SAFE_TORCH}: it trains, but another author's checkpoint can run code or "
            'corrupt memory while it is read (CVE-2025-32434, CVE-2026-24747). Read your own alone, or run '
            f"pip install 'torch>={SAFE_TORCH}'",
            stacklevel=2,
        )
