"""ShowProgress: how far a run has come, in the last line of the terminal."""

import logging
import sys
from collections.abc import Callable
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook, LoggerHook
from mmengine.logging import MMLogger
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader

from detco_mm.registry import HOOKS
from detco_mm.visualization.terminal import Above, ProgressLine, can_draw


@HOOKS.register_module()
class ShowProgress(Hook):
    """Show a bar, the time left, images a second and the last losses below what is logged, in a terminal.

    Where the output goes to a file or a pipe, on other ranks than the first and with ``TERM=dumb``, nothing is done and
    nothing is written. Log files do not change. Times and losses are those of MMEngine's log: losses are looked at in
    the steps in which LoggerHook looks at them, and no number is read off a device for it.
    """

    priority = 'LOW'  # behind LoggerHook, which has read the losses by then

    def __init__(self) -> None:
        self._line: ProgressLine | None = None

    def before_run(self, runner: Runner) -> None:
        """Get ready: no hook of MMEngine's is called where a loop ends with an error, so it is the loop that shows."""
        if not is_main_process() or not can_draw(sys.stdout):
            return
        for loop in (runner._train_loop, runner._val_loop, runner._test_loop):
            if isinstance(loop, BaseLoop) and 'run' not in vars(loop):
                loop.run = self._shown(loop.run)  # type: ignore[method-assign]

    def after_run(self, runner: Runner) -> None:
        """Leave the loops as they were."""
        for loop in (runner._train_loop, runner._val_loop, runner._test_loop):
            if isinstance(loop, BaseLoop):
                vars(loop).pop('run', None)

    def _shown(self, run: Callable[[], Any]) -> Callable[[], Any]:
        def shown() -> Any:
            if self._line is not None:  # the evaluation of a training
                return run()
            self._line = ProgressLine(sys.stdout)
            self._line.show()
            logs = _follow_streams()
            try:
                return run()
            finally:
                self._line.close()
                self._line = None
                for handler in logs:
                    handler.setStream(handler.stream._stream)

        return shown

    def before_train(self, runner: Runner) -> None:
        """Show the steps of the training."""
        if self._line:
            self._line.begin('training', runner.max_iters, runner.iter)

    def after_train_iter(self, runner: Runner, batch_idx: int, *args: Any, **kwargs: Any) -> None:
        """Go on by a step."""
        if self._line is None:
            return
        losses = None
        interval = next((hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)), None)
        if interval and self.every_n_inner_iters(batch_idx, interval):
            scalars = runner.message_hub.log_scalars
            found = {name.removeprefix('train/'): scalars[name] for name in scalars if name.startswith('train/loss')}
            losses = {
                name.removeprefix('loss_'): float(found[name].current())
                for name in sorted(found, key=lambda name: name != 'loss')
            }
        self._advance(runner, 'train', runner.iter + 1, runner.train_dataloader, losses)

    def after_train(self, runner: Runner) -> None:
        """The training is over."""
        if self._line:
            self._line.end()

    def before_val_epoch(self, runner: Runner) -> None:
        """Show the steps of an evaluation."""
        self._begin('evaluating', runner.val_dataloader)

    def after_val_iter(self, runner: Runner, batch_idx: int, *args: Any, **kwargs: Any) -> None:
        """Go on by a step."""
        self._advance(runner, 'val', batch_idx + 1, runner.val_dataloader)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """An evaluation is over."""
        if self._line:
            self._line.end()

    def before_test_epoch(self, runner: Runner) -> None:
        """Show the steps of a test."""
        self._begin('testing', runner.test_dataloader)

    def after_test_iter(self, runner: Runner, batch_idx: int, *args: Any, **kwargs: Any) -> None:
        """Go on by a step."""
        self._advance(runner, 'test', batch_idx + 1, runner.test_dataloader)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """A test is over."""
        if self._line:
            self._line.end()

    def _begin(self, what: str, loader: DataLoader) -> None:
        if self._line:
            self._line.begin(what, len(loader))

    def _advance(
        self, runner: Runner, mode: str, done: int, loader: DataLoader, losses: dict[str, float] | None = None
    ) -> None:
        if self._line is None or not (losses or self._line.due):
            return
        hub = runner.message_hub
        rate = left = None
        batch = getattr(loader.batch_sampler, 'batch_size', None)
        if times := hub.log_scalars.get(f'{mode}/time'):  # of IterTimerHook, measured on the host
            rate = (batch or 1) * runner.world_size / max(times.mean(runner.log_processor.window_size), 1e-9)
            left = hub.get_info('eta')
        self._line.update(done, rate, left, losses, 'images' if batch else 'steps')


def _follow_streams() -> list[logging.StreamHandler]:
    """Have handlers that were opened on the terminal write above the line, too; return them."""
    above = {id(stream._stream): stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, Above)}
    loggers = [logging.getLogger(), *MMLogger._instance_dict.values()]
    handlers = {id(handler): handler for logger in loggers for handler in logger.handlers}
    moved = []
    for handler in handlers.values():
        if isinstance(handler, logging.StreamHandler) and (stream := above.get(id(handler.stream))):
            handler.setStream(stream)
            moved.append(handler)
    return moved
