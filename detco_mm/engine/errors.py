"""What training raises when it stops of its own accord, and how a tool says what went wrong."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as torch_dist
from mmengine.dist import is_main_process
from mmengine.logging import print_log

from detco_mm.engine.mistakes import explain


class RunStopped(RuntimeError):  # noqa: N818 - what happened, in the words of the message that users see
    """A run that must not go on; the message says why, what is safe and what to do. Tools print it without a trace."""


@contextmanager
def said_in_one_line() -> Iterator[None]:
    """End a tool with one line for what its user can fix; anything else is a bug and keeps its stack trace.

    With ``DETCO_TRACEBACK`` in the environment every error keeps it.

    Raises:
        SystemExit: with code 1, for RunStopped and what :func:`detco_mm.engine.mistakes.explain` knows; with 130, as a
            shell has it, if the user interrupts.
    """
    try:
        yield
    except RunStopped as error:
        # Every rank gets here with the same words; the first one says them, in its log as well.
        if os.environ.get('DETCO_TRACEBACK'):
            raise
        if is_main_process():
            print_log(str(error), logger='current', level=logging.ERROR)
        if torch_dist.is_initialized():
            torch_dist.destroy_process_group()
        sys.exit(1)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        line = explain(error)
        if line is None or os.environ.get('DETCO_TRACEBACK'):
            raise
        sys.exit(line)
