"""detco_mm.pretrain: from a folder of images to a backbone, in one call."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from mmengine.registry import MODELS, init_default_scope

from detco_mm.checkpoints.files import write_atomically
from detco_mm.engine import launch
from detco_mm.engine.checks import check_work_dir
from detco_mm.engine.exported_bn import reestimated
from detco_mm.engine.mistakes import read_config
from detco_mm.planning.choices import choose
from detco_mm.planning.config_file import config_text
from detco_mm.planning.facts import Facts, backbone_facts, images_and_pixels, machine_facts
from detco_mm.planning.networks import network
from detco_mm.weights import export_backbone, find_start

CONFIGS = Path(__file__).parents[1] / '.mim/configs'
#: What is told at the end.
_NEXT = """
backbone: {backbone}
  fine-tune a detector from it:  python tools/det_train.py CONFIG {backbone}
  is it learning?                python tools/probe.py {config} {run}/epoch_*.pth --ann LABELS.json --images FOLDER
  settings, with their reasons:  {config}"""


def pretrain(
    images: str | Path,
    backbone: str | Mapping[str, Any] = 'resnet50',
    weights: str | Path | None = None,
    out: str | Path = 'work_dirs/pretrained',
    *,
    listed: str = '',
    channels: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    gpus: int | None = None,
    train: bool = True,
) -> Path:
    """Pre-train a backbone on a folder of images, and export it for its own library.

    What a user cannot know is chosen from the images and the machine and written, each with its reason, into
    ``OUT/pretrain.py``, which is what runs: with ``tools/train.py`` the same. Where it is there already, the call goes
    on with it, whatever it says by now, from the last checkpoint.

    Args:
        images: folder of images, at any depth.
        backbone: its name (:data:`detco_mm.planning.networks.NAMES`), the path of a config that has ``model.backbone``,
            or the settings of one.
        weights: any file that holds the backbone, to start from.
        out: folder for the config, the run (``OUT/pretrain/``) and the backbone.
        listed: ``ann_file`` of :class:`detco_mm.datasets.ImageFolder`, for some of the images alone.
        channels: of the images; by default what most of a sample have.
        epochs: how often each image is seen.
        batch_size: images on each GPU.
        gpus: number of GPUs that the config is for. This call itself trains on one; ``tools/dist_train.sh`` on all.
        train: False to write the config and stop there.

    Returns:
        ``OUT/backbone.pth``; with ``train=False`` the config's path.

    Raises:
        FileNotFoundError: if there is no image, no weights, no such config.
        ValueError: for what else a user can fix, before the first step.
    """
    out = Path(out)
    check_work_dir(out)
    path, run, result = out / 'pretrain.py', out / 'pretrain', out / 'backbone.pth'
    called = dict(
        images=str(images),
        backbone=backbone if isinstance(backbone, str) else dict(backbone),
        weights=None if weights is None else str(weights),
        listed=listed,
        channels=channels,
        epochs=epochs,
        batch_size=batch_size,
        gpus=gpus,
    )
    if path.is_file():
        _check_same(path, called)
        print_log(f'"{path}" is there: going on with what it says')
    else:
        write_atomically(path, _chosen(called, run))
        print_log(f'settings, with their reasons: {path}')
    if not train:
        return path
    if (gpus or 1) > 1:
        raise ValueError(
            f'gpus={gpus}: "{path}" is written for them, and this call trains on one: tools/dist_train.sh {path} {gpus}'
        )
    cfg = launch.read_config(path, CONFIGS.parent)
    launch.train(cfg, resume='auto')
    last = Path(run, 'last_checkpoint').read_text(encoding='utf-8').strip()
    export_backbone(last, result, statistics=reestimated)
    print(_NEXT.format(backbone=result, config=path, run=run))
    return result


def _chosen(called: dict[str, Any], run: Path) -> str:
    """Look at images, backbone, weights and machine, and write the config."""
    data_root = os.path.expanduser(called['images'])
    model = network(called['backbone'], CONFIGS)
    machine = machine_facts(called['gpus'])
    called['gpus'] = machine['gpus'] if called['gpus'] is None else called['gpus']
    init_default_scope('mmselfsup')
    dataset = dict(type='detco_mm.ImageFolder', data_root=data_root, ann_file=called['listed'])
    number, side, channels = images_and_pixels(dataset, called['channels'])
    facts = Facts(
        images=number,
        side=side,
        channels=channels,
        starts=called['weights'] is not None,
        **backbone_facts(model.backbone, 3),
        **machine,
    )
    if called['weights'] is not None:
        find_start(called['weights'], MODELS.build(model.backbone))  # which says what does not fit
    choices = choose(facts, called['epochs'], called['batch_size'])
    data = dict(data_root=data_root, ann_file=called['listed'], channels=channels)
    return config_text(choices, called, model, data, str(run), CONFIGS)


def _check_same(path: Path, called: Mapping[str, Any]) -> None:
    """Refuse a call that asks for something else than the config that is there was made for."""
    made_for = read_config(path).get('called')
    given = {name: value for name, value in called.items() if value not in (None, '')}
    other = [name for name, value in given.items() if made_for and made_for.get(name) != value]
    if other:
        before, now = (', '.join(f'{name}={values.get(name)!r}' for name in other) for values in (made_for, called))
        raise ValueError(
            f'"{path}" was made for {before}, and the call says {now}: take another `out`, or remove that folder to '
            'begin anew; settings are changed in that file'
        )
