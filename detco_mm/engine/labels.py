"""The COCO labels of a config, checked before a run is built from it."""

import hashlib
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import barrier, is_main_process
from mmengine.registry import init_default_scope

from detco_mm.datasets.coco_labels import LabelError, Labels, check_coco, usable_labels, write_fixed
from detco_mm.engine.labelled_sets import LabelledSet, class_counts, evaluators, labelled_sets
from detco_mm.engine.ranks import heed_first_rank, join_ranks

_SPLITS = ('train', 'val', 'test')


def check_config_labels(cfg: Config, splits: Sequence[str] = _SPLITS) -> None:
    """Check the labels of all COCO-format data sets of a config, in place; a config without any is not changed.

    The first rank looks at the files. Where something is fixed, a copy goes to ``work_dir/labels``, and the config's
    data set and evaluator are led to it.

    Args:
        cfg: the run's config; the default scope must be set.
        splits: of them, those that the run reads.

    Raises:
        FileNotFoundError: if a folder of images does not exist.
        ValueError: LabelError if labels cannot be used, or do not fit the classes or the heads of the config.
    """
    sets = list(labelled_sets(cfg, splits))
    if not sets:
        return
    join_ranks(cfg)
    copies: dict[str, str] = heed_first_rank(lambda: _check_files(cfg, sets) if is_main_process() else {})
    _check_heads(cfg, sets)
    barrier()
    if absent := [copy for copy in copies.values() if not Path(copy).is_file()]:
        raise FileNotFoundError(
            f'no "{absent[0]}" on this machine: fixed labels are written to the work dir, which all machines have to '
            'share; or fix them before with tools/check_labels.py --fixed'
        )
    for one in sets:
        if copy := copies.get(one.ann_file):
            one.section.ann_file = copy
    for split in splits:
        for _, evaluator in evaluators(cfg, split):
            if copy := copies.get(evaluator['ann_file']):
                evaluator['ann_file'] = copy


def _check_files(cfg: Config, sets: list[LabelledSet]) -> dict[str, str]:
    """Check each file once, and return those that were fixed, with their copies."""
    copies: dict[str, str] = {}
    ids: dict[str, set[int]] = {}
    for path, folder in dict.fromkeys((one.ann_file, one.images) for one in sets):
        same = [one for one in sets if (one.ann_file, one.images) == (path, folder)]
        labels = _checked(cfg, same, sets)
        ids[path] = set(labels.images)
        if labels.changed:
            mark = hashlib.sha256(f'{Path(path).absolute()} {Path(folder).absolute()}'.encode()).hexdigest()[:8]
            copy = Path(cfg.get('work_dir') or '.', 'labels', f'{Path(path).stem}-{mark}.json').absolute()
            write_fixed(labels, copy)
            copies[path] = str(copy)
    for split in {one.split: None for one in sets}:
        _check_evaluators(cfg, split, [one for one in sets if one.split == split], ids)
    return copies


def _checked(cfg: Config, same: list[LabelledSet], sets: list[LabelledSet]) -> Labels:
    """Check a file for all data sets that read it."""
    one = same[0]
    masks, objects = any(other.masks for other in same), any(other.labelled for other in same)
    try:
        return usable_labels(one.ann_file, one.images, classes=one.classes, masks=masks, objects=objects)
    except ValueError as error:
        kind = LabelError if isinstance(error, LabelError) else ValueError
        said = str(error).replace(f'"{one.ann_file}"', f'"{one.ann_file}" ({one.name}.ann_file)', 1)
        if 'no classes of the config' in said:
            said += f'; to train on the classes of the file: --cfg-options {_options(cfg, one, sets)}'
        raise kind(said) from error


def _options(cfg: Config, one: LabelledSet, sets: list[LabelledSet]) -> str:
    """What a user can copy to give a config the classes of a file."""
    labels = check_coco(one.ann_file)
    used = {found['category_id'] for found in labels.objects}
    names = [category['name'] for category in labels.content['categories'] if category['id'] in used]
    classes = json.dumps(names, ensure_ascii=False)
    options = [f'{other.name}.metainfo.classes={classes}' for other in sets]
    options += [f'{name}={len(names)}' for name, _ in class_counts(cfg)]
    return ' '.join(shlex.quote(option) for option in options)


def _check_heads(cfg: Config, sets: list[LabelledSet]) -> None:
    """Compare classes and num_classes, and the classes of training and evaluation."""
    first = sets[0]
    for one in sets:
        if one.classes != first.classes:
            raise LabelError(
                f'{first.name} has the classes {_few(first.classes)}, {one.name} {_few(one.classes)}: set '
                'metainfo.classes of all data sets to the same, in the same order'
            )
    if repeated := [name for at, name in enumerate(first.classes) if name in first.classes[:at]]:
        raise LabelError(f'{first.name}.metainfo.classes names "{repeated[0]}" twice')
    wrong = {name: count for name, count in class_counts(cfg) if count != len(first.classes)}
    if wrong:
        options = ' '.join(f'{name}={len(first.classes)}' for name in wrong)
        counts = ', '.join(f'{name}={count}' for name, count in wrong.items())
        raise LabelError(
            f'{first.name} has {len(first.classes)} classes, {_few(first.classes)}, but {counts}: set --cfg-options '
            f'{options}, or metainfo.classes of the data sets'
        )


def _check_evaluators(cfg: Config, split: str, sets: list[LabelledSet], ids: dict[str, set[int]]) -> None:
    """Look at whether evaluators compare with the labels of the images that are evaluated."""
    if any('indices' in one.section for one in sets):
        return
    for name, evaluator in evaluators(cfg, split):
        path = evaluator['ann_file']
        if path in {one.ann_file for one in sets} or not Path(path).is_file():
            continue
        truth = set(usable_labels(path, objects=False).images)
        if truth != set().union(*(ids[one.ann_file] for one in sets)):
            raise LabelError(
                f'{name}.ann_file is "{path}", which lists other images than {sets[0].name}.ann_file, '
                f'"{sets[0].ann_file}": set --cfg-options {name}.ann_file={shlex.quote(sets[0].ann_file)}'
            )


def _few(names: Sequence[str]) -> str:
    return ', '.join(names[:4]) + (', ...' if len(names) > 4 else '')


def config_needs(cfg: Config, scope: str = 'mmdet') -> tuple[dict[str, Any], str | None]:
    """Tell what the training data of a config need, wherever they lie.

    Args:
        cfg: of a detector.
        scope: default scope of a config that names none.

    Returns:
        Arguments of check_coco, and what does not fit within the config itself, if anything.

    Raises:
        ValueError: if it trains on no COCO-format set.
    """
    init_default_scope(cfg.get('default_scope', scope))
    sets = list(labelled_sets(cfg, ('train',), existing=False))
    if not sets:
        raise ValueError(f'"{cfg.filename}" trains on no COCO-format data set: give the config of a detector')
    try:
        _check_heads(cfg, sets)
        wrong = None
    except LabelError as error:
        wrong = str(error)
    return dict(classes=sets[0].classes, masks=any(one.masks for one in sets)), wrong
