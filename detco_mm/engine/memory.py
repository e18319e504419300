"""Memory of a process that trains on the CPU."""

import ctypes
import ctypes.util


def keep_freed_memory() -> bool:
    """Have the C library keep what is freed, for the next step asks for as much again.

    glibc gives large blocks back to the system as they are freed, and the system clears each page that it hands out
    anew; without that, a step takes up to a tenth less time on a CPU (``tools/benchmarks/step.py --keep-memory``). What
    a process holds then stays at its peak, which a training run reaches with its first steps.

    Returns:
        Whether the C library is one that can be told so.
    """
    m_trim_threshold, m_mmap_max, limit = -1, -4, 2**31 - 1  # glibc's malloc.h; the largest int, in bytes
    try:
        mallopt = ctypes.CDLL(ctypes.util.find_library('c')).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(m_mmap_max, 0)) and bool(mallopt(m_trim_threshold, limit))
