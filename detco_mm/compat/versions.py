"""The versions of the OpenMMLab stack that work together, compared with what is installed."""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from packaging.version import Version

# Distributions, the versions that work together, and why the upper ends are where they are: MMSelfSup 1.0.0 asserts
# mmcls < 1.1 and mmcv < 2.1; MMEngine's get_installed_path needs pkg_resources, which setuptools 82 dropped. The lower
# end of torch: though loaded with weights_only=True, a file could run code before 2.6 and corrupt memory before 2.10
# (CVE-2025-32434, CVE-2026-24747).
RANGES: dict[tuple[str, ...], tuple[str, str]] = {
    ('torch',): ('2.10', '3'),
    ('mmengine',): ('0.10.4', '0.11'),
    ('mmcv', 'mmcv-lite'): ('2.0.0rc4', '2.1'),
    ('mmcls',): ('1.0.0rc6', '1.1'),
    ('mmselfsup',): ('1.0.0', '1.1'),
    ('setuptools',): ('40', '82'),
}


class StackError(ImportError):
    """A package of the stack is missing or of a version that does not work; the message is one line."""


def check_versions(installed: Callable[[str], str] = version) -> None:
    """Compare what is installed with RANGES.

    Args:
        installed: gives the version of a distribution, or raises PackageNotFoundError.

    Raises:
        StackError: one line with the name, the version found, the range, and the command that mends it.
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
