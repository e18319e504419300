"""The names of a file's categories against the classes of a config."""

import difflib
from collections import Counter
from collections.abc import Sequence

from detco_mm.datasets.coco_labels.findings import Labels
from detco_mm.datasets.coco_labels.structure import plain

#: How many names a line holds.
_NAMES = 8


def check_classes(labels: Labels, classes: Sequence[str]) -> None:
    """Look at whether a detector that knows `classes` learns all that is labelled, under the names that it has.

    MMDetection leaves out objects of other categories, and numbers the labels by the order of the categories in the
    file, leaving out classes that it lacks. So categories are put in the order of the classes, and lacking ones are
    added.

    Args:
        labels: after the check of its objects.
        classes: of the config, in the order of the model's outputs.
    """
    categories = {category['name']: category for category in labels.content['categories'] if category.get('name')}
    counts = Counter(str(found.get('category_id')) for found in labels.content['annotations'])
    objects = {name: counts[str(category['id'])] for name, category in categories.items()}
    others = [name for name in categories if name not in classes and objects[name]]
    lacking = [name for name in classes if name not in categories]
    alike = {plain(name) for name in others} & {plain(name) for name in classes}
    if others and (lacking or alike):
        labels.mismatch = True
        pairs = [f'"{name}" ({objects[name]} objects){_nearest(name, lacking or classes)}' for name in others]
        more = f', and classes that no category has: {_names(lacking)}' if lacking else ''
        none = '' if any(objects.get(name) for name in classes) else ', so that there is no image left with an object'
        labels.stop(f'categories that are no classes of the config: {_list(pairs)}{more}{none}')
        return
    if others:
        pairs = [f'"{name}" ({objects[name]} objects)' for name in others]
        labels.note(f'categories that are no classes of the config, whose objects are left out: {_list(pairs)}')
    if lacking:
        next_id = max((category['id'] for category in categories.values()), default=0) + 1
        for at, name in enumerate(lacking):
            categories[name] = dict(id=next_id + at, name=name)
        labels.fixed(
            f'classes without a category, added without objects, so that others keep their place: {_names(lacking)}'
        )
    if empty := [name for name in classes if name not in lacking and not objects[name]]:
        labels.note(f'classes without an object: {_names(empty)}')
    in_order = [name for name in categories if name in classes]
    if in_order != list(classes):
        labels.fixed('categories in another order than the classes of the config, by which MMDetection numbers them')
    rest = [category for name, category in categories.items() if name not in classes]
    labels.content['categories'] = [*(categories[name] for name in classes), *rest]


def _nearest(name: str, classes: Sequence[str]) -> str:
    by_plain = {plain(one): one for one in classes}
    near = difflib.get_close_matches(plain(name), by_plain, 1, 0.7)
    return f', the nearest class is "{by_plain[near[0]]}"' if near else ''


def _names(names: Sequence[str]) -> str:
    return _list([f'"{name}"' for name in names])


def _list(texts: Sequence[str]) -> str:
    more = f', ... ({len(texts)} in all)' if len(texts) > _NAMES else ''
    return ', '.join(texts[:_NAMES]) + more
