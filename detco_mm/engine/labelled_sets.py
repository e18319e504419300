"""The COCO-format data sets, evaluators and heads of a config."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import DATASETS
from mmengine.utils import is_abs

from detco_mm.datasets.coco_labels import LabelError
from detco_mm.datasets.text import read_lines

#: Heads whose num_classes counts something else: objects or not, stuff, categories of a panoptic segmentation.
_OTHER_HEADS = ('backbone', 'rpn_head', 'semantic_head', 'panoptic_head', 'data_preprocessor')


@dataclass
class LabelledSet:
    """A data set of a config that MMDetection's CocoDataset reads.

    Args:
        split: 'train', 'val' or 'test'.
        name: its dotted name in the config.
        section: its settings.
        classes: that it knows.
        masks: whether objects need a mask.
        labelled: whether objects are needed at all.
    """

    split: str
    name: str
    section: ConfigDict
    classes: tuple[str, ...]
    masks: bool
    labelled: bool

    @property
    def ann_file(self) -> str:
        """The path of its labels."""
        return _joined(self.section.get('data_root'), self.section['ann_file'])

    @property
    def images(self) -> str:
        """The folder of its images."""
        prefix = self.section.get('data_prefix') or {}
        return _joined(self.section.get('data_root'), prefix.get('img') or '') or '.'


def labelled_sets(cfg: Config, splits: Sequence[str], existing: bool = True) -> Iterator[LabelledSet]:
    """Yield the data sets that are read as MMDetection's CocoDataset reads them, however deep they are wrapped.

    With `existing`, those alone whose file exists: of others the data set says so.
    """
    for split in splits:
        loader = cfg.get(f'{split}_dataloader')
        if loader is None or cfg.get(f'{split}_cfg') is None and split != 'train':
            continue
        truth = [
            evaluator for _, evaluator in evaluators(cfg, split, with_file=False) if not evaluator.get('format_only')
        ]
        segmented = any('segm' in str(evaluator.get('metric')) for evaluator in truth)
        steps = [section for _, section in _sections(loader, '') if 'LoadAnnotations' in str(section.get('type'))]
        for name, section in _sections(loader.get('dataset'), f'{split}_dataloader.dataset'):
            kind = _read_as_coco(section)
            if kind is None:
                continue
            if existing and not Path(_joined(section.get('data_root'), section['ann_file'])).is_file():
                continue
            yield LabelledSet(
                split,
                name,
                section,
                _classes(section, kind, name),
                masks=segmented or any(step.get('with_mask') for step in steps),
                labelled=bool(steps) if split == 'train' else bool(truth),
            )


def _read_as_coco(section: ConfigDict) -> Any:
    """Return the class of a data set's section if it reads a file as CocoDataset does, else None."""
    if not section.get('type') or not isinstance(section.get('ann_file'), str) or not section['ann_file']:
        return None
    with DATASETS.switch_scope_and_registry(None) as registry:  # which imports the packages of the scope
        kind = section['type'] if callable(section['type']) else registry.get(section['type'])
    if kind is None or not any(base.__name__ == 'CocoDataset' for base in getattr(kind, '__mro__', ())):
        return None
    from mmdet.datasets import CocoDataset

    same = all(getattr(kind, name) is getattr(CocoDataset, name) for name in ('load_data_list', 'parse_data_info'))
    return kind if same else None


def _classes(section: ConfigDict, kind: Any, name: str) -> tuple[str, ...]:
    """The classes of a data set: stated, in a file, or those of its type."""
    found = (section.get('metainfo') or {}).get('classes', kind.METAINFO.get('classes'))
    if isinstance(found, str):
        if not Path(found).is_file():
            raise LabelError(f"{name}.metainfo.classes='{found}' is text: for a single class write ('{found}',)")
        found = section.metainfo.classes = read_lines(found)
    if not isinstance(found, list | tuple) or not found or not all(isinstance(one, str) for one in found):
        raise LabelError(f'{name}.metainfo.classes={found!r}: it is a list of names')
    return tuple(found)


def evaluators(cfg: Config, split: str, with_file: bool = True) -> Iterator[tuple[str, ConfigDict]]:
    """Yield the evaluators by pycocotools with their dotted names; `with_file`: those that name their labels."""
    found = cfg.get(f'{split}_evaluator')
    several = isinstance(found, list | tuple)
    for at, evaluator in enumerate(found if several else [found] if found else []):
        if 'CocoMetric' in str(evaluator.get('type')) and (evaluator.get('ann_file') or not with_file):
            yield f'{split}_evaluator.{at}' if several else f'{split}_evaluator', evaluator


def class_counts(cfg: Config) -> Iterator[tuple[str, int]]:
    """Yield the dotted names of the settings that count the classes of a detector's heads, and their values."""
    for name, section in _sections(cfg.get('model'), 'model'):
        if isinstance(section.get('num_classes'), int) and not any(part in name.split('.') for part in _OTHER_HEADS):
            yield f'{name}.num_classes', section['num_classes']


def _sections(node: Any, name: str) -> Iterator[tuple[str, Any]]:
    """All dicts in a part of a config, by their dotted names."""
    if isinstance(node, dict):
        yield name, node
    if isinstance(node, dict | list | tuple):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _sections(value, f'{name}.{key}' if name else str(key))


def _joined(root: Any, path: str) -> str:
    return path if is_abs(path) or not root else str(root).rstrip('/') + '/' + path
