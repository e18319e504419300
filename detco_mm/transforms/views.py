"""DetCoViews: one decode, four views."""

import copy
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dist import get_rank
from mmengine.logging import print_log

from detco_mm.registry import TRANSFORMS
from detco_mm.transforms import sources
from detco_mm.transforms.crops import random_box, resized_crop, smallest_side
from detco_mm.transforms.decoding import MAX_PIXELS, UndecodableImage, read_header
from detco_mm.transforms.measuring import settle
from detco_mm.transforms.photometric import ColourJitter, GaussianBlur, check_probability, flip, to_grey
from detco_mm.transforms.pixels import Pixels
from detco_mm.transforms.skips import SkipCounts

#: The values of MoCo v2's ``--aug-plus``.
COLOUR_JITTER = dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, prob=0.8)
BLUR = dict(sigma=(0.1, 2.0), prob=0.5)


@TRANSFORMS.register_module()
class DetCoViews:
    """Two global and two local views of one image, drawn independently of each other.

    Reads ``img_path`` and adds ``views``: global query, global key, local query, local key, each (size, size, C) uint8,
    RGB for three channels; and ``view_boxes``, where in the image each was cut: top, left, height, width as shares of
    its sides. The file is read and decoded once; a large JPEG is decoded at half, quarter or eighth size where every
    crop would still be shrunk from there. A file that cannot be decoded makes the item None, so that the data set takes
    another one; it is logged with the reason and counted in :attr:`skips`.

    Args:
        global_size: Side of the global views, in pixels.
        global_scale: Range of their share of the image's area.
        local_size: Side of the local views, in pixels, from which the patches are cut.
        local_scale: Range of their share of the image's area.
        ratio: Range of the width / height of all crops.
        colour_jitter: Arguments of :class:`ColourJitter`; None for none.
        grey_prob: How often a view loses its colour.
        blur: Arguments of :class:`GaussianBlur`; None for none.
        flip_prob: How often a view is mirrored.
        local_from_global: Make the local views the global ones once more, as the unofficial implementation does, which
            cuts its patches out of them; ``local_size`` and ``local_scale`` are not used then.
        rand_augment: Arguments of torchvision's RandAugment, applied to the global views right after the
            crop, e.g. ``dict(num_ops=2, magnitude=9)``; None for none.
        max_pixels: Skip images that have more. Decoding takes up to 14 bytes a pixel, in each worker; the default is
            where Pillow refuses, and cannot be exceeded.
        pixels: Arguments of :class:`detco_mm.transforms.pixels.Pixels`: the number of channels, which bands of the
            files make them, and how values that are not 8-bit are stretched. Default: three channels, and a range that
            the data set has measured. With C other than 3 there is no hue, saturation or grey: those steps are left
            out, and contrast moves away from the mean of all channels.

    Raises:
        ValueError: if a size, a range or a probability is out of its bounds.

    Source: DetCo, figure 2b and section 3.4; MoCo v2 for the global views, PIRL for the local ones.
    """

    def __init__(
        self,
        global_size: int = 224,
        global_scale: tuple[float, float] = (0.2, 1.0),
        local_size: int = 255,
        local_scale: tuple[float, float] = (0.6, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        colour_jitter: dict | None = COLOUR_JITTER,
        grey_prob: float = 0.2,
        blur: dict | None = BLUR,
        flip_prob: float = 0.5,
        local_from_global: bool = False,
        rand_augment: dict | None = None,
        max_pixels: int = MAX_PIXELS,
        pixels: dict | None = None,
    ) -> None:
        for name, size in (('global_size', global_size), ('local_size', local_size)):
            if size < 1:
                raise ValueError(f'{name}={size} is no size: set it to at least 1 pixel')
        for name, scale in (('global_scale', global_scale), ('local_scale', local_scale)):
            if not 0 < scale[0] <= scale[1] <= 1:
                raise ValueError(f'{name}={tuple(scale)} is no range of shares: write (lowest, highest), in 0..1')
        if not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f'ratio={tuple(ratio)} is no range of width / height: write (lowest, highest), above 0')
        self.ratio = (float(ratio[0]), float(ratio[1]))
        global_crop = (int(global_size), (float(global_scale[0]), float(global_scale[1])))
        local_crop = (int(local_size), (float(local_scale[0]), float(local_scale[1])))
        self._crops = (global_crop, global_crop, *(() if local_from_global else (local_crop, local_crop)))
        self.pixels = Pixels(**(pixels or {}))
        if self.pixels.channels != 3:
            if rand_augment is not None:
                raise ValueError(
                    f'rand_augment is for RGB, the images have {self.pixels.channels} channels: leave it out'
                )
            colour_jitter = colour_jitter and dict(colour_jitter, saturation=0, hue=0)
            grey_prob = 0
        self._jitter = ColourJitter(**colour_jitter) if colour_jitter is not None else None
        self._blur = GaussianBlur(**blur) if blur is not None else None
        self.grey_prob = check_probability('grey_prob', grey_prob)
        self.flip_prob = check_probability('flip_prob', flip_prob)
        self._rand_augment = _RandAugment(**rand_augment) if rand_augment is not None else None
        if not 1 <= max_pixels <= MAX_PIXELS:
            raise ValueError(f'max_pixels={max_pixels} is no limit: set it to 1 to {MAX_PIXELS}, where Pillow refuses')
        self.max_pixels = int(max_pixels)
        self.skips = SkipCounts()
        self._logged: set[str] = set()

    def __call__(self, results: dict[str, Any]) -> dict[str, Any] | None:
        """Add ``views`` and ``view_boxes`` to ``results``; None if the image cannot be decoded."""
        self.skips.note_tried()
        try:
            image = self._read(results['img_path'])
        except UndecodableImage as error:
            self._skip(results, error.reason, str(error))
            return None
        except (OSError, ValueError) as error:  # ValueError: a path that no file system has, as with a zero byte
            self._skip(results, 'not readable', str(error))
            return None
        height, width = image.shape[:2]
        views, boxes = [], []
        for index, (size, scale) in enumerate(self._crops):
            box = random_box(height, width, scale, self.ratio)
            views.append(self._augment(resized_crop(image, box, size), index < 2))
            boxes.append((box[0] / height, box[1] / width, box[2] / height, box[3] / width))
        repeats = 4 // len(views)
        results['views'], results['view_boxes'] = views * repeats, boxes * repeats
        return results

    def _read(self, path: str) -> np.ndarray:
        data = sources.read(path)
        header = read_header(data, self.max_pixels)
        spare = min(smallest_side(header.height, header.width, scale, self.ratio) / size for size, scale in self._crops)
        return self.pixels.read(data, header, next(factor for factor in (8, 4, 2, 1) if factor <= max(spare, 1)))

    def settle(self, paths: Sequence[str]) -> None:
        """Measure the value range on a sample of the files, if one is needed and none is stated; once, before a run."""
        self.pixels = settle(paths, self.pixels, max_pixels=self.max_pixels, side=max(self.sizes))

    def unaugmented(self) -> 'DetCoViews':
        """Make one that shows images as they are: four times the largest square in the middle, at the global size.

        Files are read and values stretched as here; what it skips is not counted here.
        """
        made = copy.copy(self)
        made._crops = ((self._crops[0][0], (1.0, 1.0)),)
        made.ratio = (1.0, 1.0)
        made._jitter = made._blur = made._rand_augment = None
        made.grey_prob = made.flip_prob = 0.0
        made.skips = SkipCounts()
        return made

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sides of the four views, in pixels."""
        sides = [size for size, _ in self._crops]
        return tuple(sides * (4 // len(sides)))

    def _augment(self, view: np.ndarray, is_global: bool) -> np.ndarray:
        if is_global and self._rand_augment is not None:
            view = self._rand_augment(view)
        if self._jitter is not None:
            view = self._jitter(view)
        if np.random.random() < self.grey_prob:
            view = to_grey(view)
        if self._blur is not None:
            view = self._blur(view)
        if np.random.random() < self.flip_prob:
            view = flip(view)
        return view if view.ndim == 3 else view[..., None]  # OpenCV drops the axis of a single channel

    def _skip(self, results: dict[str, Any], reason: str, details: str) -> None:
        self.skips.note_skipped(reason, results.get('sample_idx', -1))
        path = results['img_path']
        if path not in self._logged:  # once for each file, or a long run writes the same line in each epoch
            self._logged.add(path)
            # Of ranks other than 0, MMEngine's logger shows errors alone.
            level = logging.WARNING if get_rank() == 0 else logging.ERROR
            print_log(f'skipped {path}: {details}', logger='current', level=level)


class _RandAugment:
    """torchvision's RandAugment on arrays; its random numbers come from PyTorch, which MMEngine seeds as well."""

    def __init__(self, **kwargs: Any) -> None:
        from torchvision.transforms import RandAugment  # only the configs that ask for it need torchvision

        self._augment = RandAugment(**kwargs)

    def __call__(self, view: np.ndarray) -> np.ndarray:
        from PIL import Image

        return np.array(self._augment(Image.fromarray(view)))
