"""Lists and JSON that a user gives: read whatever wrote them, and named in every complaint."""

import codecs
import json
import locale
import re
from os import PathLike
from typing import Any

from detco_mm.checkpoints.starts import other_kind
from detco_mm.transforms import sources

#: Byte order marks; UTF-32's before UTF-16's, which it begins with.
_MARKS = (
    (codecs.BOM_UTF32_LE, 'utf-32'),
    (codecs.BOM_UTF32_BE, 'utf-32'),
    (codecs.BOM_UTF8, 'utf-8-sig'),
    (codecs.BOM_UTF16_LE, 'utf-16'),
    (codecs.BOM_UTF16_BE, 'utf-16'),
)


def read_text(path: str | PathLike) -> str:
    """Read a text file of UTF-8, UTF-16 or UTF-32, with or without a byte order mark, in whatever locale.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is in another encoding, or no text; with the place of the first wrong byte. It is not guessed:
            a wrong guess would change names in silence.
    """
    raw = _bytes(path)
    if raw and (other := other_kind(raw[:64])):
        raise ValueError(f'"{path}" {other}')
    if raw.startswith(b'PK\x03\x04'):
        raise ValueError(f'"{path}" is a zip archive: unpack it')
    encoding = _encoding(raw)
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding not in ('utf-8', 'utf-8-sig'):
            raise ValueError(f'"{path}" is not {encoding.upper()}, as it begins: save it as UTF-8') from error
        line, column = raw.count(b'\n', 0, error.start) + 1, error.start - raw.rfind(b'\n', 0, error.start)
        raise ValueError(
            f'"{path}", line {line}, column {column}: the byte 0x{raw[error.start]:02X} is not UTF-8: save the file as '
            'UTF-8, such as by iconv -f WINDOWS-1252 -t UTF-8, if that is its encoding'
        ) from error
    if '\0' in text:
        raise ValueError(f'"{path}" holds NUL characters: it is damaged, or no text')
    return text


def read_lines(path: str | PathLike) -> list[str]:
    r"""Read the lines of a text file that are not blank, without blanks around them; they end in \n, \r\n or \r.

    Raises:
        As for :func:`read_text`.
    """
    # not splitlines(), which cuts at characters, too, that file names may have, such as U+2028
    return [line.strip() for line in re.split(r'\r\n|\n|\r', read_text(path)) if line.strip()]


def read_json(path: str | PathLike, kind: type = object) -> Any:
    """Read a JSON file.

    Args:
        path: the file.
        kind: what it has to hold: ``dict`` or ``list``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no JSON, or holds something else; with its name, and the line and column.
    """
    try:
        text = read_text(path)
    except ValueError as error:
        said = str(error).removeprefix(f'"{path}"').lstrip(', ')
        raise ValueError(f'"{path}" is no JSON: {"it " if said.startswith("is ") else ""}{said}') from error
    if not text.strip():
        raise ValueError(f'"{path}" is no JSON: it is empty')
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        place = f'line {error.lineno}, column {error.colno}'
        if text.lstrip().startswith('<'):
            what = 'it is HTML or XML'
        elif error.pos >= len(text.rstrip()) or error.msg.startswith('Unterminated string'):
            what = f'it ends in the middle, at {place}: the file is incomplete, get it again'
        else:
            what = f'{place}: {error.msg}'
        raise ValueError(f'"{path}" is no JSON: {what}') from error
    except RecursionError as error:
        raise ValueError(f'"{path}" is no JSON that can be read: it is nested too deeply') from error
    if not isinstance(content, kind):
        names: dict[type, str] = {dict: 'an object {...}', list: 'a list [...]'}
        found = names.get(type(content), type(content).__name__)
        raise ValueError(f'"{path}" holds {found}, where {names.get(kind, kind.__name__)} is expected')
    return content


def reads_everywhere(path: str | PathLike) -> bool:
    """Tell whether Python's own ``open(path)`` reads a file's text here, for the libraries that use it."""
    raw = _bytes(path)
    if _encoding(raw) != 'utf-8':
        return False
    return raw.isascii() or codecs.lookup(locale.getpreferredencoding(False)).name == 'utf-8'


def _bytes(path: str | PathLike) -> bytes:
    try:
        return sources.read(path)
    except FileNotFoundError:
        raise FileNotFoundError(f'no file at "{path}": check the path') from None
    except IsADirectoryError:
        raise ValueError(f'"{path}" is a folder, where a file is expected') from None


def _encoding(raw: bytes) -> str:
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return encoding
    return json.detect_encoding(raw[:4])  # by the zeros of UTF-16 and UTF-32 in front of ASCII
