"""Which checkpoint of a work dir a run goes on from."""

import logging
import re
from pathlib import Path

import torch
from mmengine.logging import print_log

from detco_mm.checkpoints.reading import why_not_loaded
from detco_mm.checkpoints.sealing import find_corruption


def newest_intact_checkpoint(work_dir: str | Path) -> Path | None:
    """Find the checkpoint that is furthest in training, of those that can be used.

    Args:
        work_dir: holds ``epoch_N.pth`` and ``iter_N.pth``, or ``last_checkpoint`` names the folder that does, where the
            checkpoint hook has an ``out_dir``; it may not be there.

    Returns:
        The path; None if there is no checkpoint at all.

    Raises:
        ValueError: if there are checkpoints, but none is intact.
    """
    folders = {Path(work_dir)}
    if (last := Path(work_dir, 'last_checkpoint')).is_file():
        folders.add(Path(last.read_text().strip()).parent)
    found = [
        path for folder in folders for path in folder.glob('*.pth') if re.fullmatch(r'(epoch|iter)_\d+', path.stem)
    ]
    steps = {}
    for path in found:
        try:
            # Mapped, not read: the steps that it has behind it are a few bytes of it. No pickled code is executed.
            steps[path] = torch.load(path, map_location='cpu', weights_only=True, mmap=True)['meta']['iter']
        except Exception as error:  # whatever damage makes PyTorch, pickle or zip raise
            _skip(path, why_not_loaded(error))
    for path in sorted(steps, key=steps.__getitem__, reverse=True):
        if (reason := find_corruption(path)) is None:
            return path
        _skip(path, reason)
    if found:
        raise ValueError(
            f'--resume: none of {len(found)} checkpoints in "{work_dir}" is whole: name another one as '
            '--resume CHECKPOINT, or start anew in another --work-dir'
        )
    return None


def _skip(path: Path, reason: str) -> None:
    print_log(
        f'{path} is damaged and not used ({reason}); the one before it is tried',
        logger='current',
        level=logging.WARNING,
    )
