"""How long a watchdog waits, and for whom."""

import threading
import time
from types import SimpleNamespace

import pytest

from detco_mm.engine.hooks import Watchdog
from detco_mm.engine.hooks import watchdog as module


class AllAlive(Watchdog):
    """Two ranks that give signs of life and come no further."""

    progress = 1

    @property
    def _answers(self):
        return [[f'{time.monotonic()}', str(self.progress), 'somewhere', 'here']] * 2

    @_answers.setter
    def _answers(self, given):
        pass


@pytest.mark.parametrize(('progress', 'seconds'), [(1, 0.9), (2, 0.3)])
def test_the_first_step_may_take_longer_as_a_cold_compile_does(progress, seconds, monkeypatch):
    monkeypatch.setattr(module, 'get_world_size', lambda: 2)
    said, begun = [], time.monotonic()
    watchdog = AllAlive(timeout=0.3, interval=0.05, first_step=0.9)
    watchdog.progress, watchdog._asked = progress, float('inf')

    def give_up(runner, reason):
        said.append((time.monotonic() - begun, reason))
        watchdog._ended.set()

    watchdog._give_up = give_up
    thread = threading.Thread(target=watchdog._judge, args=(None,))
    thread.start()
    thread.join()
    waited, reason = said[0]
    assert waited > seconds and f'has come no further for {seconds:g} s' in reason


@pytest.mark.parametrize(
    ('backend', 'given', 'refused'),
    [
        ('nccl', None, True),  # 600 s
        ('gloo', None, True),  # 1800 s
        ('nccl', 1830, True),
        ('nccl', 2400, False),
        ('cpu:gloo,cuda:nccl', 1860, False),
    ],
)
def test_a_backend_that_would_end_the_run_before_the_watchdog_is_refused(backend, given, refused, monkeypatch):
    monkeypatch.setattr(module.torch_dist, 'get_backend', lambda: backend)
    dist_cfg = {} if given is None else dict(timeout=given)
    runner = SimpleNamespace(cfg=dict(env_cfg=dict(dist_cfg=dist_cfg)))
    if refused:
        with pytest.raises(ValueError, match='env_cfg.dist_cfg.timeout=.*: set it to 1860 or more'):
            Watchdog()._check_backend(runner)
    else:
        Watchdog()._check_backend(runner)
    with pytest.raises(ValueError, match='set it to 7260 or more'):
        Watchdog(timeout=7200)._check_backend(runner)
