"""BatchColour: colour jitter, grey and blur of a whole batch at once, on whatever device it is."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from detco_mm.registry import TRANSFORMS
from detco_mm.transforms.photometric import LUMA, ColourJitter, GaussianBlur, check_probability
from detco_mm.transforms.views import BLUR, COLOUR_JITTER

# Float images on the scale 0..255 are (N, P, 3, H, W), RGB; an amount is (N, 1, 1, 1, 1).


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Scale all values by ``factor``; 0 is black, 1 the image itself."""
    return (images * factor).clamp_(0, 255)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Move all values away from the mean luminance of the image; 0 is an even grey, 1 the image itself."""
    return luminance(images).mean((1, 2, 3, 4), keepdim=True).lerp(images, factor).clamp_(0, 255)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Move all pixels away from their own luminance; 0 is grey, 1 the image itself."""
    return luminance(images).lerp(images, factor).clamp_(0, 255)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue by ``shift`` of a full circle, in -0.5 to 0.5."""
    red, green, blue = images.unbind(-3)
    value = images.amax(-3)
    chroma = value - images.amin(-3)
    # In sixths of the circle from red; of a grey pixel, whose chroma is 0, any will do.
    sixth = torch.where(
        value == red,
        (green - blue) / chroma,
        torch.where(value == green, (blue - red) / chroma + 2, (red - green) / chroma + 4),
    ).nan_to_num_(0)
    # How far red, green and blue fall below the largest of them, as shares of the chroma, by their angle.
    origin = torch.tensor((5.0, 3.0, 1.0), device=images.device).view(3, 1, 1)
    angle = (sixth.unsqueeze(-3) + 6 * shift + origin) % 6
    return value.unsqueeze(-3) - chroma.unsqueeze(-3) * torch.minimum(angle, 4 - angle).clamp_(0, 1)


def luminance(images: Tensor) -> Tensor:
    """Return ITU-R 601-2 luma, (N, P, 1, H, W); of channels that are no colours, their mean."""
    if images.shape[-3] != 3:
        return images.mean(-3, keepdim=True)
    red, green, blue = (weight * channel for weight, channel in zip(LUMA, images.split(1, dim=-3), strict=True))
    return red + green + blue


def gaussian_blur(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Blur each image with a Gaussian of its own ``sigma``, cut at ``radius`` pixels, reflected at the border."""
    offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernels = torch.softmax(-0.5 * (offsets / sigma.view(-1, 1)) ** 2, dim=1)
    planes = images.flatten(0, 2)[None]
    kernels = kernels.repeat_interleave(planes.shape[1] // len(images), dim=0)[:, None]
    planes = F.pad(planes, (radius,) * 4, mode='reflect')
    planes = F.conv2d(planes, kernels[:, :, None, :], groups=len(kernels))
    return F.conv2d(planes, kernels[:, :, :, None], groups=len(kernels)).view(images.shape)


_ADJUST: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    'brightness': adjust_brightness,
    'contrast': adjust_contrast,
    'saturation': adjust_saturation,
    'hue': adjust_hue,
}


@TRANSFORMS.register_module()
class BatchColour:
    """The colour steps of DetCoViews, each image by amounts of its own.

    In floats, so no step rounds to whole values. The patches of a view share its amounts, but are blurred one by one,
    and contrast knows the mean of the patches alone, not that of the view that they were cut from.

    Args:
        colour_jitter: Arguments of :class:`ColourJitter`; None for none.
        grey_prob: How often a view loses its colour.
        blur: Arguments of :class:`GaussianBlur`; None for none.

    Raises:
        ValueError: if an amount or a probability is out of its bounds.

    Source: MoCo v2's ``--aug-plus``, as in DetCoViews.
    """

    def __init__(
        self, colour_jitter: dict | None = COLOUR_JITTER, grey_prob: float = 0.2, blur: dict | None = BLUR
    ) -> None:
        self._jitter = ColourJitter(**colour_jitter) if colour_jitter is not None else None
        self._blur = GaussianBlur(**blur) if blur is not None else None
        self._grey_prob = check_probability('grey_prob', grey_prob)

    def __call__(self, views: Tensor) -> Tensor:
        """Change views.

        Args:
            views: (N, 3, H, W) or, as patches, (N, P, 3, H, W) floats on the scale 0..255, which are written to. With
                another number of channels, hue, saturation and grey are left out.

        Returns:
            The same tensor.
        """
        images = views if views.ndim == 5 else views[:, None]
        count, coloured = len(images), images.shape[-3] == 3
        # Drawn on the CPU, so that no device has to be waited for to know which images a step takes.
        if self._jitter is not None:
            changed = torch.rand(count) < self._jitter.prob
            ranges = [
                (_ADJUST[name], low, high)
                for name, (low, high) in self._jitter.ranges.items()
                if low < high and (coloured or name not in ('saturation', 'hue'))
            ]
            order = torch.rand(count, len(ranges)).argsort(1)
            amounts = [torch.empty(count).uniform_(low, high) for _, low, high in ranges]
            for place in range(len(ranges)):
                for index, (adjust, _, _) in enumerate(ranges):
                    _apply(images, changed & (order[:, place] == index), adjust, amounts[index])
        if coloured:
            _apply(images, torch.rand(count) < self._grey_prob, adjust_saturation, torch.zeros(count))
        if self._blur is not None:
            low, high = self._blur.sigma
            sigma = torch.empty(count).uniform_(low, high)
            radius = round(3 * high)
            _apply(images, torch.rand(count) < self._blur.prob, lambda x, s: gaussian_blur(x, s, radius), sigma)
        return views


def _apply(images: Tensor, chosen: Tensor, step: Callable[[Tensor, Tensor], Tensor], amounts: Tensor) -> None:
    where = chosen.nonzero().flatten()
    if len(where):
        # Apple's GPU may read what it is sent after it has been freed here, unless it is waited for.
        at_once = images.is_cuda
        amount = amounts[where].view(-1, 1, 1, 1, 1).to(images.device, non_blocking=at_once)
        where = where.to(images.device, non_blocking=at_once)
        # MMEngine prepares a batch under the autocast of its step, in which a blur would be of half precision.
        with torch.autocast(images.device.type, enabled=False):
            images[where] = step(images[where], amount)
