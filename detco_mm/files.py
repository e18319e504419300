"""Files that are there whole or not at all."""

import os
from pathlib import Path


def write_whole(path: str | Path, content: bytes | str) -> None:
    """Write a file so that a stop at any moment leaves the old one or the new one, never a part.

    Args:
        path: the file; its folder is made.
        content: bytes, or text for UTF-8.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.name}.part')
    with open(part, 'wb') as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
