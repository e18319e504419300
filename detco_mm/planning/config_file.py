"""The config that a call leaves: what was chosen, with its reasons, and the rest as the project's configs have it."""

import datetime
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from detco_mm.engine import mistakes
from detco_mm.planning.choices import Choice
from detco_mm.version import __version__


class _Variable:
    """Stands in a config for a variable that its file defines."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


def config_text(
    choices: Sequence[Choice],
    called: Mapping[str, Any],
    model: ConfigDict,
    data: Mapping[str, Any],
    work_dir: str,
    configs: Path,
) -> str:
    """Write a config of a pre-training, which needs no other file.

    Args:
        choices: of :func:`detco_mm.planning.choices.choose`.
        called: what the call was made with.
        model: of :func:`detco_mm.planning.networks.network`.
        data: ``data_root``, ``ann_file`` and ``channels``.
        work_dir: where the run writes.
        configs: the project's configs/.
    """
    cfg: dict[str, Any] = {}
    for name in ('_base_/datasets/images.py', '_base_/schedules/adapt.py', '_base_/default_runtime.py'):
        cfg.update(mistakes.read_config(configs / name)._cfg_dict.to_dict())
    given = {choice.name: _Variable(choice.name) for choice in choices}
    chosen = {choice.name: choice.value for choice in choices}
    cfg['work_dir'] = work_dir
    cfg['model'] = model.to_dict()
    cfg['model'].update(queue_len=given['queue_len'], momentum=given['key_momentum'], bn_splits=given['bn_splits'])
    if called['weights'] is not None:
        cfg['model']['start_from'] = called['weights']
    cfg['model']['data_preprocessor']['channels_last'] = True  # twice as fast on a CPU
    if data['channels'] != 3:
        cfg['data'] = dict(channels=data['channels'])  # which reaches the reader, mean, std and first convolution
    views, patches, _ = pipeline = cfg.pop('train_pipeline')
    views.update({name: given[name] for name in ('global_size', 'local_size', 'global_scale')})
    patches['patch_size'] = given['patch_size']
    loader = cfg['train_dataloader']
    loader.update(batch_size=given['batch_size'], num_workers=given['num_workers'])
    loader.update(persistent_workers=chosen['num_workers'] > 0, pin_memory=called['gpus'] > 0)
    loader['dataset'].update(data_root=data['data_root'], ann_file=data['ann_file'], pipeline=pipeline)
    cfg['optim_wrapper'] = dict(type=given['precision'], optimizer=given['optimizer'])
    cfg['param_scheduler'][0]['end'] = given['warmup']
    cfg['train_cfg']['max_epochs'] = given['max_epochs']
    cfg['auto_scale_lr']['base_batch_size'] = chosen['batch_size'] * max(1, called['gpus'])
    cfg['default_hooks']['checkpoint']['interval'] = given['checkpoint_interval']
    cfg['default_hooks']['logger']['interval'] = given['log_interval']
    arguments = ''.join(f'    {name}={value!r},\n' for name, value in called.items() if value not in (None, ''))
    parts = [
        f'# Pre-training, as detco_mm {__version__} chose it on {datetime.date.today()} for the call below.',
        '# Change what you like: this file is what runs. The same call goes on with it, and so does',
        '# tools/train.py THIS_FILE --resume, or on several GPUs tools/dist_train.sh THIS_FILE GPUS --resume.',
        f'called = dict(\n{arguments})',
        '',
        '# Chosen from the images, the backbone and the machine.',
        *(f'{_comment(choice.reason)}\n{choice.name} = {choice.value!r}' for choice in choices),
        '',
        "# All else is as in the project's configs.",
        Config(cfg).pretty_text,
    ]
    return '\n'.join(parts)


def _comment(text: str) -> str:
    return textwrap.fill(text, 118, initial_indent='# ', subsequent_indent='# ')
