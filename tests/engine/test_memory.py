"""Freed memory is used again without asking the system for it."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
if sys.argv[1] == 'kept':
    from detco_mm.engine.memory import keep_freed_memory
    assert keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(32_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(sum(faults() for _ in range(20)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason="glibc's malloc is what is told")
def test_tensors_take_the_memory_of_those_that_have_gone():
    kept, given_back = (
        int(subprocess.check_output([sys.executable, '-c', FAULTS, how], text=True)) for how in ('kept', 'given back')
    )
    assert 4 * kept < given_back  # the first ones find no place between what else is held
