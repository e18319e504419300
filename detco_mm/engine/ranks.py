"""What ranks must agree on: the first one finds out, or fails, and all of them follow."""

import multiprocessing
from collections.abc import Callable
from typing import Any, TypeVar

from mmengine.config import Config
from mmengine.dist import broadcast_object_list, init_dist, is_distributed

T = TypeVar('T')


def join_ranks(cfg: Config) -> None:
    """Start the process group where a config's launcher asks for one; the Runner, which would, then leaves it alone."""
    if cfg.get('launcher', 'none') != 'none' and not is_distributed():
        method = multiprocessing.get_start_method(allow_none=True)
        init_dist(cfg.launcher, **(cfg.get('env_cfg') or {}).get('dist_cfg', {}))
        # MMEngine sets spawn where nobody has chosen; the Runner is yet to set the config's choice
        multiprocessing.set_start_method(method, force=True)


def heed_first_rank(function: Callable[[], T]) -> T:
    """Call a function on every rank, and return what it returned on the first; what only that one is to do, it asks.

    Raises:
        Exception: on every rank, what the function raised on the first.
    """
    outcome: list[Any] = [None, None]
    try:
        outcome[0] = function()
    except Exception as error:  # whatever it is, nobody is left waiting for the first rank
        outcome[1] = error
    broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]
