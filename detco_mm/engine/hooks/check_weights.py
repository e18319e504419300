"""CheckWeights: weights that are named are loaded, and nothing is left random in silence."""

from collections.abc import Iterator
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from detco_mm.checkpoints.reading import load_checkpoint
from detco_mm.registry import HOOKS
from detco_mm.weights.recognition import dicts_of_tensors, recognise, shortened

#: The share of a module's weights that may differ from those of its file: classes that rename and reorder what they
#: read change some (MMDetection's Swin: the order within its three patch mergings, 4 % of its weights).
MAY_DIFFER = 0.1


@HOOKS.register_module()
class CheckWeights(Hook):
    """Compare what a config names with what the model got; MMEngine takes what fits and goes on.

    Resumed or tested, a model has to find all of its weights. A training that starts from a checkpoint (``load_from``)
    has to find all of a pre-training, or the whole backbone of a downstream model; heads for other classes are named.
    Modules with ``init_cfg=dict(type='Pretrained', checkpoint=FILE)`` have to have the weights of their file.

    Args:
        strict: whether every weight has to be there, as for a test.

    Raises:
        ValueError: where a checkpoint is loaded, or before training starts, if weights are missing or of another shape;
            it lists them.
    """

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Look at what was read; it is not in the model yet."""
        model = _unwrapped(runner)
        given = checkpoint.get('state_dict', checkpoint)
        shapes = {str(k).removeprefix('module.'): v.shape for k, v in given.items() if isinstance(v, Tensor)}
        wanted = {n: t.shape for n, t in model.state_dict().items() if not n.endswith('num_batches_tracked')}
        lacking = [name for name, shape in wanted.items() if shapes.get(name) != shape]
        if not lacking:
            return
        kind = type(model).__name__
        what = f'{len(lacking)} of {len(wanted)} weights of {kind} are missing in it or of another shape: '
        what += shortened(lacking)
        if self.strict:
            raise ValueError(f"the checkpoint is not one of this config's model: {what}")
        path = runner._load_from
        if runner._resume:
            raise ValueError(f'checkpoint "{path}" is not one of this run: {what}')
        if hasattr(model, 'key_encoder'):
            raise ValueError(
                f'load_from="{path}": {what}. To start both encoders from the weights of a backbone, give them as '
                '--from FILE, or as model.start_from in the config'
            )
        if any(name.startswith('backbone.') for name in lacking) or len(lacking) == len(wanted):
            raise ValueError(
                f'load_from="{path}": {what}. The backbone would be left random; give the file as BACKBONE behind the '
                'config, which looks for a backbone under any name'
            )
        runner.logger.warning(f'load_from="{path}": {what}; they stay as they were initialised')

    def before_train(self, runner: Runner) -> None:
        """Look whether the modules that name a file got its weights."""
        if runner._resume or runner._load_from:
            return
        for name, module, path in dict.fromkeys(_pretrained(_unwrapped(runner))):
            wanted = {key: tensor for key, tensor in module.state_dict().items() if tensor.ndim > 1}
            checkpoint = load_checkpoint(path)
            given: dict[torch.Size, list[Tensor]] = {}
            for _, tensors in dicts_of_tensors(checkpoint):
                for tensor in tensors.values():
                    given.setdefault(tensor.shape, []).append(tensor)
            lacking = [
                key
                for key, tensor in wanted.items()
                if not any(torch.equal(one.to(tensor), tensor) for one in given.get(tensor.shape, ()))
            ]
            said = f'model.{name}.init_cfg: {len(lacking)} of {len(wanted)} weights are not those of "{path}" '
            said += f'({shortened(lacking)})'
            if len(lacking) > MAY_DIFFER * len(wanted):
                raise ValueError(f'{said} and would be left random. {_way_out(checkpoint, module)}')
            if lacking:
                runner.logger.warning(said)


def _way_out(checkpoint: dict, module: nn.Module) -> str:
    try:
        place = recognise(checkpoint, module).place
    except ValueError as error:
        return str(error)
    return (
        f'They are in {place}: take out init_cfg, and give the file as --from FILE to a pre-training, or as BACKBONE '
        'behind the config of another model'
    )


def _unwrapped(runner: Runner) -> nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _pretrained(module: nn.Module, name: str = '') -> Iterator[tuple[str, nn.Module, str]]:
    """Yield the modules that MMEngine initialises from a file on this machine, with it, children of none of them."""
    found = getattr(module, 'init_cfg', None)
    for initialiser in found if isinstance(found, list) else [found]:
        if isinstance(initialiser, dict) and initialiser.get('type') == 'Pretrained':
            if Path(initialiser['checkpoint']).is_file():
                yield name, module, initialiser['checkpoint']
            return
    for child, part in module.named_children():
        if child != 'key_encoder':  # a copy
            yield from _pretrained(part, f'{name}.{child}' if name else child)
