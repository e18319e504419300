"""What holds for all tests."""

import gc
import os
import signal

import pytest
import torch

import detco_mm  # noqa: F401  (the stack is repaired before a test module imports any other package of it)
from tests.devices import GPUS, NO_GPU
from tests.integration import forked
from tests.server import format_once, write_reports_if_asked

#: Reasons to skip that are the machine's; a program or a package that is missing is none where CI installs all of them.
OF_THE_MACHINE = (
    'this device has bf16',
    'SyncBN runs on a GPU',
    'needs a GPU',
    'need two GPUs',
    'resident memory is read as Linux gives it',
)


def pytest_configure(config: pytest.Config) -> None:
    """Start the server of forked processes once for all workers of pytest-xdist, while these import the stack."""
    # A shell without job control has what it starts in the background ignore it, and so would all that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption('markexpr') == 'gpu' and not (GPUS or config.getoption('collectonly')):
        pytest.exit(NO_GPU, returncode=2)
    if config.getoption('numprocesses', None) and not hasattr(config, 'workerinput'):
        forked.share()


@pytest.fixture
def device():
    """A GPU where there is one, which is PyTorch's default device within the test; else the CPU."""
    if not GPUS:
        yield torch.device('cpu')
        return
    with torch.device('cuda'):
        yield torch.device('cuda')


def pytest_collection_finish() -> None:
    """Spare the collector the imported stack: each of its passes, which data sets ask for, would take half a second."""
    gc.collect()
    gc.freeze()
    format_once()
    write_reports_if_asked()


def _refuse_to_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get('CI') and report.skipped and not hasattr(report, 'wasxfail'):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(known in reason for known in OF_THE_MACHINE):
            report.outcome, report.longrepr = 'failed', f'{reason}: under CI nothing is skipped for want of a program'


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    _refuse_to_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    _refuse_to_skip(report)
    return report
