"""The skeleton of a COCO-format file: its three lists, their ids, and what refers to what."""

import re
from collections import Counter
from os import PathLike
from typing import Any

from detco_mm.datasets.coco_labels.findings import LabelError, Labels
from detco_mm.datasets.text import read_json


def read_labels(path: str | PathLike) -> Labels:
    """Read a COCO-format file.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is no JSON; LabelError if it is that of another format, which is named.
    """
    content = read_json(path)
    if other := _other_format(content):
        raise LabelError(f'"{path}" is {other}')
    if not isinstance(content, dict):
        raise LabelError(f'"{path}" holds a {type(content).__name__}, where COCO has an object with "images"')
    return Labels(str(path), content)


def check_structure(labels: Labels, categories: bool = True) -> None:
    """Look at the lists, ids and references, and make whole numbers of ids that are none.

    Args:
        labels: gets its images and objects.
        categories: whether there have to be names of the categories.
    """
    content = labels.content
    for name in ('images', 'annotations', 'categories'):
        section = content.get(name)
        if section is not None and not isinstance(section, list):
            labels.stop(f'"{name}" is a {type(section).__name__}, where COCO has a list')
            section = []
        for at, entry in enumerate(section or ()):
            if not isinstance(entry, dict):
                labels.stop(f'entries of "{name}" that are no objects {{...}}', f'entry {at}: {entry!r}'[:60])
        content[name] = [entry for entry in section or () if isinstance(entry, dict)]
    if not content['images']:
        labels.stop('no image left to work on: "images" is missing or empty')
    if not content['categories'] and categories:
        labels.stop('no category is listed: "categories" is missing or empty, nothing says what the objects are')
    known = _number(labels, 'images', 'image_id'), _number(labels, 'categories', 'category_id')
    _check_images(labels)
    _check_categories(labels)
    _check_objects(labels, known[0], known[1] if content['categories'] or categories else None)


def _number(labels: Labels, name: str, reference: str) -> set[int]:
    """Make whole numbers of the ids of a list and of what refers to them, and return the ids."""
    entries, objects = labels.content[name], labels.content['annotations']
    ids = [entry.get('id') for entry in entries]
    if not all(type(id_) is int for id_ in ids) or not all(type(found.get(reference)) is int for found in objects):
        keys = [_key(id_) for id_ in ids if _key(id_)]
        numeric = all(re.fullmatch(r'-?\d+', key) for key in keys)
        numbers = {key: int(key) if numeric else at for at, key in enumerate(dict.fromkeys(keys), 1)}
        for field, wrong in (('id', entries), (reference, objects)):
            for entry in wrong:
                number = numbers.get(_key(entry.get(field)))
                if number is not None and (type(entry[field]) is not int or entry[field] != number):
                    place = f'{entry[field]!r} -> {number}'
                    labels.fixed(f'{field} of "{name}" that are no whole numbers, numbered', place)
                    entry[field] = number
    for at, entry in enumerate(entries):
        if type(entry.get('id')) is not int:
            labels.stop(f'entries of "{name}" without an id', f'entry {at}: {entry!r}'[:60])
    content = [entry for entry in entries if type(entry.get('id')) is int]
    labels.content[name] = content
    return {entry['id'] for entry in content}


def _key(value: Any) -> str:
    """An id as text; '' for what is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None or isinstance(value, bool | list | dict):
        return ''
    text = str(value).strip()
    return str(int(text)) if re.fullmatch(r'-?\d+', text) else text


def _check_images(labels: Labels) -> None:
    kept = []
    for image in labels.content['images']:
        first = labels.images.setdefault(image['id'], image)
        if first is image:
            kept.append(image)
        elif first == image:
            labels.fixed('images that are listed twice in the same words, kept once', f'image {image["id"]}')
        else:
            names = f'image {image["id"]}: "{first.get("file_name")}" and "{image.get("file_name")}"'
            labels.stop('ids that several images share -> give each image an id of its own', names)
    labels.content['images'] = kept


def _check_categories(labels: Labels) -> None:
    ids: dict[int, Any] = {}
    names: dict[str, int] = {}
    same: dict[int, int] = {}
    for category in labels.content['categories']:
        id_, name = category['id'], category.get('name')
        if name is None or name == '':
            labels.stop('categories without a name', f'category {id_}')
            continue
        if not isinstance(name, str):
            category['name'] = str(name)
            labels.fixed('names of categories that are no text, made so', repr(name))
        name = category['name']
        if id_ in ids and ids[id_] != name:
            labels.stop('ids that several categories share', f'{id_}: "{ids[id_]}" and "{name}"')
        elif id_ in ids:
            labels.fixed('categories that are listed twice, kept once', f'{id_} "{name}"')
        elif name in names:
            same[id_] = names[name]
            labels.fixed('categories of the same name, made one', f'"{name}" with ids {names[name]} and {id_}')
        ids.setdefault(id_, name)
        names.setdefault(name, id_)
    kept = {category['id']: category for category in reversed(labels.content['categories'])}
    labels.content['categories'] = [kept[id_] for id_ in ids if id_ in kept and id_ not in same]
    if same:
        for found in labels.content['annotations']:
            found['category_id'] = same.get(found.get('category_id'), found.get('category_id'))
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(plain(name), []).append(name)
    for several in alike.values():
        if len(several) > 1:
            shown = ' and '.join(f'"{name}"' for name in several)
            labels.note('categories whose names differ in case, blanks or signs alone -> are they one class?', shown)


def plain(name: str) -> str:
    """A name without what people write now so, now otherwise: case, blanks, hyphens and underscores."""
    return re.sub(r'[\W_]+', '', name).casefold() or name


def _check_objects(labels: Labels, images: set[int], categories: set[int] | None) -> None:
    """Keep the objects whose image and category exist, with ids of their own, from 1."""
    for at, found in enumerate(labels.content['annotations']):
        place = f'annotation {found.get("id", f"no. {at}")}'
        image, category = found.get('image_id'), found.get('category_id')
        if _hashable(image) not in images:
            labels.stop('annotations of images that are not listed', f'{place}: image_id {image!r}')
        elif categories is not None and _hashable(category) not in categories:
            named = f'{place}: category_id {category!r}'
            labels.stop('annotations of categories that are not listed', named)
        else:
            labels.objects.append(found)
    counts = Counter(found['id'] for found in labels.objects if type(found.get('id')) is int)
    if len(counts) < len(labels.objects) or min(counts, default=1) < 1:
        # pycocotools keeps one of several, and takes a match with object 0 for none
        repeated = sum(counts.values()) - len(counts)
        labels.fixed(
            f'ids of annotations were missing, repeated ({repeated}), no whole numbers or below 1: numbered anew'
        )
        for at, found in enumerate(labels.content['annotations'], 1):
            found['id'] = at
    with_objects = {found['image_id'] for found in labels.objects}
    for id_, image in labels.images.items():
        if id_ not in with_objects:
            labels.note('images without an object', f'"{image.get("file_name")}"')


def _hashable(value: Any) -> Any:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _other_format(content: Any) -> str | None:
    """Name a labelling tool's own format, and how COCO is had from it."""
    if isinstance(content, list) and content and isinstance(content[0], dict):
        keys = set(content[0])
        if keys & {'annotations', 'completions'} and 'data' in keys:
            return "Label Studio's own JSON, not COCO: export it there as COCO"
        if {'image', 'annotations'} <= keys or {'images', 'annotations'} <= keys:
            return "a list of images, such as CreateML's, not COCO: export it as COCO"
    if not isinstance(content, dict) or 'images' in content:
        return None
    if '_via_img_metadata' in content or '_via_settings' in content:
        return "VIA's own project, not COCO: in VIA choose Annotation > Export Annotations (COCO format)"
    if 'shapes' in content and 'imagePath' in content:
        return "labelme's JSON of a single image, not COCO: convert the folder of them, such as by labelme2coco"
    values = list(content.values())[:1]
    if values and isinstance(values[0], dict) and {'filename', 'regions'} <= set(values[0]):
        return "VIA's own JSON, not COCO: in VIA choose Annotation > Export Annotations (COCO format)"
    return None
