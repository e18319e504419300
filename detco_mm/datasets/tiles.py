"""Images and their COCO labels -> tiles, for pictures of more pixels than a decoder or a network takes."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile

from detco_mm.checkpoints.files import write_atomically
from detco_mm.datasets.image_folder import ImageFolder
from detco_mm.datasets.text import read_json
from detco_mm.transforms.loading import read_image
from detco_mm.transforms.pixels import Pixels
from detco_mm.transforms.tiff import GDAL_NODATA, ORIENTATION, Raster, bands_last, named_axes, read_tiff

Box = tuple[int, int, int, int]
#: OpenCV's own limit (CV_IO_MAX_IMAGE_PIXELS), six times Pillow's.
_MOST = 1 << 30


def tile_boxes(height: int, width: int, size: int, overlap: int) -> list[Box]:
    """Lay a grid of tiles over an image; the last row and column end with the image.

    Args:
        height: of the image, in pixels.
        width: of the image, in pixels.
        size: side of a tile, in pixels; a smaller image is one tile of its own size.
        overlap: of neighbours, in pixels, at least.

    Returns:
        Top, left, height and width of each, row by row.
    """

    def starts(length: int) -> list[int]:
        last = max(0, length - size)
        return [*range(0, last, size - overlap), last]

    return [(y, x, min(size, height), min(size, width)) for y in starts(height) for x in starts(width)]


def make_tiles(
    images: str | Path,
    out: str | Path,
    size: int = 1024,
    overlap: int = 128,
    ann_file: str | Path | None = None,
    min_visible: float = 0.3,
    keep_empty: bool = True,
    report: Callable[[int, int], None] | None = None,
) -> Path:
    """Cut images, and the objects on them.

    Tiles keep the type and the bands of their image: TIFF of TIFF, PNG of all others, named NAME_TOP_LEFT. They lie in
    ``out/images``, the labels in ``out/NAME.json`` with the name of `ann_file`; each image of it says where it was cut.

    Args:
        images: folder of the images.
        out: folder to write to.
        size: side of a tile, in pixels.
        overlap: of neighbouring tiles, in pixels; as large as most objects, so that each is whole somewhere.
        ann_file: COCO json of the images; without it all images in the folder are cut.
        min_visible: share of an object's area that has to lie in a tile for it to be labelled there.
        keep_empty: whether to write tiles without an object, where there are labels.
        report: is told how many images are done, of how many.

    Returns:
        The json, or the folder of the tiles without one.

    Raises:
        FileNotFoundError: if images or labels do not exist.
        ValueError: if an argument is out of range, an image cannot be read, or has another size than its labels say.
    """
    if size < 1 or not 0 <= overlap < size:
        raise ValueError(
            f'size={size} and overlap={overlap}: a tile has at least 1 pixel and overlaps by less than all'
        )
    if not 0 < min_visible <= 1:
        raise ValueError(f'min_visible={min_visible}: it is a share of an object, above 0 and at most 1')
    content = _labels(ann_file, images)
    objects: dict[Any, list[dict]] = {}
    for found in content.get('annotations', []):
        objects.setdefault(found['image_id'], []).append(found)
    tiles: list[dict] = []
    cut: list[dict] = []
    taken: dict[str, str] = {}
    for done, image in enumerate(content['images'], 1):
        name = image['file_name']
        values, suffix, nodata = _opened(Path(images, name))
        stated = (image.get('height', values.shape[0]), image.get('width', values.shape[1]))
        if stated != values.shape[:2]:
            raise ValueError(
                f'"{name}" has {values.shape[1]}x{values.shape[0]} pixels, its labels say {stated[1]}x{stated[0]}: '
                f'correct width and height in "{ann_file}"'
            )
        stem = str(Path(name).with_suffix(''))
        if taken.setdefault(stem, name) != name:
            stem = name.replace('.', '_')  # a.jpg beside a.png
        for box in tile_boxes(values.shape[0], values.shape[1], size, overlap):
            parts = [clipped(found, box, stated, min_visible) for found in objects.get(image.get('id'), [])]
            inside = [part for part in parts if part is not None]
            if ann_file is not None and not inside and not keep_empty:
                continue
            top, left, height, width = box
            tile = f'{stem}_{top}_{left}{suffix}'
            _write(Path(out, 'images', tile), values[top : top + height, left : left + width], nodata)
            place = dict(file_name=tile, height=height, width=width, cut_from=dict(file_name=name, top=top, left=left))
            tiles.append({**image, 'id': len(tiles) + 1, **place})
            cut += [{**part, 'id': len(cut) + at, 'image_id': len(tiles)} for at, part in enumerate(inside, 1)]
        if report is not None:
            report(done, len(content['images']))
    if ann_file is None:
        return Path(out, 'images')
    path = Path(out, Path(ann_file).name)
    write_atomically(path, json.dumps({**content, 'images': tiles, 'annotations': cut}))
    return path


def clipped(found: dict, box: Box, image: Sequence[int], min_visible: float) -> dict | None:
    """Cut an annotation to a tile.

    Args:
        found: COCO annotation with bbox; its mask, if any, as polygons or RLE.
        box: top, left, height, width of the tile.
        image: height and width of the whole image.
        min_visible: share of its area that has to be inside.

    Returns:
        The annotation in the tile's coordinates, or None if too little of it is visible.
    """
    mask = found.get('segmentation')
    if isinstance(mask, dict):
        return _clipped_rle(found, mask, box, image, min_visible)
    return _clipped_outline(found, mask or [], box, min_visible)


def _clipped_outline(found: dict, outlines: list, box: Box, min_visible: float) -> dict | None:
    from shapely import MultiPolygon, Polygon, affinity, make_valid, unary_union
    from shapely import box as rectangle

    top, left, height, width = box
    x, y, w, h = found['bbox']
    shapes = [make_valid(Polygon(np.reshape(points, (-1, 2)))) for points in outlines if len(points) >= 6]
    shape = unary_union(shapes) if shapes else rectangle(x, y, x + w, y + h)
    inside = shape.intersection(rectangle(left, top, left + width, top + height))
    if shape.area <= 0 or inside.area < min_visible * shape.area or inside.area <= 0:
        return None
    inside = affinity.translate(inside, -left, -top)
    x0, y0, x1, y1 = inside.bounds
    part = {**found, 'bbox': [x0, y0, x1 - x0, y1 - y0], 'area': inside.area}
    if shapes:
        # what touches the edge in a line or a point has no area
        pieces = getattr(inside, 'geoms', [inside])
        polygons = [p for piece in pieces for p in (piece.geoms if isinstance(piece, MultiPolygon) else [piece])]
        rings = [np.array(p.exterior.coords)[:-1] for p in polygons if isinstance(p, Polygon) and p.area > 0]
        part['segmentation'] = [ring.ravel().tolist() for ring in rings]
    return part


def _clipped_rle(found: dict, rle: dict, box: Box, image: Sequence[int], min_visible: float) -> dict | None:
    from pycocotools import mask as codec

    if isinstance(rle['counts'], list):
        rle = codec.frPyObjects(rle, *image)
    whole = codec.decode(rle)
    top, left, height, width = box
    inside = np.asfortranarray(whole[top : top + height, left : left + width])
    area, total = int(inside.sum()), int(whole.sum())
    if not area or area < min_visible * total:
        return None
    encoded = codec.encode(inside)
    mask = dict(size=list(encoded['size']), counts=encoded['counts'].decode())
    return {**found, 'segmentation': mask, 'bbox': codec.toBbox(encoded).tolist(), 'area': area}


def _labels(ann_file: str | Path | None, images: str | Path) -> dict:
    data = ImageFolder(data_root=str(images), ann_file='' if ann_file is None else str(Path(ann_file).resolve()))
    data.full_init()  # which says what is missing
    if ann_file is not None:
        return read_json(ann_file, dict)
    paths = [data.get_data_info(index)['img_path'] for index in range(len(data))]
    return dict(images=[dict(file_name=str(Path(path).relative_to(images))) for path in paths])


def _opened(path: Path) -> tuple[np.ndarray, str, float | None]:
    """Open an image of any size as (H, W, B); tell the suffix of its tiles, and its nodata."""
    try:
        if path.suffix.lower() in ('.tif', '.tiff'):
            raster = _mapped(path) or read_tiff(path.read_bytes())
            return raster.values, '.tif', raster.nodata
        values = cv2.imread(str(path), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)  # turned as EXIF says
    except Exception as error:  # whatever a damaged file makes the readers run into
        raise ValueError(f'"{path}" cannot be cut: {error}') from error
    if values is None:
        read_image(path, Pixels())  # which says what is wrong with it, if it is not its size
        raise ValueError(f'"{path}" cannot be cut: OpenCV reads images of up to {_MOST} pixels; convert it to TIFF')
    return values.reshape(*values.shape[:2], -1), '.png', None


def _mapped(path: Path) -> Raster | None:
    """Leave the pixels of an uncompressed TIFF on the disk, to be read window by window; None for any other."""
    with tifffile.TiffFile(path) as file:
        series, tags = file.series[0], file.pages.first.tags
        if series.dataoffset is None or ORIENTATION in tags and tags[ORIENTATION].value != 1:
            return None
        nodata = str(tags[GDAL_NODATA].value).strip(' \0') if GDAL_NODATA in tags else ''
        kind = np.dtype(series.dtype).newbyteorder(file.byteorder)
        values = np.memmap(path, kind, 'r', series.dataoffset, series.shape)
        bands, more = bands_last(values, named_axes(series.axes, series.shape))
    return Raster(bands, nodata=float(nodata) if nodata else None, more=more)


def _write(path: Path, tile: np.ndarray, nodata: float | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == '.png':
        write_atomically(path, cv2.imencode('.png', tile)[1].tobytes())
        return
    tags = [] if nodata is None else [(GDAL_NODATA, 's', 0, f'{nodata:g}', True)]
    values = np.ascontiguousarray(tile if tile.shape[2] > 1 else tile[..., 0])
    tifffile.imwrite(
        path,
        values.astype(values.dtype.newbyteorder('=')),
        photometric='rgb' if tile.shape[2] == 3 else 'minisblack',
        planarconfig=None if tile.shape[2] == 1 else 'contig',
        compression='zlib',
        extratags=tags,
    )
