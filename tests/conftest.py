"""The stack is repaired before a test module imports any other package of it."""

import detco_mm  # noqa: F401
