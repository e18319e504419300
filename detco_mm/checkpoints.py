"""Which checkpoint of a work dir a run goes on from."""

import logging
import re
import zipfile
from pathlib import Path

import torch
from mmengine.logging import print_log


def damage(path: str | Path) -> str | None:
    """Say what is wrong with a checkpoint, reading it to its end.

    PyTorch writes a CRC-32 of each tensor into the file, but does not look at it when it loads: an altered one would
    come back as other numbers. A file that was cut off has lost the list of its parts, which stands at the end.

    Args:
        path: a file in PyTorch's format, a zip archive.

    Returns:
        The reason; None if all of it is as it was written.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            altered = archive.testzip()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        return str(error)
    return f'the checksum of its part {altered} is wrong' if altered else None


def newest_whole_checkpoint(work_dir: str | Path) -> Path | None:
    """Find the checkpoint that is furthest in training, of those that can be used.

    Args:
        work_dir: holds ``epoch_N.pth`` and ``iter_N.pth``, or ``last_checkpoint`` names the folder that does, where the
            checkpoint hook has an ``out_dir``; it may not be there.

    Returns:
        The path; None if there is no checkpoint at all.

    Raises:
        ValueError: if there are checkpoints, but none is whole.
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
            _pass_over(path, str(error).partition('\n')[0] or type(error).__name__)
    for path in sorted(steps, key=steps.__getitem__, reverse=True):
        if (reason := damage(path)) is None:
            return path
        _pass_over(path, reason)
    if found:
        raise ValueError(
            f'--resume: none of {len(found)} checkpoints in "{work_dir}" is whole: name another one as '
            '--resume CHECKPOINT, or start anew in another --work-dir'
        )
    return None


def _pass_over(path: Path, reason: str) -> None:
    print_log(
        f'{path} is damaged and not used ({reason}); the one before it is tried',
        logger='current',
        level=logging.WARNING,
    )
