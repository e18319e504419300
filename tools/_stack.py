"""Repair the stack before a tool imports anything else of it, or say in one line what it lacks."""

import sys

try:
    import detco_mm  # noqa: F401
except ImportError as error:
    sys.exit(f'{type(error).__name__}: {error}')
