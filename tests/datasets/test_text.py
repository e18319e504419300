"""Lists and JSON are read whatever wrote them; what cannot be is named with its place."""

import codecs
import gzip
import json
import locale

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detco_mm.datasets import ImageFolder
from detco_mm.datasets.text import read_json, read_lines, read_text, reads_everywhere
from tests.datasets.coco import draw

ENCODINGS = {
    'utf-8': b'',
    'utf-8-sig': b'',
    'utf-16': b'',
    'utf-32': b'',
    'utf-16-le': b'',
    'utf-16-be': b'',
    'utf-32-le': b'',
    'utf-32-be': b'',
    'utf-16-be with a mark': codecs.BOM_UTF16_BE,
}
LINE = st.text(st.characters(exclude_categories=['Cs', 'Cc', 'Zs', 'Zl', 'Zp']), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(LINE.map('a'.__add__), min_size=1, max_size=5),
    st.sampled_from(sorted(ENCODINGS)),
    st.sampled_from(['\n', '\r\n', '\r']),
)
def test_lists_and_json_are_the_same_in_every_encoding_and_with_every_line_end(tmp_path_factory, lines, encoding, end):
    path = tmp_path_factory.getbasetemp() / 'text'
    mark, codec = ENCODINGS[encoding], encoding.split()[0]
    path.write_bytes(mark + end.join(['', *lines, '  ', '']).replace(end, lines[0] + end, 1).encode(codec))
    assert read_lines(path) == [lines[0], *lines]
    path.write_bytes(
        mark + json.dumps(dict(names=lines), ensure_ascii=False, indent=1).replace('\n', end).encode(codec)
    )
    assert read_json(path, dict) == dict(names=lines)


def test_characters_that_are_line_ends_to_python_alone_stay_in_names(tmp_path):
    (tmp_path / 'list').write_bytes('a\u2028b.jpg\r\nc\x85d.jpg\n'.encode())
    assert read_lines(tmp_path / 'list') == ['a\u2028b.jpg', 'c\x85d.jpg']


WRONG = {
    'truncated': (b'{"images": [{"id": 1,\n "file_na', 'is no JSON: it ends in the middle, at line 2, column 2'),
    'truncated between entries': (b'{"images": [1,', 'is no JSON: it ends in the middle'),
    'a comma too many': (b'{"images": [],\n}', 'is no JSON: line 2, column 1'),
    'empty': (b'', 'is no JSON: it is empty'),
    'blank': (b' \n', 'is no JSON: it is empty'),
    'latin-1': ('{"name":\n"caf\xe9"}'.encode('latin-1'), 'line 2, column 5: the byte 0xE9 is not UTF-8'),
    'zeros': (b'\0' * 64, 'holds NUL characters'),
    'gzip': (gzip.compress(b'{}'), 'is compressed by gzip'),
    'a page': (b'<!DOCTYPE html><html>', 'it is HTML or XML'),
    'a pointer': (b'version https://git-lfs.github.com/spec/v1\noid', 'git lfs pull'),
    'half of a character': ('{"a": 1}'.encode('utf-16')[:-1], 'is not UTF-16'),
    'a list': (b'[1]', 'holds a list [...], where an object {...} is expected'),
    'a number': (b'5', 'holds int, where an object'),
    'nested': (b'[' * 200000, 'nested too deeply'),
}


@pytest.mark.parametrize('kind', WRONG)
def test_what_is_no_json_is_named_with_its_place(kind, tmp_path):
    raw, said = WRONG[kind]
    path = tmp_path / 'labels.json'
    path.write_bytes(raw)
    with pytest.raises(ValueError) as error:
        read_json(path, dict)
    assert said in str(error.value) and str(error.value).startswith(f'"{path}"') and '\n' not in str(error.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='no file at ".*none.json"'):
        read_json(tmp_path / 'none.json')
    with pytest.raises(ValueError, match='is a folder'):
        read_text(tmp_path)


def test_a_locale_that_is_not_utf_8_changes_nothing_and_is_known(tmp_path):
    path = tmp_path / 'list.json'
    path.write_text('{"name": "café"}', encoding='utf-8')
    assert reads_everywhere(path)
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, 'C')
        with pytest.raises(UnicodeDecodeError):
            open(path).read()
        assert read_json(path) == {'name': 'café'} and not reads_everywhere(path)
        path.write_text('{"name": "cafe"}')
        assert reads_everywhere(path)
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    for raw in (codecs.BOM_UTF8 + b'{}', '{}'.encode('utf-16')):
        path.write_bytes(raw)
        assert not reads_everywhere(path)


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
@pytest.mark.parametrize('end', ['\n', '\r\n'])
@pytest.mark.parametrize('suffix', ['txt', 'json'])
def test_a_list_of_images_is_read_from_any_editor(suffix, end, encoding, tmp_path):
    names = ['über/a b.jpg', 'c.jpg']
    draw(tmp_path, names)
    lines = [f'{name} {at}' for at, name in enumerate(names)]
    text = json.dumps(dict(images=[dict(file_name=name) for name in names]), ensure_ascii=False, indent=1)
    text = end.join(lines) if suffix == 'txt' else text.replace('\n', end)
    (tmp_path / f'list.{suffix}').write_bytes(text.encode(encoding))
    data = ImageFolder(str(tmp_path), ann_file=f'list.{suffix}')
    assert [data.get_data_info(at)['img_path'] for at in range(len(data))] == [str(tmp_path / name) for name in names]


def test_a_list_written_on_windows_is_found(tmp_path):
    draw(tmp_path, ['sub/a.jpg'])
    (tmp_path / 'list.txt').write_bytes(b'sub\\a.jpg\r\n')
    assert ImageFolder(str(tmp_path), ann_file='list.txt').get_data_info(0)['img_path'] == str(tmp_path / 'sub/a.jpg')
