"""Files that are something else than their name says, told by how they begin."""

import re

#: How files begin that are often taken for weights, images, JSON or lists, and what they are.
_STARTS = (
    (rb'version https://git-lfs', "is Git LFS's pointer to a file: run `git lfs pull`"),
    (
        rb'\s*<(!doctype|html|\?xml|head|body)',
        'is HTML or XML: its download met a web page, get it again',
    ),
    (rb'\x1f\x8b', 'is compressed by gzip: unpack it'),
    (rb'\xfd7zXZ\x00', 'is compressed by xz: unpack it'),
    (rb'7z\xbc\xaf\x27\x1c|Rar!', 'is an archive: unpack it'),
    (rb'\xff\xd8\xff|\x89PNG\r\n', 'is an image'),
    (rb'%PDF', 'is a PDF'),
)


def other_kind(start: bytes) -> str | None:
    """Say what a file is that begins so, and the way out; None if it is nothing that is known here."""
    if not start:
        return 'is empty: get it again'
    return next((what for pattern, what in _STARTS if re.match(pattern, start, re.I)), None)
