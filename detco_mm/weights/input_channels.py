"""A first convolution for another number of channels."""

from torch import Tensor


def adapt_input_channels(weight: Tensor, channels: int) -> Tensor:
    """Make the weights of a first convolution that was trained on RGB fit images of N channels.

    One channel gets their sum; more get red, green, blue, red ... again, scaled so that the sum over the channels, and
    with it the size of what the convolution gives, stays as it was. As timm does for its own weights.

    Args:
        weight: (out, C, k, k), C being what it was trained on.
        channels: N.

    Returns:
        (out, N, k, k); the same tensor if C is N.

    Raises:
        ModuleNotFoundError: without timm.
        ValueError: if the weights are of no convolution over images of one or three channels.

    Source: timm, ``adapt_input_conv``.
    """
    if weight.ndim == 4 and weight.shape[1] == channels:
        return weight
    if weight.ndim != 4 or weight.shape[1] not in (1, 3) or channels < 1:
        raise ValueError(
            f'weights of shape {tuple(weight.shape)} do not fit {channels} channels: only a convolution over one or '
            'three channels can be adapted'
        )
    try:
        from timm.models import adapt_input_conv
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'weights for {weight.shape[1]} channels with {channels}: pip install timm'
        ) from error
    if weight.shape[1] == 1:
        return weight.repeat(1, channels, 1, 1) / channels
    return adapt_input_conv(channels, weight)
