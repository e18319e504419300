"""SafeCheckpoint: a new checkpoint is complete before an old one goes, and loads without executing code."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from detco_mm.checkpoints.backend import SEALED, SealedBackend
from detco_mm.checkpoints.files import remove_parts, write_atomically
from detco_mm.checkpoints.log_history import KEPT, rebuild_history, shorten_history, to_builtin_types
from detco_mm.checkpoints.reading import safe_loading
from detco_mm.engine.errors import RunStopped
from detco_mm.engine.ranks import heed_first_rank
from detco_mm.engine.schedules import fit_schedules
from detco_mm.registry import HOOKS


@HOOKS.register_module()
class SafeCheckpoint(CheckpointHook):
    """MMEngine's CheckpointHook in another order: it writes, and only then removes what is too old.

    MMEngine removes first, so that with ``max_keep_ckpts=1`` a run that dies while it writes has no checkpoint left.
    The file itself is written under another name and renamed, and sealed with a checksum
    (:class:`detco_mm.checkpoints.backend.SealedBackend`), unless ``out_dir`` or ``backend_args`` ask for another kind
    of storage. It holds plain types, and of a logged scalar no more than the log averages over
    (:mod:`detco_mm.checkpoints.log_history`). This run loads it, and any other checkpoint, without executing code
    (:func:`detco_mm.checkpoints.reading.safe_loading`).

    Args:
        if_not_written: 'stop', or 'go_on' with a warning and try again at the next interval, when a checkpoint cannot
            be written, as on a full disk.
        kwargs: those of MMEngine's CheckpointHook; for pre-training all of it serves but ``save_best``.

    Raises:
        ValueError: if ``if_not_written`` is neither.
        RunStopped: from training, on every rank, if a checkpoint could not be written and that is to stop the run.
    """

    file_backend: Any  # whatever storage `out_dir` names

    def __init__(self, *args, if_not_written: str = 'stop', **kwargs) -> None:
        if if_not_written not in ('stop', 'go_on'):
            raise ValueError(f"if_not_written={if_not_written!r}: it is 'stop' or 'go_on'")
        super().__init__(*args, **kwargs)
        self.if_not_written = if_not_written

    def before_run(self, runner: Runner) -> None:
        """Let this run, and no other one in the process, load checkpoints without executing code."""
        for name in ('_init_model_weights', 'load_or_resume', 'load_checkpoint'):
            setattr(runner, name, safe_loading()(getattr(runner, name)))

    def before_train(self, runner: Runner) -> None:
        """Write where and how it is asked for; remove what a run that was killed left half written."""
        super().before_train(runner)
        if type(self.file_backend) is LocalBackend:
            self.backend_args, self.file_backend = SEALED, SealedBackend()
            if is_main_process():
                remove_parts(self.out_dir)
        self._history = _history_needed(runner)

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Keep no more of the log than is of use, and write if it is time to."""
        shorten_history(runner.message_hub, self._history)
        super().after_train_iter(runner, *args, **kwargs)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write the message hub in plain types."""
        checkpoint['message_hub'] = to_builtin_types(checkpoint['message_hub'])

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Build the message hub's histories; a run that is resumed gets the schedules of its own config."""
        rebuild_history(checkpoint)
        if runner._resume:
            fit_schedules(runner, checkpoint)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        hub = runner.message_hub
        before = {name: hub.get_info(name) for name in ('keep_ckpt_ids', 'last_ckpt', 'left_by_signal')}
        kept = [*(number for number in before['keep_ckpt_ids'] or [] if number != step), step]
        too_old = kept[: -self.max_keep_ckpts] if self.max_keep_ckpts > 0 else []
        name = self.filename_tmpl.format(step)
        # What the checkpoint itself is to know of its like.
        last = self.file_backend.join_path(self.out_dir, name)
        hub.update_info_dict(dict(keep_ckpt_ids=kept[len(too_old) :], last_ckpt=last, left_by_signal=None))

        def write() -> None:
            runner.save_checkpoint(
                self.out_dir,
                name,
                self.file_client_args,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=self.by_epoch,
                backend_args=self.backend_args,
                **self.args,
            )
            if is_main_process():
                write_atomically(Path(runner.work_dir, 'last_checkpoint'), last)

        try:
            heed_first_rank(write)  # which alone writes
        except (OSError, RunStopped) as error:
            hub.update_info_dict(before)
            if isinstance(error, RunStopped):
                raise
            message = not_written(name, error, before['last_ckpt'])
            if self.if_not_written == 'stop':
                raise RunStopped(
                    f'{message}. Make room and go on with --resume, or set '
                    'default_hooks.checkpoint.if_not_written=go_on for a run that tries again at the next interval'
                ) from error
            runner.logger.warning(f'{message}; the run goes on and tries again at the next interval')
            return
        self.last_ckpt = last
        if is_main_process():
            self._remove([self.filename_tmpl.format(number) for number in too_old])
            if before['left_by_signal'] not in map(self.filename_tmpl.format, kept):
                self._remove(filter(None, [before['left_by_signal']]))

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            path = self.file_backend.join_path(self.out_dir, name)
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)


def not_written(name: str, error: OSError, last: str | None) -> str:
    """Say that a checkpoint could not be written, and which is the last one that was."""
    return f'checkpoint {name} could not be written: {error}' + (f'; the last one is {last}' if last else '')


def _history_needed(runner: Runner) -> int:
    """How many values of a scalar the log processor averages over, KEPT at least."""
    processor = runner.log_processor
    windows = [processor.window_size, *(custom.get('window_size') for custom in processor.custom_cfg)]
    sizes = {'epoch': len(runner.train_dataloader), 'global': runner.max_iters}
    return max(KEPT, *(sizes.get(window, window) or 0 for window in windows))
