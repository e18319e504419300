"""How many objects of which size each category has."""

from collections.abc import Sequence

from detco_mm.datasets.coco_labels.findings import Labels

#: Upper bounds of small and medium areas, in square pixels: pycocotools' Params, areaRng.
_SMALL, _MEDIUM = 32**2, 96**2
_HEADS = ('category', 'id', 'objects', 'images', 'small', 'medium', 'large')


def class_table(labels: Labels) -> str:
    """Return a row for each category: objects without a fault, images with one, and sizes as COCO's AP has them."""
    rows: dict[int, list[int]] = {}
    on: dict[int, set[int]] = {}
    for found in labels.objects:
        id_, area = found.get('category_id', 0), found.get('area') or 0
        sizes = rows.setdefault(id_, [0, 0, 0])
        sizes[(area >= _SMALL) + (area >= _MEDIUM)] += 1
        on.setdefault(id_, set()).add(found['image_id'])
    body = []
    for category in labels.content['categories']:
        id_ = category['id']
        sizes = rows.get(id_, [0, 0, 0])
        body.append([str(category.get('name')), *map(str, (id_, sum(sizes), len(on.get(id_, ())), *sizes))])
    return _aligned([list(_HEADS), *body])


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return '\n'.join(
        '  '.join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )
