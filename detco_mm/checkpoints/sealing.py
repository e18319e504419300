"""Checkpoints that carry a checksum, by which they are known to be intact."""

import hashlib
import zipfile
from pathlib import Path
from typing import BinaryIO

#: A zip archive ends with a record of 22 bytes that starts so and ends with the length of a comment behind it (APPNOTE
#: 4.3.16). PyTorch's files are such archives, without a comment.
_END_RECORD, _END_LENGTH = b'PK\x05\x06', 22
_SEAL = b'sha256='
_SEAL_LENGTH = len(_SEAL) + 2 * hashlib.sha256().digest_size


def seal(content: bytes) -> tuple[bytes | memoryview, ...]:
    """Write the SHA-256 of a file of PyTorch into its own last bytes, as the comment that a zip archive may have.

    Args:
        content: what ``torch.save`` wrote. Anything else stays as it is.

    Returns:
        The parts, to be written one after the other, of a file that PyTorch and zip tools read as before, and
        :func:`find_corruption` can judge. Nothing is copied, for a checkpoint may be a large share of the memory.
    """
    if content[-_END_LENGTH:][:4] != _END_RECORD or content[-2:] != b'\0\0':
        return (content,)
    body, length = memoryview(content)[:-2], _SEAL_LENGTH.to_bytes(2, 'little')
    digest = hashlib.sha256(body)
    digest.update(length)
    return body, length + _SEAL + digest.hexdigest().encode()


def find_corruption(path: str | Path) -> str | None:
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
