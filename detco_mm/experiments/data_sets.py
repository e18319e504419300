"""Data sets of a study: where a set in COCO's layout lies, and how a config is led to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from detco_mm.datasets.text import read_json

SPLITS = ('train', 'val', 'test')


@dataclass(frozen=True)
class DataSet:
    """Images with boxes for fine-tuning, and images without for pre-training.

    Args:
        name: what tables call it.
        root: folder with ``annotations/instances_{train,val,test}.json``, images in ``train/``, ``val/`` and ``test/``,
            and what is pre-trained on in ``unlabelled/``.
    """

    name: str
    root: Path

    @property
    def unlabelled(self) -> Path:
        """The images to pre-train on."""
        return self.root / 'unlabelled'

    def labels(self, split: str) -> Path:
        """The annotations of a split."""
        return self.root / 'annotations' / f'instances_{split}.json'

    def check(self) -> None:
        """Look for all that a study reads.

        Raises:
            FileNotFoundError: if something is missing; it names the first, and the layout.
        """
        places = [*map(self.labels, SPLITS), *(self.root / split for split in SPLITS), self.unlabelled]
        for place in places:
            if not place.exists():
                raise FileNotFoundError(
                    f'data set {self.name}: no "{place}": a study expects train/, val/, test/, unlabelled/ and '
                    f'annotations/instances_{{train,val,test}}.json in "{self.root}"'
                )

    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their ids."""
        categories = read_json(self.labels('train'), dict)['categories']
        return tuple(category['name'] for category in sorted(categories, key=lambda category: category['id']))


def point_detector(config: Config, data_set: DataSet, train: Path | None = None, test: str = 'test') -> None:
    """Lead a detector's config to a data set, in place: paths, names of classes, numbers of classes in the heads.

    Args:
        config: with one COCO-format set for each of training, validation and test.
        data_set: where to.
        train: annotations to train on in the place of all, such as a share of them.
        test: the split that is tested on: 'test', or 'val' while settings are chosen.

    Raises:
        ValueError: if a loader of the config has no COCO-format set, or several.
    """
    classes = data_set.classes()
    for part, split in (('train', 'train'), ('val', 'val'), ('test', test)):
        found = list(_with_key(config[f'{part}_dataloader'].dataset, 'ann_file'))
        if len(found) != 1:
            raise ValueError(
                f'{part}_dataloader has {len(found)} sets with an ann_file: a study leads exactly one to its data'
            )
        labels = train if part == 'train' and train else data_set.labels(split)
        found[0].update(
            data_root='',
            ann_file=str(labels),
            data_prefix=dict(img=f'{data_set.root / split}/'),
            metainfo=dict(classes=classes),
        )
        if part != 'train':
            config[f'{part}_evaluator'].update(ann_file=str(labels), classwise=True)
    for head in _with_key({name: part for name, part in config.model.items() if name != 'backbone'}, 'num_classes'):
        head['num_classes'] = len(classes)


def _with_key(node: Any, key: str) -> Iterator[dict]:
    """Yield the dicts, at any depth, that have a key."""
    if isinstance(node, dict):
        if key in node:
            yield node
        for value in node.values():
            yield from _with_key(value, key)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _with_key(value, key)
