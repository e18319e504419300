"""Small sets in the layouts that MMDetection's and MMSegmentation's configs expect, made of the embedded set."""

import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
from mmdet.datasets import CocoDataset
from PIL import Image
from pycocotools import mask

from detco_mm.datasets import make_embedded

COCO_NAMES = tuple(CocoDataset.METAINFO['classes'])
CITYSCAPES_NAMES = ('person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle')
VOC_NAMES = ('aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat')


def embedded(root: Path, train: int = 6, val: int = 3) -> Path:
    """The embedded set itself."""
    make_embedded(root, unlabelled=0, train=train, val=val, test=0)
    return root


def _renamed(root: Path, split: str, names: tuple[str, ...]) -> dict:
    content = json.loads((root / f'annotations/instances_{split}.json').read_text())
    ids = [category['id'] for category in content['categories']]
    # COCO's metric looks for all classes of a model, also for those that no image shows.
    ids += range(max(ids) + 1, max(ids) + 1 + len(names) - len(ids))
    content['categories'] = [dict(id=id_, name=name) for id_, name in zip(ids, names, strict=True)]
    return content


def coco(source: Path, root: Path) -> Path:
    """COCO 2017: {train,val}2017/ and annotations/instances_{train,val}2017.json."""
    (root / 'annotations').mkdir(parents=True)
    for split in ('train', 'val'):
        shutil.copytree(source / split, root / f'{split}2017')
        file = root / f'annotations/instances_{split}2017.json'
        file.write_text(json.dumps(_renamed(source, split, COCO_NAMES)))
    return root


def cityscapes(source: Path, root: Path) -> Path:
    """Cityscapes: leftImg8bit/{train,val}/CITY/; its objects as annotations/instancesonly_filtered_gtFine_*.json, in
    COCO format, and, with the road around them, as gtFine/{train,val}/CITY/*_gtFine_labelTrainIds.png.
    """
    (root / 'annotations').mkdir(parents=True)
    for split in ('train', 'val'):
        images, labels = (root / part / split / 'aachen' for part in ('leftImg8bit', 'gtFine'))
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        content = _renamed(source, split, CITYSCAPES_NAMES)
        for image in content['images']:
            name = f'aachen_{image["id"]:06d}_000019'
            Image.open(source / split / image['file_name']).save(images / f'{name}_leftImg8bit.png')
            image['file_name'] = f'aachen/{name}_leftImg8bit.png'
            drawn = np.zeros((image['height'], image['width']), np.uint8)  # 0 is the road
            for found in (a for a in content['annotations'] if a['image_id'] == image['id']):
                shape = mask.decode(mask.frPyObjects(found['segmentation'], *drawn.shape))
                # cityscapesscripts' trainId of a person is 11, the other names follow in their order
                drawn[shape > 0] = 10 + found['category_id']
            drawn[:2] = 255  # nobody's
            Image.fromarray(drawn).save(labels / f'{name}_gtFine_labelTrainIds.png')
        file = root / f'annotations/instancesonly_filtered_gtFine_{split}.json'
        file.write_text(json.dumps(content))
    return root


def voc(source: Path, root: Path) -> Path:
    """VOC devkit: VOC{2007,2012}/{JPEGImages,Annotations,ImageSets/Main}; 2007 has a test set."""
    for year, split, listed in ((2007, 'train', 'trainval'), (2007, 'val', 'test'), (2012, 'train', 'trainval')):
        folder = root / f'VOC{year}'
        for part in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
            (folder / part).mkdir(parents=True, exist_ok=True)
        content, ids = _renamed(source, split, VOC_NAMES), []
        names = {category['id']: category['name'] for category in content['categories']}
        for image in content['images']:
            ids.append(f'{split}_{image["id"]:06d}')
            Image.open(source / split / image['file_name']).save(folder / f'JPEGImages/{ids[-1]}.jpg')
            tree = ET.Element('annotation')
            size = ET.SubElement(tree, 'size')
            for key in ('width', 'height'):
                ET.SubElement(size, key).text = str(image[key])
            for found in (a for a in content['annotations'] if a['image_id'] == image['id']):
                left, top, width, height = found['bbox']
                item = ET.SubElement(tree, 'object')
                ET.SubElement(item, 'name').text = names[found['category_id']]
                ET.SubElement(item, 'difficult').text = '0'
                box = ET.SubElement(item, 'bndbox')
                for key, value in zip(
                    ('xmin', 'ymin', 'xmax', 'ymax'), (left, top, left + width, top + height), strict=True
                ):
                    ET.SubElement(box, key).text = str(round(value) + 1)
            ET.ElementTree(tree).write(folder / f'Annotations/{ids[-1]}.xml')
        (folder / f'ImageSets/Main/{listed}.txt').write_text('\n'.join(ids) + '\n')
    return root
