"""WatchContrast: warns of keys that collapse, and of a contrast that no longer teaches."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor

from detco_mm.registry import HOOKS

#: Keys over which the mean cosine is taken: those of one step of the paper's, 8 GPUs x 32 images.
NEWEST = 256
README = 'see "ImageNet at scale" in the README'


def mean_cosine(keys: Tensor) -> Tensor:
    """Mean cosine of two different keys of a row: 1 if all are alike, about 0 if they are spread over the sphere.

    Args:
        keys: (G, N, D) unit vectors, N at least 2.

    Returns:
        (G,). Of N^2 products, which sum up to the squared norm of the sum, N are those of a key with itself.
    """
    count = keys.shape[1]
    return (count * keys.float().mean(1).square().sum(1) - 1) / (count - 1)


@HOOKS.register_module()
class WatchContrast(Hook):
    """Look at the newest keys and at the contrast's accuracy from time to time, and warn once of what is wrong.

    Nothing is looked at before the queue has turned over. The cosines are in the log and its scalars as
    ``key_cosine_{scope}_{stage}``. A model without DetCo's queue is skipped.

    Args:
        interval: steps from one look to the next; an accuracy is the mean over them, of the first rank's images.
        max_cosine: mean cosine of a row's newest keys above which they count as collapsed. Those of an untrained
            network already lie in a narrow cone: up to 0.97 in a ResNet-50 as it is drawn. Once the queue had turned
            over they were at most 0.92, and 0.4 to 0.8 at the end, in two healthy runs of configs/mini/detco_r18.py; at
            30 times its learning rate, 0.99 by step 50.
        max_accuracy: share of queries above which a pair counts as solved. MoCo v2's is 0.77 on ImageNet at epoch 34
            (https://github.com/facebookresearch/moco/issues/38), and at most 0.15 in those two runs.

    Raises:
        ValueError: if a number is out of its bounds.
    """

    def __init__(self, interval: int = 100, max_cosine: float = 0.99, max_accuracy: float = 0.99) -> None:
        if interval < 1:
            raise ValueError(f'interval={interval}: it is a number of steps, at least 1')
        for name, value in (('max_cosine', max_cosine), ('max_accuracy', max_accuracy)):
            if not 0 < value <= 1:
                raise ValueError(f'{name}={value}: it is a share, above 0 and at most 1')
        self.interval = interval
        self.max_cosine = max_cosine
        self.max_accuracy = max_accuracy
        self._known: dict[str, set[str]] = {}

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Look, note and warn."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not self.every_n_train_iters(runner, self.interval) or not hasattr(getattr(model, 'queue', None), 'pointer'):
            return
        length, images = model.queue.length, runner.train_dataloader.batch_size
        steps = runner.iter + 1 - math.ceil(length / (images * runner.world_size))  # since it had turned over
        if steps >= 0:
            self._look_at_keys(runner, model)
        if steps >= self.interval:
            self._look_at_accuracies(runner, 1 / (length + 1), images * self.interval)

    def _look_at_keys(self, runner: Runner, model: Any) -> None:
        queue = model.queue
        count = min(NEWEST, queue.length)
        if count < 2:
            return
        rows = [f'{scope}_{stage}' for scope in model.head.key_scopes for stage in model.head.stages]
        found = dict(zip(rows, mean_cosine(queue.newest(count)).tolist(), strict=True))
        for row, cosine in found.items():
            runner.message_hub.update_scalar(f'train/key_cosine_{row}', cosine)
        self._warn(
            runner,
            {row: cosine for row, cosine in found.items() if cosine > self.max_cosine},
            f'the keys collapse, each like the others: mean cosine of the newest {count} above {self.max_cosine:g}',
            'lower the learning rate, above all that of the projections (optim_wrapper.paramwise_cfg)',
        )

    def _look_at_accuracies(self, runner: Runner, chance: float, trials: int) -> None:
        scalars = runner.message_hub.log_scalars
        found = {
            name.removeprefix('train/acc_'): buffer.mean(self.interval)
            for name, buffer in scalars.items()
            if name.startswith('train/acc_')
        }
        self._warn(
            runner,
            {pair: accuracy for pair, accuracy in found.items() if accuracy > self.max_accuracy},
            f'accuracy above {self.max_accuracy:g} over {self.interval} steps, which leaves nothing to learn',
            'it is a leak through BN if the loss is small, and drift of the key encoder if the loss is near chance',
        )
        # three standard deviations of the mean of so many guesses
        bound = chance + 3 * math.sqrt(chance / trials)
        self._warn(
            runner,
            {pair: accuracy for pair, accuracy in found.items() if accuracy <= bound},
            f'accuracy no better than chance, {chance:.2g}, over {self.interval} steps',
            'nothing is learnt there: look at the learning rate and at the views (tools/visualize.py)',
        )

    def _warn(self, runner: Runner, found: Mapping[str, float], what: str, advice: str) -> None:
        """Name what was not so at the last look."""
        known = self._known.get(advice, set())
        self._known[advice] = set(found)
        if new := found.keys() - known:
            runner.logger.warning(f'step {runner.iter + 1}: {what}: {_figures(found, new)}. {advice}; {README}')


def _figures(found: Mapping[str, float], names: Iterable[str]) -> str:
    return ', '.join(f'{name} {value:.4g}' for name, value in found.items() if name in names)
