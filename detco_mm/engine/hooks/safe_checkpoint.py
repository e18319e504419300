"""SafeCheckpoint: a new checkpoint is whole before an old one goes."""

from collections.abc import Iterable
from pathlib import Path

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from detco_mm.checkpoints.files import remove_parts, write_atomically
from detco_mm.engine.errors import RunStopped
from detco_mm.registry import HOOKS


@HOOKS.register_module()
class SafeCheckpoint(CheckpointHook):
    """MMEngine's CheckpointHook in another order: it writes, and only then removes what is too old.

    MMEngine removes first, so that with ``max_keep_ckpts=1`` a run that dies while it writes has no checkpoint left.
    The file itself is written under another name and renamed (:func:`detco_mm.checkpoints.files.write_atomically`).

    Args:
        if_not_written: 'stop', or 'go_on' with a warning and try again at the next interval, when a checkpoint cannot
            be written, as on a full disk.
        kwargs: those of MMEngine's CheckpointHook; for pre-training all of it serves but ``save_best``.

    Raises:
        ValueError: if ``if_not_written`` is neither.
        RunStopped: from training, on every rank, if a checkpoint could not be written and that is to stop the run.
    """

    def __init__(self, *args, if_not_written: str = 'stop', **kwargs) -> None:
        if if_not_written not in ('stop', 'go_on'):
            raise ValueError(f"if_not_written={if_not_written!r}: it is 'stop' or 'go_on'")
        super().__init__(*args, **kwargs)
        self.if_not_written = if_not_written

    def before_train(self, runner: Runner) -> None:
        """Remove what a run that was killed left half written."""
        super().before_train(runner)
        if is_main_process():
            remove_parts(self.out_dir)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        hub = runner.message_hub
        before = {name: hub.get_info(name) for name in ('keep_ckpt_ids', 'last_ckpt', 'left_by_signal')}
        kept = [*(number for number in before['keep_ckpt_ids'] or [] if number != step), step]
        too_old = kept[: -self.max_keep_ckpts] if self.max_keep_ckpts > 0 else []
        name = self.filename_tmpl.format(step)
        # What the checkpoint itself is to know of its like.
        last = self.file_backend.join_path(self.out_dir, name)
        hub.update_info_dict(dict(keep_ckpt_ids=kept[len(too_old) :], last_ckpt=last, left_by_signal=None))
        failure: list[Exception | None] = [None]
        try:
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
        except (OSError, RunStopped) as error:
            failure[0] = error
        broadcast_object_list(failure)  # the first rank alone writes; none is left waiting for it
        if failure[0] is None:
            self.last_ckpt = last
            if is_main_process():
                self._remove([self.filename_tmpl.format(number) for number in too_old])
                if before['left_by_signal'] not in map(self.filename_tmpl.format, kept):
                    self._remove(filter(None, [before['left_by_signal']]))
            return
        hub.update_info_dict(before)
        if isinstance(failure[0], RunStopped):
            raise failure[0]
        message = f'checkpoint {name} could not be written: {failure[0]}'
        if before['last_ckpt']:
            message += f'; the last one is {before["last_ckpt"]}'
        if self.if_not_written == 'stop':
            raise RunStopped(
                f'{message}. Make room and go on with --resume, or set default_hooks.checkpoint.if_not_written=go_on '
                'for a run that tries again at the next interval'
            )
        runner.logger.warning(f'{message}; the run goes on and tries again at the next interval')

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            path = self.file_backend.join_path(self.out_dir, name)
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
