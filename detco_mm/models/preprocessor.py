"""DetCoDataPreprocessor: to the device, then to floats, and there, if asked to, to other colours."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from detco_mm.registry import MODELS, TRANSFORMS


@MODELS.register_module()
class DetCoDataPreprocessor(BaseDataPreprocessor):
    """Send views to the device as they come (uint8 is a quarter of the bytes) and normalise them there.

    Args:
        mean: Of each channel, RGB, on the scale 0..255. Default: ImageNet's.
        std: Of each channel, RGB, on the scale 0..255. Default: ImageNet's.
        channels_last: Lay the floats out as channels last, which convolutions under AMP and on many CPUs prefer.
        colour: Arguments of ``detco_mm.BatchColour``, to change colours here and not in the data workers, in training;
            None for none. Switch ``colour_jitter``, ``grey_prob`` and ``blur`` of DetCoViews off then.
        non_blocking: Do not wait for the transfer to a CUDA device; of use with ``pin_memory=True`` of the data loader.

    Raises:
        ValueError: if ``mean`` and ``std`` differ in length, or a ``std`` is not positive.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
        channels_last: bool = False,
        colour: dict | None = None,
        non_blocking: bool = True,
    ) -> None:
        super().__init__(non_blocking=non_blocking)
        if len(mean) != len(std) or min(std) <= 0:
            raise ValueError(
                f'mean={tuple(mean)} and std={tuple(std)} do not normalise: give one of each for a channel, '
                'and every std above 0'
            )
        self.channels_last = channels_last
        self._sources: list[tuple[weakref.ref[Tensor], int, Tensor]] = []
        self.colour = None if colour is None else TRANSFORMS.build(dict(type='detco_mm.BatchColour', **colour))
        # Not in the state dict: the config says what they are.
        self.register_buffer('mean', torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std, dtype=torch.float32).view(-1, 1, 1), persistent=False)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Make a batch ready for the model.

        Args:
            data: ``inputs``, a list of views, each either one tensor (N, 3, H, W) or (N, P, 3, H, W), as
                ``default_collate`` makes it, or N tensors of one dimension less, as ``pseudo_collate`` does;
                and ``data_samples`` if there are any. uint8 or floats, on the scale 0..255.
            training: Whether to change colours.

        Returns:
            ``inputs``, a list of float32 tensors on the device, normalised; and ``data_samples``, None without.

        Raises:
            ValueError: if the views are not as said above.
        """
        views = data['inputs']
        if isinstance(views, Tensor):
            views = [views]
        batches = [self._batch(index, view) for index, view in enumerate(views)]
        if len({len(batch) for batch in batches}) != 1:
            raise ValueError(
                f'views of {[len(batch) for batch in batches]} images make no batch: each view needs the same '
                'number N; PackDetCoInputs with default_collate or pseudo_collate gives that'
            )
        colour = self.colour if training else None
        # Apple's GPU may read what it is sent after it has been freed here, unless it is waited for.
        at_once = self._non_blocking and self.device.type == 'cuda'
        batches = [batch.to(self.device, non_blocking=at_once) for batch in batches]
        inputs = [self._float(batch, colour) for batch in batches]
        self._sources = []
        if training and colour is None and get_world_size() > 1:
            self._sources = [(weakref.ref(v), v._version, b) for v, b in zip(inputs, batches, strict=True)]
        return dict(inputs=inputs, data_samples=self.cast_data(data.get('data_samples')))

    def source(self, view: Tensor) -> Tensor | None:
        """The uint8 images that one of the last views was made of, which ranks exchange in its place.

        Args:
            view: the very tensor that :meth:`forward` returned in training, unchanged; of any other nothing is known.

        Returns:
            The images, of which :meth:`normalise` makes the same view, bit for bit; None where they were floats or have
            changed colours, and with a single process, which sends none.
        """
        for made, version, batch in self._sources:
            if made() is view and view._version == version and batch.dtype == torch.uint8:
                return batch
        return None

    def normalise(self, view: Tensor) -> Tensor:
        """Turn images on the device, (N, 3, H, W) or (N, P, 3, H, W), to normalised floats."""
        return self._float(view, None)

    def _batch(self, index: int, view: Tensor | Sequence[Tensor]) -> Tensor:
        if not isinstance(view, Tensor):
            shapes = {tuple(image.shape) for image in view}
            if len(shapes) != 1:
                raise ValueError(f'view {index} has images of shapes {sorted(shapes)}: crop all of them to one size')
            view = torch.stack(tuple(view))
        if view.ndim not in (4, 5) or view.shape[-3] != len(self.mean):
            channels = len(self.mean)
            raise ValueError(
                f'view {index} has shape {tuple(view.shape)}, not (N, {channels}, H, W) or (N, P, {channels}, H, W): '
                'end the pipeline with PackDetCoInputs, which gives a list of views for each image'
            )
        return view

    def _float(self, view: Tensor, colour: Callable[[Tensor], Tensor] | None) -> Tensor:
        images = view.flatten(0, -4)
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        # A copy even of floats: the caller's tensors stay as they are.
        images = images.to(torch.float32, copy=True, memory_format=layout)
        if colour is not None:
            colour(images.unflatten(0, view.shape[:-3]))
        return images.sub_(self.mean).div_(self.std).unflatten(0, view.shape[:-3])
