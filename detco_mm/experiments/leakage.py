"""No image of val or test among those that the starts of a study are pre-trained on."""

from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope

from detco_mm.datasets.image_folder import ImageFolder
from detco_mm.engine.labelled_sets import labelled_sets
from detco_mm.engine.leakage import find_leaks
from detco_mm.engine.settings import spelled_out
from detco_mm.transforms import sources

from .ablation import Study
from .steps import overridden

#: Images of each set that are compared at most: a study takes hours, this some minutes.
SAMPLE = 8192


def check_leakage(study: Study, work: Path, root: Path, sample: int = SAMPLE) -> None:
    """Refuse a study whose pre-training sees what its detectors are evaluated on.

    Args:
        study: what is compared.
        work: its work directory; pictures of what leaks, and lists without it, go to images/ there.
        root: the project's root, to which paths in configs are relative.
        sample: how many images to compare at most.

    Raises:
        ValueError: if images leak.
        FileNotFoundError: if labels name images that do not exist.
        ModuleNotFoundError: without ImageHash.
    """
    held_out = list(_held_out(study, root))
    for data_set in study.data_sets:
        places = [str(place) for split in ('val', 'test') for place in (data_set.labels(split), data_set.root / split)]
        _refuse(ImageFolder(data_root=str(data_set.unlabelled)), places, work / 'images' / data_set.root.name, sample)
    if study.data_sets or not held_out:
        return
    seen = set()
    for method in study.methods:
        if method.config is None:
            continue
        config = overridden(root / method.config, study.options)
        config.merge_from_dict(spelled_out({}, config))
        section = config.train_dataloader.dataset
        place = section.get('data_root', ''), section.get('ann_file', '')
        where = sources.join(str(root), place[0])
        if place in seen or not section.get('type', '').endswith('ImageFolder') or not sources.is_folder(where):
            continue  # what does not exist, the pre-training names
        seen.add(place)
        folder = ImageFolder(
            data_root=where,
            ann_file=place[1],
            data_prefix=section.get('data_prefix') or dict(img_path=''),
        )
        _refuse(folder, held_out, work / 'images', sample)


def _refuse(folder: ImageFolder, held_out: list[str], out: Path, sample: int) -> None:
    folder.full_init()
    paths = [folder.get_data_info(index)['img_path'] for index in range(len(folder))]
    leak = find_leaks(paths, folder.data_prefix['img_path'], held_out, out, sample)
    if leak:
        raise ValueError(leak)


def _held_out(study: Study, root: Path) -> Iterator[str]:
    """The COCO jsons that detectors are evaluated on, each with its folder."""
    if study.data_sets:
        return
    places: dict[tuple[str, str], None] = {}
    for task in study.tasks:
        config: Config = overridden(root / task.config, task.options)
        init_default_scope(config.get('default_scope', 'mmdet'))
        for one in labelled_sets(config, ('val', 'test'), existing=False):
            file, images = root / one.ann_file, root / one.images
            if file.is_file() and images.is_dir():
                places[str(file), str(images)] = None
    for place in places:
        yield from place
