"""Which checkpoint of a work dir a run goes on from."""

import logging
import re
from pathlib import Path

import torch
from mmengine.logging import print_log

from detco_mm.weights.reading import why_not_loaded


def newest_whole_checkpoint(work_dir: str | Path) -> Path | None:
    """Find the newest checkpoint that can be read to its end.

    PyTorch writes a checksum of each tensor and checks it; a file that was cut off or altered fails there. Read without
    executing pickled code.

    Args:
        work_dir: holds ``epoch_N.pth`` and ``iter_N.pth``; it may not be there.

    Returns:
        The path; None if there is no checkpoint at all.

    Raises:
        ValueError: if there are checkpoints, but none is whole.
    """
    found = [path for path in Path(work_dir).glob('*.pth') if re.fullmatch(r'(epoch|iter)_\d+', path.stem)]
    for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            checkpoint = torch.load(path, map_location='cpu', weights_only=True)
        except Exception as error:  # whatever damage makes PyTorch, pickle or zip raise
            print_log(
                f'{path} is damaged and not used ({why_not_loaded(error)}); the one before it is tried',
                logger='current',
                level=logging.WARNING,
            )
            continue
        if isinstance(checkpoint, dict) and 'optimizer' in checkpoint:
            return path
    if found:
        raise ValueError(
            f'--resume: none of {len(found)} checkpoints in "{work_dir}" can be read to its end: name another one as '
            '--resume CHECKPOINT, or start anew in another --work-dir'
        )
    return None
