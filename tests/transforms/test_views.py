"""Four views of any image that can be decoded; a clear skip of what cannot."""

import logging

import numpy as np
import pytest
import torch
from mmengine.dataset import worker_init_fn
from mmengine.logging import MMLogger
from PIL import Image
from skimage import data

from detco_mm.registry import TRANSFORMS
from detco_mm.transforms import DetCoViews, decoding
from detco_mm.transforms.crops import resized_crop
from tests.bad_files import encoded, png, skipped
from tests.transforms.photograph import GOOD, PHOTO, SQUARE

#: Views without any randomness but the crop, which is the whole of a square image.
PLAIN = dict(
    global_size=32,
    global_scale=(1, 1),
    local_size=48,
    local_scale=(1, 1),
    ratio=(1, 1),
    colour_jitter=None,
    grey_prob=0,
    blur=None,
    flip_prob=0,
)


def views_of(tmp_path, content, **options):
    """Return the item that the step makes of a file, and the step."""
    path = tmp_path / 'image.bin'
    path.write_bytes(content)
    step = DetCoViews(**options)
    return step(dict(img_path=str(path))), step


@pytest.mark.parametrize('name', GOOD)
def test_four_views_of_the_asked_sizes_come_of_every_kind(name, tmp_path):
    np.random.seed(0)
    item, step = views_of(tmp_path, GOOD[name])
    assert [view.shape for view in item['views']] == [(224, 224, 3)] * 2 + [(255, 255, 3)] * 2
    assert all(view.dtype == np.uint8 and view.flags.c_contiguous for view in item['views'])
    assert skipped(step) == 0


@pytest.mark.parametrize('size', [(1, 1), (1, 400), (400, 1), (2, 3)])
def test_the_smallest_images_are_enlarged(size, tmp_path):
    item, _ = views_of(tmp_path, encoded(Image.new('RGB', size, (200, 100, 50)), 'PNG'), **PLAIN)
    assert [view.shape for view in item['views']] == [(32, 32, 3)] * 2 + [(48, 48, 3)] * 2
    assert (np.stack(item['views'][:2]) == (200, 100, 50)).all()


def test_a_large_jpeg_reduced_while_decoding_gives_the_views_of_the_whole():
    large = Image.fromarray(data.astronaut()).resize((1600, 1600), Image.Resampling.BICUBIC)
    content = encoded(large, quality=95)
    whole = resized_crop(decoding.decode(content, decoding.read_header(content)), (0, 0, 1600, 1600), 224)
    for reduce in (2, 4):
        reduced = decoding.decode(content, decoding.read_header(content), reduce)
        side = 1600 // reduce
        assert reduced.shape == (side, side, 3)
        ours = resized_crop(reduced, (0, 0, side, side), 224)
        assert np.abs(ours.astype(int) - whole.astype(int)).mean() < 1.5


@pytest.mark.parametrize(
    ('size', 'factor'), [((500, 375), 1), ((1150, 1150), 1), ((1300, 1300), 2), ((2600, 2600), 4), ((6000, 900), 2)]
)
def test_an_image_is_never_reduced_so_far_that_a_crop_would_be_enlarged(size, factor, tmp_path):
    path = tmp_path / 'large.jpg'
    path.write_bytes(encoded(Image.new('RGB', size)))
    height, width, _ = DetCoViews()._read(str(path)).shape
    assert (width, height) == tuple(-(-side // factor) for side in size)
    # The smallest global crop: a fifth of the area, or all of the shorter side, at an aspect of 4 / 3.
    assert factor == 1 or min((0.2 * height * width * 0.75) ** 0.5, 0.75 * min(height, width)) >= 224


WHOLE_PNG = encoded(SQUARE, 'PNG')
BAD = dict(
    empty=(b'', 'empty'),
    text=(b'this is no image', 'no image in a format'),
    truncated_jpeg=(GOOD['jpeg'][: len(GOOD['jpeg']) // 2], 'truncated or damaged'),
    truncated_cmyk=(GOOD['cmyk'][: len(GOOD['cmyk']) // 2], 'truncated or damaged'),
    truncated_png=(WHOLE_PNG[: len(WHOLE_PNG) // 2], 'truncated or damaged'),
    truncated_webp=(GOOD['webp'][: len(GOOD['webp']) // 2], 'webp'),
    truncated_bmp=(GOOD['bmp'][: len(GOOD['bmp']) // 2], 'truncated or damaged'),
    header_alone=(GOOD['jpeg'][:20], 'no image in a format'),
    bomb=(png(60000, 60000, b''), 'limit'),
)


@pytest.mark.parametrize('name', BAD)
def test_a_file_that_cannot_be_decoded_is_skipped_counted_and_logged_with_path_and_reason(name, tmp_path):
    content, reason = BAD[name]
    path = tmp_path / f'{name}.bin'
    path.write_bytes(content)
    step = DetCoViews()
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append((record.levelno, record.getMessage()))
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        assert step(dict(img_path=str(path))) is None
        assert step(dict(img_path=str(path))) is None
    finally:
        logger.removeHandler(handler)
    assert skipped(step) == 2
    assert len(lines) == 1  # once for each file
    level, message = lines[0]
    assert level == logging.WARNING and str(path) in message and reason in message


def test_a_missing_file_is_skipped():
    step = DetCoViews()
    assert step(dict(img_path='no/such/file.jpg')) is None
    assert step(dict(img_path='a\0b.jpg')) is None
    assert skipped(step) == step.skips.by_reason['not readable'] == 2


def test_skips_are_counted_by_reason_with_a_few_examples(tmp_path):
    step = DetCoViews(max_pixels=160 * 160 - 1)
    for index, content in enumerate(
        (b'', b'', b'text', GOOD['jpeg'], GOOD['jpeg'][:900], encoded(SQUARE.resize((9, 9))))
    ):
        (tmp_path / 'image.bin').write_bytes(content)
        step(dict(img_path=str(tmp_path / 'image.bin'), sample_idx=10 + index))
    assert step.skips.tried == 6
    assert step.skips.by_reason == {
        'not readable': 0,
        'empty': 2,
        'no known image format': 1,
        'too many pixels': 2,
        'truncated or damaged': 0,
        'a codec is missing': 0,
        'other pixels than stated': 0,
    }
    assert step.skips.examples == [10, 11, 12, 13, 14]


class Items(torch.utils.data.Dataset):
    """Paths through the step; None becomes 0, so that it can be collated."""

    def __init__(self, step, paths):
        self.step, self.paths = step, paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return int(self.step(dict(img_path=self.paths[index])) is not None)


# a run whose workers are spawned, and count, is in test_platforms.py
@pytest.mark.parametrize('method', ['fork', pytest.param('spawn', marks=pytest.mark.exhaustive)])
def test_skips_in_worker_processes_are_counted(method, tmp_path):
    (tmp_path / 'good.png').write_bytes(WHOLE_PNG)
    paths = [str(tmp_path / 'good.png'), 'missing.jpg'] * 3
    step = DetCoViews()
    workers = 2 if method == 'fork' else 1
    loader = torch.utils.data.DataLoader(Items(step, paths), 2, num_workers=workers, multiprocessing_context=method)
    assert sum(int(batch.sum()) for batch in loader) == 3
    assert skipped(step) == 3


def test_the_same_seed_gives_the_same_views_and_another_gives_others(tmp_path):
    def draw(seed):
        worker_init_fn(0, 1, 0, seed)
        item, _ = views_of(tmp_path, WHOLE_PNG, rand_augment=dict(num_ops=2, magnitude=9))
        return item['views']

    first, again, other = draw(1), draw(1), draw(2)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not any((a == b).all() for a, b in zip(first, other, strict=True))


def test_the_four_views_are_drawn_independently(tmp_path):
    np.random.seed(0)
    item, _ = views_of(tmp_path, WHOLE_PNG)
    query, key, local_query, local_key = item['views']
    assert not (query == key).all() and not (local_query == local_key).all()


def test_rand_augment_touches_the_global_views_alone(tmp_path):
    torch.manual_seed(0)
    plain, _ = views_of(tmp_path, WHOLE_PNG, **PLAIN)
    augmented, _ = views_of(tmp_path, WHOLE_PNG, **PLAIN, rand_augment=dict(num_ops=4, magnitude=20))
    same = [(a == b).all() for a, b in zip(plain['views'], augmented['views'], strict=True)]
    assert same == [False, False, True, True]


def test_grey_and_flip_happen_as_often_as_asked(tmp_path):
    options = {**PLAIN, 'global_size': 8, 'local_size': 8, 'grey_prob': 0.2, 'flip_prob': 0.5}
    (tmp_path / 'image.png').write_bytes(encoded(SQUARE.resize((16, 16)), 'PNG'))
    item = dict(img_path=str(tmp_path / 'image.png'))
    plain = DetCoViews(**{**options, 'grey_prob': 0, 'flip_prob': 0})(dict(item))['views'][0]
    step = DetCoViews(**options)
    np.random.seed(0)
    views = np.stack([view for _ in range(500) for view in step(dict(item))['views']])
    grey = (views.max(-1) == views.min(-1)).all((1, 2))
    flipped = (views[~grey] == plain[:, ::-1]).all((1, 2, 3))
    assert (flipped | (views[~grey] == plain).all((1, 2, 3))).all()
    # Four standard errors of a share among 2000 and 1600 draws.
    assert abs(grey.mean() - 0.2) < 4 * (0.2 * 0.8 / 2000) ** 0.5
    assert abs(flipped.mean() - 0.5) < 4 * (0.25 / 1600) ** 0.5


def test_it_is_built_by_its_name():
    assert isinstance(TRANSFORMS.build(dict(type='detco_mm.DetCoViews')), DetCoViews)


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (dict(global_size=0), 'global_size=0'),
        (dict(local_scale=(0.6, 1.1)), r'local_scale=\(0.6, 1.1\)'),
        (dict(global_scale=(0, 1)), r'global_scale=\(0, 1\)'),
        (dict(ratio=(2, 1)), r'ratio=\(2, 1\)'),
        (dict(grey_prob=-0.1), 'grey_prob=-0.1'),
        (dict(flip_prob=2), 'flip_prob=2'),
        (dict(blur=dict(prob=2)), 'blur.prob=2'),
        (dict(max_pixels=0), 'max_pixels=0'),
    ],
)
def test_an_option_out_of_range_is_named(options, words):
    with pytest.raises(ValueError, match=words):
        DetCoViews(**options)


def test_local_views_can_be_the_global_ones_once_more(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / 'a.png')
    np.random.seed(0)
    views = DetCoViews(global_size=32, local_from_global=True)({'img_path': str(tmp_path / 'a.png')})['views']
    assert np.array_equal(views[0], views[2]) and np.array_equal(views[1], views[3])
    assert not np.array_equal(views[0], views[1])


def test_view_boxes_say_where_each_view_was_cut(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / 'a.png')
    np.random.seed(0)
    plain = DetCoViews(colour_jitter=None, grey_prob=0, blur=None, flip_prob=0)
    results = plain({'img_path': str(tmp_path / 'a.png')})
    height, width = PHOTO.shape[:2]
    for view, (top, left, box_height, box_width) in zip(results['views'], results['view_boxes'], strict=True):
        box = round(top * height), round(left * width), round(box_height * height), round(box_width * width)
        assert np.array_equal(view, resized_crop(PHOTO, box, view.shape[0]))
