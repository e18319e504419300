"""CheckImages: no image of val or test, and few that repeat one another, among those of a pre-training."""

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from detco_mm.datasets.duplicates import all_held_out
from detco_mm.datasets.image_folder import ImageFolder
from detco_mm.engine.errors import RunStopped
from detco_mm.engine.leakage import SAMPLE, find_leaks, find_repeats
from detco_mm.engine.ranks import heed_first_rank
from detco_mm.registry import HOOKS


@HOOKS.register_module()
class CheckImages(Hook):
    """Compare images before the first step of a pre-training; other data sets than ImageFolder are skipped.

    What is held out is named by ``data.held_out``: COCO jsons, each with its folder, or folders.

    Args:
        sample: images that are compared at most; 0 for none at all.

    Raises:
        RunStopped: from ``before_train``, if an image shows what val or test shows.
        ModuleNotFoundError: if something is held out, and ImageHash is not installed.
    """

    def __init__(self, sample: int = SAMPLE) -> None:
        if sample < 0:
            raise ValueError(f'sample={sample}: it is the number of images to compare, 0 for none')
        self.sample = sample

    def before_train(self, runner: Runner) -> None:
        """Compare them on the first rank; a resumed run has been looked at."""
        held_out: str | Sequence[str] = (runner.cfg.get('data') or {}).get('held_out') or ()
        dataset: Any = runner.train_dataloader.dataset
        while not isinstance(dataset, ImageFolder) and hasattr(dataset, 'dataset'):
            dataset = dataset.dataset
        if held_out and not isinstance(held_out, str | list | tuple):
            all_held_out(held_out)  # which says what it is
        if not isinstance(dataset, ImageFolder) or runner.iter or not self.sample:
            return
        if not held_out and find_spec('imagehash') is None:
            return
        places = [held_out] if isinstance(held_out, str) else held_out
        heed_first_rank(lambda: self._look(runner, dataset, places) if is_main_process() else None)

    def _look(self, runner: Runner, dataset: ImageFolder, held_out: Sequence[str]) -> None:
        paths = [dataset.get_data_info(index)['img_path'] for index in range(len(dataset))]
        folder, out = dataset.data_prefix['img_path'], Path(runner.work_dir, 'images')
        if held_out and (leak := find_leaks(paths, folder, held_out, out, self.sample)):
            raise RunStopped(f'{leak}; with data.held_out=None nobody looks')
        if repeats := find_repeats(paths, folder, out, self.sample):
            runner.logger.log(logging.WARNING, repeats)
