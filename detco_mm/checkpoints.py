"""Checkpoints that know whether they are whole, and which of a work dir a run goes on from."""

import hashlib
import logging
import re
import zipfile
from pathlib import Path
from typing import BinaryIO

import torch
from mmengine.logging import print_log

#: A zip archive ends with a record of 22 bytes that starts so and ends with the length of a comment behind it (APPNOTE
#: 4.3.16). PyTorch's files are such archives, without a comment.
_END_RECORD, _END_LENGTH = b'PK\x05\x06', 22
_SEAL = b'sha256='
_SEAL_LENGTH = len(_SEAL) + 2 * hashlib.sha256().digest_size


def seal(content: bytes) -> bytes:
    """Write the SHA-256 of a file of PyTorch into its own last bytes, as the comment that a zip archive may have.

    Args:
        content: what ``torch.save`` wrote. Anything else is returned as it is.

    Returns:
        A file that PyTorch and zip tools read as before, and :func:`damage` can judge.
    """
    if content[-_END_LENGTH:][:4] != _END_RECORD or content[-2:] != b'\0\0':
        return content
    body = content[:-2] + _SEAL_LENGTH.to_bytes(2, 'little')
    return body + _SEAL + hashlib.sha256(body).hexdigest().encode()


def damage(path: str | Path) -> str | None:
    """Say what is wrong with a checkpoint, reading it to its end.

    PyTorch notices a file that was cut off, but not one in which bits have changed: it does not look at the CRC-32
    that it writes for each tensor. Files that were not sealed, of other programs, are judged by those, which leaves out
    the few bytes that say where the tensors are.

    Args:
        path: a file in PyTorch's format, a zip archive.

    Returns:
        The reason; None if all of it is as it was written.
    """
    try:
        with open(path, 'rb') as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _SEAL_LENGTH))
            comment = file.read()
            if comment.startswith(_SEAL):
                file.seek(0)
                return None if _digest(file, size - _SEAL_LENGTH) == comment[len(_SEAL) :] else 'its SHA-256 is wrong'
        with zipfile.ZipFile(path) as archive:
            altered = archive.testzip()
    except Exception as error:  # whatever damage makes zipfile and zlib raise
        return str(error) or type(error).__name__
    return f'the CRC-32 of its part {altered} is wrong' if altered else None


def _digest(file: BinaryIO, length: int) -> bytes:
    found = hashlib.sha256()
    while length > 0:
        chunk = file.read(min(length, 2**20))
        found.update(chunk)
        length -= len(chunk)
    return found.hexdigest().encode()


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
