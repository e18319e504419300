"""Labels in COCO's format: what is missing is computed, what cannot be stops with its count and places."""

import copy
import json
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as codec
from pycocotools.coco import COCO

from detco_mm.datasets.coco_labels import LabelError, check_coco, usable_labels, write_fixed
from detco_mm.datasets.coco_labels.check import without_faults
from tests.datasets.coco import CLASSES, NAMES, SIZE, content, draw, each, write


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    return draw(tmp_path_factory.mktemp('images'))


@pytest.fixture
def check(images, tmp_path):
    """Write a content and check it with the images."""

    def run(changed, folder=images, **needs):
        return check_coco(write(tmp_path / 'labels.json', changed), folder, **needs)

    return run


def said(labels):
    """What stops a run; it must be one line, and name the file."""
    assert labels.complaint and labels.complaint.startswith(f'"{labels.path}": ') and '\n' not in labels.complaint
    return labels.complaint


def same(labels, wanted):
    """Whether the fixed content says the same of every object, and pycocotools reads it as MMDetection does."""
    assert labels.complaint is None and labels.changed
    write_fixed(labels, f'{labels.path}.fixed')
    coco = COCO(f'{labels.path}.fixed')
    assert [coco.imgs[one['id']]['file_name'] for one in wanted['images']] == [o['file_name'] for o in wanted['images']]
    for one, other in zip(wanted['annotations'], labels.content['annotations'], strict=True):
        np.testing.assert_allclose(other['bbox'], one['bbox'])
        assert (other['image_id'], other['category_id'], other['iscrowd']) == (one['image_id'], one['category_id'], 0)
        np.testing.assert_allclose(other['area'], one['area'])


def test_sound_labels_are_left_alone(check):
    labels = check(content(), classes=CLASSES, masks=True)
    assert not labels.changed and labels.complaint is None
    assert labels.lines() == [f'note: images without an object: 1 ("{NAMES[5]}")']


def without(*names):
    def change(entry, at):
        for name in names:
            del entry[name]

    return change


FIXED = {
    'no area': (each(without('area')), 'objects without an area, computed from the mask: 10'),
    'no area nor mask': (each(without('area', 'segmentation')), 'objects without an area, computed from the box: 10'),
    'area 0': (each(lambda o, at: o.update(area=0)), 'objects without an area'),
    'no iscrowd': (each(without('iscrowd')), 'objects without iscrowd, set to 0: 10'),
    'iscrowd is text': (each(lambda o, at: o.update(iscrowd='0')), 'iscrowd that is neither 0 nor 1'),
    'no box': (each(without('bbox')), 'objects without a bbox, computed from their mask: 10'),
    'no ids': (each(without('id')), 'ids of annotations were missing'),
    'ids from 0': (each(lambda o, at: o.update(id=at)), 'below 1'),
    'repeated ids': (each(lambda o, at: o.update(id=at % 2 + 1)), 'repeated (8)'),
    'ids that are text': (each(lambda o, at: o.update(image_id=str(o['image_id']))), 'no whole numbers, numbered: 10'),
    'image ids that are text': (each(lambda o, at: o.update(id=str(o['id'])), 'images'), 'id of "images"'),
    'categories that are text': (each(lambda o, at: o.update(category_id=f'{o["category_id"]}')), 'category_id'),
    'no sizes': (each(without('width', 'height'), 'images'), 'images without width and height, taken from the file: 6'),
    'sizes 0': (each(lambda o, at: o.update(width=0, height=0), 'images'), 'without width and height'),
    'wrong sizes': (each(lambda o, at: o.update(width=500), 'images'), 'that are not those of the file'),
    'flat polygons': (
        each(lambda o, at: o.update(segmentation=o['segmentation'][0])),
        'polygons that are no list of parts, made so: 10',
    ),
    'polygons of points': (
        each(lambda o, at: o.update(segmentation=np.reshape(o['segmentation'][0], (-1, 2)).tolist())),
        'polygons of [x, y] points',
    ),
    'parts of points': (
        each(lambda o, at: o.update(segmentation=[np.reshape(o['segmentation'][0], (-1, 2)).tolist()])),
        'polygons of [x, y] points',
    ),
    'a part of two points': (
        each(lambda o, at: o['segmentation'].append([0, 0, 5, 5])),
        'parts of polygons with fewer than 3 points, left out: 10',
    ),
}


@pytest.mark.parametrize('kind', FIXED)
def test_what_is_missing_is_computed(kind, check):
    changed, line = FIXED[kind]
    masks = all('segmentation' in found for found in changed['annotations'])
    labels = check(changed, classes=CLASSES, masks=masks)
    assert line in '\n'.join(labels.lines())
    same(labels, content())
    assert json.loads(open(labels.path).read()) == changed  # the user's file is as it was


def test_ids_of_any_text_are_numbered_together(check):
    changed = each(lambda o, at: o.update(image_id=f'img-{o["image_id"]}'))
    for image in changed['images']:
        image['id'] = f'img-{image["id"]}'
    same(check(changed), content())


def first(**values):
    """The content with three of its objects changed."""
    return each(lambda o, at: o.update(values) if at in (0, 3, 6) else None)


POLYGON = [[10.0, 10, 40, 10, 40, 40]]
STOPS = {
    'no image': (dict(content(), images=[]), '"images" is missing or empty'),
    'no list': (dict(content(), images={'1': 'a.jpg'}), '"images" is a dict, where COCO has a list'),
    'no object': (dict(content(), annotations=[]), '"annotations" is missing or empty'),
    'no category': (dict(content(), categories=[]), '"categories" is missing or empty'),
    'names alone': (dict(content(), categories=list(CLASSES)), "entry 0: 'fish'"),
    'an unknown image': (first(image_id=99), 'annotations of images that are not listed: 3 (annotation 1: image_id 99'),
    'an unknown category': (first(category_id=9), 'annotations of categories that are not listed: 3'),
    'no category id': (first(category_id=None), 'annotations of categories that are not listed: 3'),
    'a list for an id': (first(image_id=[1]), 'annotations of images that are not listed: 3'),
    'shared ids': (each(lambda o, at: o.update(id=1), 'images'), 'ids that several images share: 5'),
    'no name': (each(without('file_name'), 'images'), 'images without a file_name: 6'),
    'no area': (first(bbox=[5, 5, 0, 10]), 'boxes without an area: width or height is 0 or less: 3'),
    'negative': (first(bbox=[50, 50, -20, -20]), 'boxes without an area'),
    'outside': (first(bbox=[300, 5, 20, 10]), 'boxes outside of their image: 3'),
    'NaN': (first(bbox=[float('nan'), 5, 20, 10]), 'boxes that are not finite: 3'),
    'infinite': (first(bbox=[5, 5, float('inf'), 10]), 'boxes that are not finite: 3'),
    'three numbers': (first(bbox=[5, 5, 20]), 'not four numbers: 3 (annotation 1 on "tank_0.jpg": [5, 5'),
    'text': (first(bbox=['5', '5', '20', '10']), 'boxes that are not four numbers: 3'),
    'no box': (first(bbox=None, segmentation=[]), 'objects without a bbox, and without a mask'),
    'crowds alone': (each(lambda o, at: o.update(iscrowd=1)), 'all 10 objects are crowds'),
    'shares': (each(lambda o, at: o.update(bbox=[0.1, 0.2, 0.3, 0.4])), 'boxes are shares of the image, 0 to 1'),
}  # fmt: skip


@pytest.mark.parametrize('kind', STOPS)
def test_what_cannot_be_computed_stops_with_count_and_places(kind, check):
    changed, line = STOPS[kind]
    assert line in said(check(changed))


MASKS = {
    'no segmentation': (first(segmentation=None), 'objects without a segmentation: 3'),
    'empty': (first(segmentation=[]), 'objects without a segmentation: 3'),
    'two points': (first(segmentation=[[1, 1, 9, 9]]), 'polygons of fewer than 3 points: 3'),
    'odd': (first(segmentation=[[1, 1, 9, 9, 5, 5, 5]]), 'an odd number of coordinates: 3'),
    'NaN': (first(segmentation=[[1, 1, 9, float('nan'), 5, 5]]), 'no finite numbers: 3'),
    'text': (first(segmentation='polygon'), 'neither polygons nor run lengths: 3'),
    'elsewhere': (first(segmentation=[[70, 70, 80, 70, 80, 80]]), 'outside of the box of their object: 3'),
    'another size': (first(segmentation=dict(size=[5, 5], counts=[25])), 'of another size than their image'),
    'too short': (first(segmentation=dict(size=[90, 120], counts=[25])), "do not add up to their image's pixels"),
    'no code': (first(segmentation=dict(size=[90, 120], counts='abc')), 'cannot be decoded'),
}


@pytest.mark.parametrize('kind', MASKS)
def test_what_is_no_mask_stops_a_detector_of_masks_alone(kind, check):
    changed, line = MASKS[kind]
    assert line in said(check(changed, masks=True))
    assert check(changed).complaint is None


@pytest.mark.parametrize('compressed', [True, False])
def test_run_lengths_are_masks_from_which_box_and_area_follow(check, compressed):
    def encode(found, at):
        x, y, w, h = found['bbox']
        bitmap = np.zeros(SIZE[::-1], np.uint8)
        bitmap[y : y + h, x : x + w] = 1
        code = codec.encode(np.asfortranarray(bitmap))
        counts = code['counts'].decode()
        if not compressed:
            steps = np.flatnonzero(np.diff(bitmap.T.ravel(), prepend=0, append=0)).tolist()
            counts = np.diff([0, *steps, bitmap.size]).tolist()
        found.update(segmentation=dict(size=[90, 120], counts=counts))
        del found['bbox'], found['area']

    same(check(each(encode), masks=True), content())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_compressed_run_lengths_of_any_mask_are_known_to_fit_and_others_not(seed):
    from detco_mm.datasets.coco_labels.masks import fault

    generator = np.random.default_rng(seed)
    bitmap = (generator.random(generator.integers(1, 200, 2)) < generator.random()).astype(np.uint8)
    code = codec.encode(np.asfortranarray(bitmap))
    code['counts'] = code['counts'].decode()
    assert fault(code, *bitmap.shape) is None
    assert fault(dict(code, counts=code['counts'][:-1]), *bitmap.shape) is not None


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_corners_are_told_from_widths_and_sound_boxes_are_never_blamed(tmp_path_factory, seed):
    generator = np.random.default_rng(seed)
    path = tmp_path_factory.getbasetemp() / 'random.json'
    changed = content()
    changed['annotations'] = []
    for at in range(40):
        w, h = generator.integers(4, 60, 2).tolist()
        x, y = int(generator.integers(0, SIZE[0] - w)), int(generator.integers(0, SIZE[1] - h))
        found = dict(id=at + 1, image_id=at % 6 + 1, category_id=1, bbox=[x, y, w, h], area=w * h, iscrowd=0)
        changed['annotations'].append(found)
    assert check_coco(write(path, changed)).complaint is None
    corners = copy.deepcopy(changed)
    for found in corners['annotations']:
        x, y, w, h = found['bbox']
        found['bbox'] = [x, y, x + w, y + h]
    assert 'all fit as corners [x1, y1, x2, y2]' in said(check_coco(write(path, corners)))
    assert check_coco(path, layout='xyxy').content['annotations'] == changed['annotations']


def test_shares_of_the_image_are_rewritten_when_that_is_said(check):
    def share(found, at):
        found['bbox'] = [value / side for value, side in zip(found['bbox'], SIZE * 2, strict=True)]

    same(check(each(share), layout='relative'), content())


def test_the_objects_of_tiny_and_cut_boxes_are_counted(check):
    labels = check(each(lambda o, at: o.update(bbox=[100, 5, 60, 0.5]) if at == 4 else None))
    assert labels.complaint is None
    lines = '\n'.join(labels.lines())
    assert 'boxes that reach beyond their image, cut there: 1' in lines and 'boxes below 1 pixel' in lines


#: What tools write for tank_0.jpg; on the disk it is `at`, below the folder of the images.
NAMED = {
    'Windows': ('images\\tank_0.jpg', 'images/tank_0.jpg'),
    'absolute': ('/elsewhere/labels/tank_0.jpg', 'tank_0.jpg'),
    'a drive': ('C:\\Users\\me\\tank_0.jpg', 'tank_0.jpg'),
    'Label Studio': ('/data/upload/3/1f0e9d8c-tank_0.jpg', 'tank_0.jpg'),
    'Label Studio, as uploaded': ('../../label-studio/media/upload/3/1f0e9d8c-tank_0.jpg', '1f0e9d8c-tank_0.jpg'),
    'Label Studio, local files': ('/data/local-files/?d=set/tank%200.jpg', 'set/tank 0.jpg'),
    'URL': ('https://example.org/a/tank_0.jpg?token=1', 'tank_0.jpg'),
    'URL-encoded': (quote('Ærø tank 0.jpg'), 'Ærø tank 0.jpg'),
    'CVAT, with its subset': ('train/tank_0.jpg', 'tank_0.jpg'),
    'in a sub-folder': ('tank_0.jpg', 'monday/morning/tank_0.jpg'),
    'another case': ('TANK_0.JPG', 'tank_0.jpg'),
    'accents of macOS': ('a\u0308.jpg', 'ä.jpg'),
    'without a suffix': ('tank_0', 'tank_0.jpg'),
    'a dot in front': ('./x/../tank_0.jpg', 'tank_0.jpg'),
}  # fmt: skip


@pytest.mark.parametrize('kind', NAMED)
def test_files_are_found_however_their_names_are_written(kind, check, tmp_path):
    written, at = NAMED[kind]
    folder = draw(tmp_path / 'here', [at, *NAMES[1:]])
    changed = content()
    changed['images'][0]['file_name'] = written
    labels = check(changed, folder)
    assert labels.complaint is None and (folder / labels.images[1]['file_name']).samefile(folder / at)


def test_files_that_are_not_there_are_named_with_the_nearest_and_never_guessed(check, tmp_path):
    folder = draw(tmp_path / 'here', ['b/0001.jpg', 'c/tank_1.jpg', 'd/tank_1.jpg', *NAMES[2:]])
    changed = content()
    changed['images'][0]['file_name'] = 'a/0001.jpg'  # another film's
    text = said(check(changed, folder))
    assert f'images that are not in "{folder}": 2 ("a/0001.jpg"' in text and '"tank_1.jpg"' in text
    changed['images'][0]['file_name'] = 'tank_22.jpg'
    assert '"tank_22.jpg", the nearest is "tank_2.jpg"' in said(check(changed, folder))
    with pytest.raises(FileNotFoundError, match='no folder of images'):
        check(changed, tmp_path / 'nowhere')


def test_a_file_of_two_images_stops_unless_both_have_the_same_objects(check):
    changed = content()
    changed['images'][1]['file_name'] = NAMES[0]
    assert 'files that several images share, each with other objects: 1 ("tank_0.jpg"' in said(check(changed))
    for found in changed['annotations'][2:4]:
        twin = changed['annotations'][found['id'] - 3]
        found.update(bbox=twin['bbox'], category_id=twin['category_id'])
    labels = check(changed)
    assert labels.complaint is None and 'with the same objects' in '\n'.join(labels.lines())


def test_images_resized_after_labelling_stop_and_those_turned_by_exif_too(check, tmp_path):
    small = draw(tmp_path / 'small', size=(60, 45))
    assert 'resized after they were labelled' in said(check(content(), small))
    beyond = draw(tmp_path / 'beyond', size=(60, 80))
    assert 'beyond which objects lie: 5' in said(check(content(), beyond))
    turned = draw(tmp_path / 'turned')
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in NAMES:
        Image.open(turned / name).save(turned / name, exif=exif)
    assert 'images that EXIF turns, but whose labels are of the unturned ones: 6' in said(check(content(), turned))


def named(*names):
    return dict(content(), categories=[dict(id=at + 1, name=name) for at, name in enumerate(names)])


@pytest.mark.parametrize('wrong', ['Fish', 'fish ', 'fihs', 'fishes', 'FISH'])
def test_a_misspelt_class_stops_beside_the_nearest(check, wrong):
    labels = check(named(wrong, *CLASSES[1:]), classes=CLASSES)
    text = said(labels)
    assert f'"{wrong}" (3 objects), the nearest class is "fish"' in text and labels.mismatch


def test_classes_are_put_in_the_order_of_the_config_and_lacking_ones_added(check):
    order = ('ray', 'squid', 'fish', 'big shark')
    labels = check(content(), classes=order)
    assert [category['name'] for category in labels.content['categories']] == list(order)
    write_fixed(labels, f'{labels.path}.fixed')
    coco = COCO(f'{labels.path}.fixed')
    label = {id_: at for at, id_ in enumerate(coco.getCatIds(catNms=order))}  # as MMDetection numbers them
    assert [order[label[found['category_id']]] for found in coco.dataset['annotations']] == [
        CLASSES[found['category_id'] - 1] for found in content()['annotations']
    ]


def test_a_choice_of_classes_is_allowed_and_said(check):
    labels = check(content(), classes=('fish',))
    assert labels.complaint is None
    assert 'whose objects are left out: "big shark" (4 objects), "ray" (3 objects)' in '\n'.join(labels.lines())
    assert 'FISH' in said(check(named('FISH', 'fish', 'ray'), classes=('fish', 'ray')))


def test_categories_of_one_name_are_one_and_a_placeholder_without_objects_is_none(check):
    changed = content()
    changed['categories'].append(dict(id=7, name='fish'))
    changed['annotations'][0]['category_id'] = 7
    same(check(changed, classes=CLASSES), content())
    roboflow = content()
    roboflow['categories'].insert(0, dict(id=0, name='animals', supercategory='none'))
    assert check(roboflow, classes=CLASSES).complaint is None


OTHERS = {
    'Label Studio': [dict(id=1, data=dict(image='a.jpg'), annotations=[])],
    'VIA': {'a.jpg1234': dict(filename='a.jpg', size=1234, regions=[], file_attributes={})},
    "VIA's own project": dict(_via_settings={}, _via_img_metadata={}),
    'labelme': dict(version='5', shapes=[], imagePath='a.jpg', imageData=None),
    'CreateML': [dict(image='a.jpg', annotations=[])],
    'list': [],
    '"images"': dict(hello='world'),
}


@pytest.mark.parametrize('kind', OTHERS)
def test_other_formats_are_named(kind, tmp_path):
    with pytest.raises(LabelError, match=kind):
        usable_labels(write(tmp_path / 'labels.json', OTHERS[kind]))


def test_what_has_a_fault_can_be_left_out(check, images):
    changed = first(bbox=[5, 5, 0, 10])
    changed['images'][1]['file_name'] = 'gone.jpg'
    labels = check(changed)
    without_faults(labels)
    again = check(labels.content)
    assert again.complaint is None and len(again.objects) == 10 - 3 - 1 and len(again.images) == 5


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_a_json_holds_the_check_ends_with_findings_and_a_run_that_goes_on_can_be_read(data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / 'any.json'
    value = st.sampled_from([None, True, 0, -1, 1.5, '', '1', 'a', [], [1], {}, {'a': 1}, float('nan'), 1e400, 10**25])
    changed = content()
    for _ in range(data.draw(st.integers(1, 4))):
        section = data.draw(st.sampled_from(['images', 'annotations', 'categories']))
        entry = data.draw(st.sampled_from(changed[section])) if changed[section] else None
        if not isinstance(entry, dict):
            continue
        entry[data.draw(st.sampled_from(sorted(entry)))] = data.draw(value)
    labels = check_coco(write(path, changed), classes=CLASSES, masks=data.draw(st.booleans()))
    if labels.complaint is None:
        write_fixed(labels, path)
        coco = COCO(str(path))
        for found in coco.dataset['annotations']:
            x, y, w, h = found['bbox']
            assert found['area'] > 0 and w > 0 and h > 0 and found['image_id'] in coco.imgs
            assert found['category_id'] in coco.cats and 'iscrowd' in found
