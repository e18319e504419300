"""ImageFolder: any folder or archive of images, with or without a list of them; labels are not needed and not read."""

import logging
import os
import re
from collections.abc import Sequence
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from detco_mm.datasets.sampler import SeededIndex
from detco_mm.datasets.text import read_json, read_lines
from detco_mm.registry import DATASETS
from detco_mm.transforms import sources

#: Suffixes, in lower case, by which a file in the folder is taken for an image.
EXTENSIONS = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm', '.gif', '.jfif', '.jp2')


@DATASETS.register_module()
class ImageFolder(BaseDataset):
    """Images below a folder, at any depth, in sorted order.

    Args:
        data_root: The folder; or a zip, or a tar that is not compressed, which is read without unpacking and trains as
            its unpacked folder does; or an address for fsspec, such as ``s3://bucket/images``.
        ann_file: Optional, relative to ``data_root``: a text file with one relative path a line (a class index
            behind it is ignored), or a COCO ``.json``, whose ``images`` are taken. Without it the folder is searched.
        data_prefix: ``img_path`` is the subfolder of ``data_root`` that holds the images.
        extensions: Suffixes of images, in any case; for the search alone.
        max_refetch: How many other images to try when one cannot be decoded. If a half of all images were
            broken, 100 in a row would be so once in 10^30 tries.
        **kwargs: Those of MMEngine's BaseDataset: ``pipeline``, ``indices``, ``serialize_data``, ...

    Raises:
        FileNotFoundError: if the folder, the list or its images are not there, or there is no image.
        ValueError: if the JSON is not COCO's.
    """

    METAINFO: dict = dict(dataset_type='ImageFolder')

    def __init__(
        self,
        data_root: str = '',
        ann_file: str = '',
        data_prefix: dict | None = None,
        extensions: Sequence[str] = EXTENSIONS,
        max_refetch: int = 100,
        **kwargs: Any,
    ) -> None:
        self.extensions = tuple(extension.lower() for extension in extensions)
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            data_prefix=dict(img_path='') if data_prefix is None else data_prefix,
            max_refetch=max_refetch,
            **kwargs,
        )

    @property
    def skips(self) -> Any:
        """The SkipCounts of the pipeline's step that decodes; None if it has no such step."""
        return next((step.skips for step in self.pipeline.transforms if hasattr(step, 'skips')), None)

    def full_init(self) -> None:
        """List the images, and let the pipeline look at a sample of them before the first step."""
        if self._fully_initialized:
            return
        super().full_init()
        sizes: Sequence[int] = ()
        for step in self.pipeline.transforms:
            if hasattr(step, 'settle'):
                step.settle(_Paths(self))
            sizes = getattr(step, 'sizes', sizes)
            if sizes and hasattr(step, 'check_sizes'):
                step.check_sizes(sizes)

    def _join_prefix(self) -> None:
        """Join ``data_root`` and what is relative to it; MMEngine would look for a client of each protocol."""
        self.ann_file: str = sources.join(self.data_root, self.ann_file) if self.ann_file else ''
        self.data_prefix: dict[str, str] = {
            key: sources.join(self.data_root, prefix) for key, prefix in self.data_prefix.items()
        }

    def load_data_list(self) -> list[dict]:
        """Return one ``dict(img_path=...)`` for each image."""
        folder = self.data_prefix['img_path']
        if not folder or not sources.is_folder(folder):
            raise FileNotFoundError(
                f'no image folder at "{folder}" (data_root="{self.data_root}"){_hint(self.data_root)}: set data.root, '
                "or data_root and data_prefix['img_path'] of the data set, to the folder that holds the images"
            )
        paths = self._listed(folder) if self.ann_file else self._found(folder)
        source = self.ann_file or folder
        print_log(f'ImageFolder: {len(paths)} images from {source}', logger='current', level=logging.INFO)
        return [dict(img_path=path) for path in paths]

    def __getitem__(self, idx: int) -> dict:
        """Return item ``idx``, or another one drawn at random if it cannot be decoded.

        An index of ResumableSampler seeds what is random about the item.

        Raises:
            RuntimeError: if none of ``max_refetch`` others can be decoded either.
        """
        if not self._fully_initialized:
            self.full_init()
        if isinstance(idx, SeededIndex):
            idx.seed_generators()
        tries = 1 + (0 if self.test_mode else self.max_refetch)
        for _ in range(tries):
            data = self.prepare_data(idx)
            if data is not None:
                return data
            last, idx = idx, self._rand_another()
        path = self.get_data_info(last)['img_path']
        raise RuntimeError(
            f'none of {tries} images in a row, out of {len(self)}, could be decoded; the last one was {path}. The '
            'warnings above say why. Check that data.root holds intact image files, and remove what is broken'
        )

    def _found(self, folder: str) -> list[str]:
        paths = sorted(path for path in sources.files_below(folder) if path.lower().endswith(self.extensions))
        if not paths:
            raise FileNotFoundError(
                f'no image in "{folder}" or below it: looked for files that end in {", ".join(self.extensions)}; '
                'set data.root to another folder, or `extensions` to the suffixes of your images'
            )
        return paths

    def _listed(self, folder: str) -> list[str]:
        if not sources.exists(self.ann_file):
            raise FileNotFoundError(
                f'no annotation file at "{self.ann_file}": ann_file is relative to data_root="{self.data_root}"; '
                "correct it, or set ann_file='' to search the folder"
            )
        if self.ann_file.endswith('.json'):
            content = read_json(self.ann_file)
            images = content.get('images') if isinstance(content, dict) else None
            if not isinstance(images, list) or not all(isinstance(_file_name(image), str) for image in images):
                raise ValueError(
                    f'"{self.ann_file}" is no COCO annotation, for it has no "images" with a file_name each: give such '
                    'a file, or a text file with one path a line'
                )
            names = [image['file_name'] for image in images]
        else:
            names = [re.sub(r'\s+-?\d+$', '', line) for line in read_lines(self.ann_file)]
        if not names:
            raise FileNotFoundError(f'"{self.ann_file}" lists none: write one path a line, relative to "{folder}"')
        paths = [sources.join(folder, name) for name in names]
        if not any(sources.exists(path) for path in paths[:10]) and any('\\' in name for name in names[:10]):
            paths = [sources.join(folder, name.replace('\\', '/')) for name in names]  # written on Windows
        # A look at ten tells a wrong prefix; millions are not looked at, and single missing files are skipped later.
        if not any(sources.exists(path) for path in paths[:10]):
            raise FileNotFoundError(
                f'"{self.ann_file}" names {len(paths)} images, but none of the first ten is there, such as '
                f'"{paths[0]}": its '
                f'paths are relative to "{folder}"; correct data_root or data_prefix[\'img_path\']'
            )
        return paths


def _hint(folder: str) -> str:
    """What a path may be that is no folder."""
    if re.search(r'\.(tgz|tar\.\w+|gz|bz2|xz|zst|7z|rar)$', folder, re.I):
        return ', which is compressed as a whole: unpack it, or pack it anew as a zip, or as a tar without compression'
    if os.path.isfile(folder.rstrip('/')):
        return ', which is a file; a list of images goes into data.ann_file'
    return ', and patterns are not expanded' if re.search(r'[*?]', folder) else ''


def _file_name(image: Any) -> Any:
    return image.get('file_name') if isinstance(image, dict) else None


class _Paths(Sequence):
    """The paths of a data set, each looked up when it is asked for: a run's list may be millions."""

    def __init__(self, dataset: BaseDataset) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: Any) -> Any:
        return self._dataset.get_data_info(int(index))['img_path']
