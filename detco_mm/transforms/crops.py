"""Random resized crops: boxes and pixels as torchvision makes them."""

import math

import numpy as np
import torch
from torch.nn.functional import interpolate

from detco_mm.transforms.photometric import between


def random_box(
    height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[int, int, int, int]:
    """Draw a box of random area and aspect in an image.

    Args:
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        scale: Range of the box's share of the image's area.
        ratio: Range of the box's width / height, drawn evenly in its logarithm.

    Returns:
        Top, left, height and width of the box, in pixels, always inside the image.

    Source: torchvision, ``RandomResizedCrop.get_params``: ten draws, then the largest box in the middle.
    """
    log_ratio = (math.log(ratio[0]), math.log(ratio[1]))
    for _ in range(10):
        area = height * width * between(*scale)
        aspect = math.exp(between(*log_ratio))
        box_width, box_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < box_width <= width and 0 < box_height <= height:
            top = int((height - box_height + 1) * np.random.random())
            left = int((width - box_width + 1) * np.random.random())
            return top, left, box_height, box_width
    box_height, box_width = height, width
    if width / height < ratio[0]:
        box_height = max(1, min(height, round(width / ratio[0])))
    elif width / height > ratio[1]:
        box_width = max(1, min(width, round(height * ratio[1])))
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


def resized_crop(image: np.ndarray, box: tuple[int, int, int, int], size: int) -> np.ndarray:
    """Cut ``box`` out of an (H, W, C) image and resize it to (size, size, C).

    PyTorch's antialiased resize of uint8 is a port of Pillow's, which torchvision calls: they differ by 1 at most.
    OpenCV has none: its INTER_LINEAR leaves pixels out when it shrinks, its INTER_AREA is a quarter as fast.
    """
    top, left, height, width = box
    # The batch of one is made before the channels move, which leaves it with the strides of channels last: PyTorch then
    # keeps them, and neither rearranges the crop nor the result.
    images = torch.from_numpy(image)[None, top : top + height, left : left + width].permute(0, 3, 1, 2)
    resized = interpolate(images, size=(size, size), mode='bilinear', align_corners=False, antialias=True)
    return resized.permute(0, 2, 3, 1)[0].numpy()


def smallest_side(height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float]) -> float:
    """Return the shortest side that :func:`random_box` can draw, in pixels."""
    widest = max(ratio[1], 1 / ratio[0])
    return min(math.sqrt(scale[0] * height * width / widest), min(height, width) / widest)
