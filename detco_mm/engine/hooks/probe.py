"""Probe: tells from labelled boxes, while a pre-training runs, whether it is learning."""

import time
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from detco_mm.engine.bn_statistics import batch_statistics
from detco_mm.engine.hooks.safe_checkpoint import SafeCheckpoint
from detco_mm.engine.ranks import heed_first_rank
from detco_mm.registry import HOOKS, STAGES

#: Of the work dir: the checkpoint whose probe has the highest mean so far.
BEST = 'best_probe.pth'


@HOOKS.register_module()
class Probe(Hook):
    """Classify labelled boxes by the features of each stage, before the first step and after epochs.

    Features are pooled within each box, with BN by the statistics of each batch; weighted kNN and a linear model are
    cross-validated by image (:mod:`detco_mm.evaluation.boxes`). Beside it, of each queue's newest keys effective rank
    and uniformity, and of the last views alignment (:mod:`detco_mm.evaluation.embeddings`). All is in the log and the
    scalars as ``probe/...``; the checkpoint with the highest ``probe/mean`` is kept as ``best_probe.pth`` where there
    is a SafeCheckpoint. Training is the same bit for bit with and without it. The first rank computes, the others wait.

    Args:
        ann_file: COCO-format labels; None for no probe.
        data_prefix: folder of their images.
        interval: epochs from one probe to the next; there is one after the last epoch, too.
        max_share: of the run's time, at most, that probes take. One that would exceed it is skipped, and one that would
            leave too little for the last. The one before the first step, whose cost is not known, is always made.
        size: sides that the images are resized to, in pixels.
        max_boxes: of more, those on images drawn at random.
        folds: of the cross-validation.

    Raises:
        ValueError: if a number is out of its bounds; from ``before_train``, on every rank, if the labels are of no use.
    """

    priority = 'LOW'  # schedules have gone on, and the checkpoint is yet to be written

    def __init__(
        self,
        ann_file: str | None = None,
        data_prefix: str = '',
        interval: int = 1,
        max_share: float = 0.05,
        size: int = 224,
        max_boxes: int = 500,
        folds: int = 5,
    ) -> None:
        if interval < 1:
            raise ValueError(f'interval={interval}: it is a number of epochs, at least 1')
        if not 0 < max_share <= 1:
            raise ValueError(f'max_share={max_share}: it is a share of the run, above 0 and at most 1')
        self.ann_file, self.data_prefix = ann_file, data_prefix
        self.interval, self.max_share = interval, max_share
        self._reading = dict(size=size, max_boxes=max_boxes, folds=folds)
        self._boxes: Any = None
        self._views: Any = None  # the last batch of an epoch
        self._began = self._spent = self._last = 0.0

    def before_train(self, runner: Runner) -> None:
        """Read the labels and their images, on the first rank."""
        self._began = time.monotonic()
        if self.ann_file:
            heed_first_rank(lambda: self._read(runner))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Probe before the first step, when all modules are in the mode in which they train."""
        if self.ann_file and runner.iter == 0:
            self._probe(runner, 0, data_batch)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Keep the last views of an epoch."""
        if self.ann_file and self.end_of_epoch(runner.train_dataloader, batch_idx):
            self._views = data_batch

    def after_train_epoch(self, runner: Runner) -> None:
        """Probe if it is time to."""
        last = self.is_last_train_epoch(runner)
        if self.ann_file and (last or self.every_n_epochs(runner, self.interval)):
            self._probe(runner, runner.epoch + 1, self._views)
        self._views = None

    def _read(self, runner: Runner) -> None:
        if not is_main_process():
            return
        from detco_mm.evaluation.boxes import read_boxes  # not above: scikit-learn takes seconds to import

        steps = getattr(getattr(runner.train_dataloader.dataset, 'pipeline', None), 'transforms', ())
        pixels = next((step.pixels for step in steps if hasattr(step, 'pixels')), None)
        self._boxes = read_boxes(str(self.ann_file), self.data_prefix, pixels=pixels, **self._reading)
        self._spent += time.monotonic() - self._began
        runner.logger.info(f'probe: {self._boxes.describe()}')

    def _probe(self, runner: Runner, epoch: int, batch: Any) -> None:
        """Have the first rank do it; all ranks hear of its errors, and none of them waits for less."""
        heed_first_rank(lambda: self._probe_here(runner, epoch, batch) if is_main_process() else None)

    def _probe_here(self, runner: Runner, epoch: int, batch: Any) -> None:
        from detco_mm.evaluation.boxes import probe

        began = time.monotonic()
        if reason := self._too_much(runner, epoch, began - self._began):
            runner.logger.info(f'probe skipped after epoch {epoch}: {reason}')
            return
        model: Any = runner.model.module if is_model_wrapper(runner.model) else runner.model
        prepare = model.data_preprocessor
        moments = [getattr(prepare, name).flatten().tolist() for name in ('mean', 'std')]
        with torch.no_grad(), batch_statistics(model):
            found = probe(model.backbone, self._boxes, *moments)
            spread = _spread(model, batch, runner.iter * runner.train_dataloader.batch_size * runner.world_size)
        self._last = time.monotonic() - began
        self._spent += self._last
        share = self._spent / (time.monotonic() - self._began)
        scalars = {**found, **spread, 'share': share}
        runner.visualizer.add_scalars(
            {f'probe/{name}': value for name, value in scalars.items()},
            step=runner.iter,
            file_path=f'{runner.timestamp}.json',
        )
        runner.logger.info(
            f'probe at step {runner.iter}: {_words(found, spread)}; {self._last:.1f} s, '
            + (f'probes are {100 * share:.1f} % of the run so far' if epoch else 'before the first step')
        )
        self._keep_best(runner, epoch, found['mean'])

    def _too_much(self, runner: Runner, epoch: int, elapsed: float) -> str | None:
        """Say why there is no time for a probe; None if there is."""
        if epoch == 0 or not self._last:
            return None
        forecast = elapsed * runner.max_iters / runner.iter
        allowed = self.max_share * elapsed
        last = self.is_last_train_epoch(runner)
        if self._spent + self._last <= allowed and (last or self._spent + 2 * self._last <= self.max_share * forecast):
            return None
        return (
            f'it would take some {self._last:.1f} s, and probes have taken {self._spent:.1f} s of {elapsed:.1f} s, of '
            f'which they may have {100 * self.max_share:g} % (max_share) with one left for the end'
        )

    def _keep_best(self, runner: Runner, epoch: int, mean: float) -> None:
        """Write the checkpoint if none had a higher mean. A disk that is full of it is no reason to stop."""
        safe = next((hook for hook in runner.hooks if isinstance(hook, SafeCheckpoint)), None)
        before = runner.message_hub.get_info('best_probe')
        if safe is None or (before and before['mean'] >= mean):
            return
        runner.message_hub.update_info('best_probe', dict(mean=mean, step=runner.iter))
        meta = dict(epoch=epoch, iter=runner.iter)
        try:
            runner.save_checkpoint(safe.out_dir, BEST, meta=meta, backend_args=safe.backend_args)
        except OSError as error:
            runner.message_hub.update_info('best_probe', before)
            runner.logger.warning(f'{BEST} of step {runner.iter} could not be written: {error}; the run goes on')


def _spread(model: Any, batch: Any, num_keys: int) -> dict[str, float]:
    """Measure how keys lie; empty for a model that is no DetCo.

    Args:
        batch: of the data loader; None if there is none.
        num_keys: that have entered the queue, which starts with random vectors.
    """
    from detco_mm.evaluation.embeddings import NEWEST, alignment, key_spread

    if not hasattr(getattr(model, 'queue', None), 'newest') or not hasattr(model, 'embed'):
        return {}
    found: dict[str, float] = {}
    rows = [f'{scope}_{stage}' for scope in model.head.key_scopes for stage in model.head.stages]
    if num_keys > 1:
        found |= key_spread(rows, model.queue.newest(min(NEWEST, num_keys)))
    if batch is not None:
        views = model.data_preprocessor(dict(inputs=batch['inputs']), False)['inputs']
        for scope, pair in model.embed(views).items():
            for stage, queries, keys in zip(model.head.stages, *pair, strict=True):
                found[f'alignment_{scope}_{stage}'] = alignment(queries, keys)
    return found


def _words(found: Mapping[str, float], spread: Mapping[str, float]) -> str:
    parts = [f'mean {100 * found["mean"]:.1f} %']
    for kind in ('knn', 'linear'):
        parts.append(f'{kind} ' + ', '.join(f'{stage} {100 * found[f"{kind}_{stage}"]:.1f}' for stage in STAGES))
    for kind, title in (('rank', 'effective rank'), ('alignment', 'alignment'), ('uniformity', 'uniformity')):
        values = [value for name, value in spread.items() if name.startswith(f'{kind}_')]
        if values:
            parts.append(f'{title} of keys {min(values):.3g} to {max(values):.3g}')
    return '; '.join(parts)
