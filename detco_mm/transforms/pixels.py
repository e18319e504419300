"""Pixels: a file's own numbers -> the 8 bits and N channels that a network is given, by one stated rule."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from detco_mm.transforms.decoding import UndecodableImage, decode
from detco_mm.transforms.photometric import LUMA
from detco_mm.transforms.rasters import Header, is_plain, read_raster
from detco_mm.transforms.tiff import Raster

Range = tuple[float, float]
Ranges = list[Range]


class Pixels:
    """What of a file's bands and values becomes an image, the same for pre-training and fine-tuning.

    8-bit files are taken as they are. Other values are stretched: ``low`` becomes 0, ``high`` 255, what is beyond is
    clipped, what is NaN, infinite or ``nodata`` becomes 0. Eight bits suffice for a network's input once the range is
    right, and all colour steps work on them. Without a range such a file is refused, for no rule fits them all;
    :func:`detco_mm.transforms.measuring.settle` finds one.

    Args:
        channels: N, of the image that is made; default: as many as ``bands``, or else 3.
        bands: which bands of the file to take, in this order, from 0. Default: all, if they are N; one band is
            repeated for three channels, three are mixed to grey for one; a transparency beyond N is dropped.
        value_range: (low, high) for all files; a list of N such pairs, one a channel; or a mapping from a type of
            numbers, such as 'uint16' or 'float32', to either, which leaves 8-bit files alone if it does not name uint8.
        nodata: a value that stands for "not measured", beside the one that a GeoTIFF names itself.

    Raises:
        ValueError: if an argument is none of these.
    """

    def __init__(
        self,
        channels: int | None = None,
        bands: Sequence[int] | None = None,
        value_range: Sequence | Mapping[str, Sequence] | None = None,
        nodata: float | None = None,
    ) -> None:
        if bands is not None and not (
            isinstance(bands, Sequence) and bands and all(type(band) is int and band >= 0 for band in bands)
        ):
            raise ValueError(f'bands={bands!r}: name at least one band of the file, counted from 0, such as (3, 2, 1)')
        self.bands = None if bands is None else tuple(bands)
        if channels is not None and (type(channels) is not int or channels < 1):
            raise ValueError(f'channels={channels!r}: it is the number of channels of an image, at least 1')
        self.channels = channels if channels is not None else len(self.bands or (0, 1, 2))
        if self.bands is not None and len(self.bands) != self.channels:
            raise ValueError(f'bands={self.bands} are {len(self.bands)}, not channels={channels}: leave channels out')
        self.value_range = _builtin(value_range)
        if nodata is not None and type(nodata) not in (int, float):
            raise ValueError(f'nodata={nodata!r}: it is the number that stands for "not measured"')
        self.nodata = None if nodata is None else float(nodata)
        self._ranges: dict[str, Ranges] | Ranges | None
        if isinstance(self.value_range, dict):
            self._ranges = {name: self._pairs(pairs) for name, pairs in self.value_range.items()}
        else:
            self._ranges = None if self.value_range is None else self._pairs(self.value_range)

    def settings(self) -> dict[str, Any]:
        """Return the arguments that make an equal object, without those left at their defaults."""
        bands = None if self.bands is None else list(self.bands)
        channels = None if self.channels == len(self.bands or (0, 1, 2)) else self.channels
        stated = dict(channels=channels, bands=bands, value_range=self.value_range, nodata=self.nodata)
        return {name: value for name, value in stated.items() if value is not None}

    def describe(self) -> str:
        """Say in a clause what becomes of files."""
        bands = '' if self.bands is None else f', bands {", ".join(map(str, self.bands))}'
        stated = self.value_range
        ranges = stated if isinstance(stated, dict) else {} if stated is None else {'all': stated}
        said = [f'; {kind} values, {shown(pairs)}, become 0 to 255' for kind, pairs in ranges.items()]
        nodata = '' if self.nodata is None else f'; {self.nodata:g} is no value, and becomes 0'
        return f'{self.channels} channel{"s" if self.channels > 1 else ""}{bands}{"".join(said)}{nodata}'

    def leaves(self, data: bytes, header: Header) -> bool:
        """Whether a file is 8-bit colour or grey that is taken as it is, for which the fast decoders serve."""
        return (
            self.channels == 3
            and self.bands is None
            and (self._ranges is None or (isinstance(self._ranges, dict) and 'uint8' not in self._ranges))
            and is_plain(data, header)
        )

    def read(self, data: bytes, header: Header, reduce: int = 1) -> np.ndarray:
        """Make an image of a file.

        Args:
            data: the whole file.
            header: what :func:`detco_mm.transforms.decoding.read_header` returned for it.
            reduce: 1, 2, 4 or 8: divide both sides by this while an 8-bit file is decoded.

        Returns:
            (H, W, N) uint8; RGB if the file is.

        Raises:
            UndecodableImage: if the file is damaged, or its bands or values are not as stated.
        """
        if self.leaves(data, header):
            return decode(data, header, reduce)  # type: ignore[arg-type]  # Pillow's, for it is plain
        return self.convert(read_raster(data, header))

    def convert(self, raster: Raster) -> np.ndarray:
        """Choose the bands and stretch the values of a file that was read."""
        values = self.select(raster)
        ranges = self.ranges(values.dtype)
        if ranges is None:
            raise UndecodableImage(
                'other pixels than stated',
                f'it holds {values.dtype} numbers, {values.min()} to {values.max()}, and no value range is stated for '
                'them: set data.value_range=(low, high), or pixels.value_range in the pipeline',
            )
        image = np.empty(values.shape, np.uint8)
        for index, (low, high) in enumerate(ranges):
            image[..., index] = _stretch(values[..., index], low, high)
        for number in (self.nodata, raster.nodata):
            if number is not None:
                image[values == number] = 0
        return image

    def ranges(self, dtype: np.dtype) -> Ranges | None:
        """Return (low, high) of each channel for numbers of a type; None if nothing is said of them."""
        found = self._ranges.get(dtype.name) if isinstance(self._ranges, dict) else self._ranges
        if found is None:
            as_they_are = {'uint8': (0.0, 255.0), 'bool': (0.0, 1.0)}.get(dtype.name)
            found = None if as_they_are is None else [as_they_are] * self.channels
        return found

    def select(self, raster: Raster) -> np.ndarray:
        """Choose bands: (H, W, B) -> (H, W, N), the numbers as they are.

        Raises:
            UndecodableImage: if the file has not the bands that were stated.
        """
        values, count = raster.values, raster.values.shape[2]
        if self.bands is not None:
            if max(self.bands) < count:
                return values[..., self.bands]
            raise UndecodableImage(
                'other pixels than stated',
                f'it has {count} bands, and bands={self.bands} goes to {max(self.bands)}: they are counted from 0',
            )
        if count == self.channels:
            return values
        if raster.alpha and count - 1 in (self.channels, 1, 3):
            values = values[..., :-1]
        if values.shape[2] == self.channels:
            return values
        if values.shape[2] == 1 and self.channels == 3:
            return np.repeat(values, 3, axis=2)
        if values.shape[2] == 3 and self.channels == 1:
            return (values @ np.array(LUMA)).astype(values.dtype)[..., None]
        raise UndecodableImage(
            'other pixels than stated',
            f'it has {count} bands, not {self.channels}: set data.channels={count} to take all of them, or '
            f'data.bands to those that make the {self.channels} channels, such as '
            f'{tuple(range(min(count, self.channels)))}',
        )

    def _pairs(self, stated: Sequence) -> Ranges:
        pairs = [stated] * self.channels if is_range(stated) else stated
        if not isinstance(pairs, Sequence) or len(pairs) != self.channels or not all(map(is_range, pairs)):
            raise ValueError(
                f'value_range={stated!r}: write (low, high) with low < high, or one such pair for each of the '
                f'{self.channels} channels'
            )
        return [(float(low), float(high)) for low, high in pairs]


def is_range(stated: Any) -> bool:
    """Whether it is (low, high)."""
    if isinstance(stated, str) or not isinstance(stated, Sequence) or len(stated) != 2:
        return False
    low, high = stated
    return type(low) in (int, float) and type(high) in (int, float) and -np.inf < low < high < np.inf


def shown(pairs: Sequence) -> str:
    """Write (low, high), or one pair a channel."""
    if np.ndim(pairs) == 1:
        return f'{pairs[0]:g} to {pairs[1]:g}'
    return 'channel by channel ' + ', '.join(map(shown, pairs))


def _builtin(stated: Any) -> Any:
    """Copy into Python's own types, which a checkpoint may hold."""
    if isinstance(stated, Mapping):
        return {_type_name(name): _builtin(value) for name, value in stated.items()}
    if isinstance(stated, np.generic):
        return stated.item()
    if isinstance(stated, Sequence) and not isinstance(stated, str):
        return [_builtin(value) for value in stated]
    return stated


def _type_name(name: str) -> str:
    try:
        return np.dtype(name).name
    except TypeError:
        raise ValueError(f"value_range={name}=...: it is a type of numbers, such as 'uint16' or 'float32'") from None


def _stretch(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map low..high to 0..255, rounded; beyond is clipped, what is no finite number becomes 0."""
    if (low, high) == (0, 255) and values.dtype == np.uint8:
        return values
    if values.dtype.kind in 'iu' and values.dtype.itemsize <= 2:
        # one look-up a pixel instead of arithmetic
        limits = np.iinfo(values.dtype)
        table = _stretch(np.arange(limits.min, limits.max + 1, dtype=np.float32), low, high)
        return table[values.astype(np.int32) - limits.min]
    # in double precision, for which all numbers of 32 bits are exact
    with np.errstate(invalid='ignore', over='ignore'):  # NaN and infinity are dealt with below
        scaled = (values.astype(np.float64) - low) * (255 / (high - low))
    return np.nan_to_num(np.rint(scaled), nan=0, posinf=0, neginf=0).clip(0, 255).astype(np.uint8)
