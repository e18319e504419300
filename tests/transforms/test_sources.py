"""Images in folders, archives and at addresses are the same images, in the same order."""

import functools
import http.server
import io
import os
import sys
import tarfile
import threading
import zipfile

import fsspec
import numpy as np
import pytest
from torch.utils.data import DataLoader

from detco_mm.datasets import ImageFolder
from detco_mm.datasets.sampler import ResumableSampler
from detco_mm.transforms import archives, sources
from tests.datasets.test_image_folder import VIEWS
from tests.integration import forked
from tests.integration.small_run import CONFIG, command, photographs
from tests.integration.test_resume import losses

NAMES = ('b/2.jpg', 'b/10.jpg', 'a.jpg', 'b/c/x.jpg', 'z.jpg')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Photographs at several depths, something that is no image, and what has a leading dot."""
    made, flat = tmp_path_factory.mktemp('photographs'), photographs(tmp_path_factory.mktemp('flat'), len(NAMES))
    for path, name in zip(sorted(flat.iterdir()), NAMES, strict=True):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        path.rename(made / name)
    (made / 'b/.hidden.jpg').write_bytes(b'')
    (made / 'list.txt').write_text('b/10.jpg\na.jpg\n')
    return made


def pack(folder, path, how=zipfile.ZIP_DEFLATED):
    names = sorted(str(found.relative_to(folder)) for found in folder.rglob('*') if found.is_file())
    if path.suffix == '.zip':
        with zipfile.ZipFile(path, 'w', how) as file:
            for name in reversed(names):
                file.write(folder / name, name)
    else:
        with tarfile.open(path, 'w') as file:
            file.add(folder, './')
    return path


@pytest.fixture(scope='module', params=['deflated.zip', 'stored.ZIP', 'images.tar'])
def archive(request, folder, tmp_path_factory):
    path = tmp_path_factory.mktemp('archive') / request.param
    if path.suffix == '.ZIP':
        return pack(folder, path.with_suffix('.zip'), zipfile.ZIP_STORED).rename(path)
    return pack(folder, path)


def views(root, workers=0, **more):
    images = ImageFolder(str(root), pipeline=VIEWS, **more)
    context = dict(multiprocessing_context='fork') if workers else {}
    loader = DataLoader(
        images,
        None,
        sampler=ResumableSampler(images, seed=3),
        num_workers=workers,
        collate_fn=lambda item: item,
        **context,
    )
    return [images.get_data_info(at)['img_path'] for at in range(len(images))], [item['views'] for item in loader]


def equal(one, other):
    return len(one) == len(other) and all(
        np.array_equal(*pair) for views in zip(one, other, strict=True) for pair in zip(*views, strict=True)
    )


@pytest.mark.parametrize('workers', [0, 2])
def test_an_archive_gives_what_its_unpacked_folder_gives(folder, archive, workers):
    paths, expected = views(folder)
    packed, found = views(archive, workers)
    assert [path.removeprefix(f'{archive}/') for path in packed] == [path.removeprefix(f'{folder}/') for path in paths]
    assert len(packed) == len(NAMES) and equal(expected, found)


def test_a_part_of_it_and_a_list_in_it_or_outside(folder, archive, tmp_path):
    assert views(f'{archive}/b')[0] == [f'{archive}/b/{name}' for name in ('10.jpg', '2.jpg', 'c/x.jpg')]
    assert views(archive, ann_file='list.txt')[0] == [f'{archive}/b/10.jpg', f'{archive}/a.jpg']
    (tmp_path / 'list.json').write_text('{"images": [{"id": 1, "file_name": "z.jpg"}]}')
    assert views(archive, ann_file=str(tmp_path / 'list.json'))[0] == [f'{archive}/z.jpg']
    with pytest.raises(FileNotFoundError, match='none of the first ten is there, such as'):
        views(archive, ann_file=str(tmp_path / 'list.json'), data_prefix=dict(img_path='b'))


def test_a_folder_may_be_called_like_an_archive(folder, tmp_path):
    (tmp_path / 'images.zip').symlink_to(folder)
    assert equal(views(folder)[1], views(tmp_path / 'images.zip')[1])


def test_a_run_from_an_archive_is_the_run_from_the_folder(folder, tmp_path):
    path = pack(folder, tmp_path / 'images.zip')
    found = []
    for name, root in (('folder', folder), ('zip', path)):
        options = [f'data.root={root}', 'train_cfg.max_epochs=1']
        line = command('tools/train.py', CONFIG, '--work-dir', tmp_path / name, options=options)
        done = forked.run(line)
        assert done.returncode == 0, done.stderr
        found.append(losses(tmp_path / name))
    assert found[0] == found[1] and found[0]


def cut(path, share):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def test_what_cannot_be_read_is_said_in_one_line(folder, tmp_path):
    for name in ('short.zip', 'short.tar'):
        cut(pack(folder, tmp_path / name), 0.5)
        with pytest.raises(ValueError, match=f'"{tmp_path}/{name}" is damaged or incomplete'):
            views(tmp_path / name)
    (tmp_path / 'pointer.zip').write_text('version https://git-lfs.github.com/spec/v1\n')
    with pytest.raises(ValueError, match='git lfs pull'):
        views(tmp_path / 'pointer.zip')
    with tarfile.open(tmp_path / 'packed.tar', 'w:gz') as file:
        file.add(folder, 'images')
    with pytest.raises(ValueError, match='compressed by gzip: unpack it'):
        views(tmp_path / 'packed.tar')
    (tmp_path / 'packed.tar').rename(tmp_path / 'packed.tar.gz')
    with pytest.raises(FileNotFoundError, match='compressed as a whole: unpack it, or pack it anew as a zip'):
        views(tmp_path / 'packed.tar.gz')


def test_an_encrypted_one_and_one_of_another_method_are_named(folder, tmp_path):
    path = pack(folder, tmp_path / 'locked.zip')
    data = bytearray(path.read_bytes())
    at = data.index(b'PK\x01\x02')
    data[at + 8] |= 1  # the flag of encryption, in the directory (APPNOTE.TXT, 4.4.4)
    path.write_bytes(data)
    with pytest.raises(ValueError, match='is encrypted: unpack it'):
        views(path)
    path = pack(folder, tmp_path / 'other.zip', zipfile.ZIP_BZIP2)
    with pytest.raises(OSError, match='is packed by method 12: pack it anew by deflate'):
        sources.read(f'{path}/a.jpg')


@pytest.mark.parametrize('how', [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_damaged_member_is_skipped_as_a_damaged_file_is(folder, tmp_path, how):
    path = pack(folder, tmp_path / 'images.zip', how)
    with zipfile.ZipFile(path) as file:
        at = file.getinfo('a.jpg').header_offset + 200
    data = bytearray(path.read_bytes())
    data[at : at + 8] = bytes(8)
    path.write_bytes(data)
    with pytest.raises(OSError, match='"a.jpg" in .* is damaged'):
        sources.read(f'{path}/a.jpg')
    images = ImageFolder(str(path), pipeline=VIEWS)
    assert len(images) == len(NAMES) and images[0]['views'] is not None
    assert images.skips.by_reason['not readable'] >= 1


def test_one_that_is_written_anew_is_read_anew(folder, tmp_path):
    path = pack(folder, tmp_path / 'images.zip')
    assert sources.exists(f'{path}/a.jpg') and not sources.exists(f'{path}/new.jpg')
    with zipfile.ZipFile(path, 'a') as file:
        file.writestr('new.jpg', b'as it is')
    assert sources.read(f'{path}/new.jpg') == b'as it is'
    with pytest.raises(FileNotFoundError, match='no "none.jpg" in'):
        sources.read(f'{path}/none.jpg')


def test_paths_are_cut_where_an_archive_is(folder, tmp_path):
    path = pack(folder, tmp_path / 'images.zip')
    assert archives.split(f'{path}/b/./2.jpg') == (str(path), 'b/2.jpg')
    assert archives.split(str(path)) == archives.split(f'{path}/') == (str(path), '')
    assert archives.split(f'{folder}/a.jpg') is None and archives.split(f'{tmp_path}/none.zip/a.jpg') is None


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def address(folder):
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


@pytest.mark.parametrize('workers', [0, 1])
def test_images_behind_an_address_are_those_of_the_folder(folder, address, workers):
    expected = views(folder, ann_file='list.txt')[1]
    assert equal(expected, views(address, workers, ann_file='list.txt')[1])


def test_a_server_that_lists_its_folders_is_searched(folder, address):
    assert [path.rpartition('/')[2] for path in views(address)[0]] == ['a.jpg', '10.jpg', '2.jpg', 'x.jpg', 'z.jpg']


def test_any_file_system_of_fsspec_will_do(folder):
    files = fsspec.filesystem('memory')
    for name in NAMES:
        files.pipe(f'/bucket/{name}', (folder / name).read_bytes())
    paths, found = views('memory://bucket')
    assert paths == [f'memory:///bucket/{name}' for name in sorted(NAMES)] and equal(found, views(folder)[1])
    with pytest.raises(FileNotFoundError, match='no file at "memory://bucket/none.jpg"'):
        sources.read('memory://bucket/none.jpg')
    with pytest.raises(FileNotFoundError, match='no image folder at "memory://none"'):
        views('memory://none')


def test_what_is_missing_or_unknown_is_said(monkeypatch):
    with pytest.raises(ValueError, match='"what://is/it": Protocol not known: what; give a path, or an address'):
        sources.read('what://is/it')
    monkeypatch.setitem(sys.modules, 'fsspec', None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "detco-mm\[remote\]"'):
        sources.read('s3://bucket/a.jpg')


def test_a_connection_that_drops_is_tried_again(monkeypatch):
    asked = []

    def cat_file(self, path, **_):
        asked.append(path)
        if len(asked) < 3:
            raise ConnectionError('dropped')
        return b'there'

    monkeypatch.setattr('detco_mm.transforms.remote._WAITS', (0, 0))
    monkeypatch.setattr('fsspec.implementations.memory.MemoryFileSystem.cat_file', cat_file)
    assert sources.read('memory://bucket/a.jpg') == b'there'
    monkeypatch.setattr('fsspec.implementations.memory.MemoryFileSystem.cat_file', lambda *_: 1 / 0)
    with pytest.raises(OSError, match='"memory://bucket/a.jpg" cannot be read: division by zero'):
        sources.read('memory://bucket/a.jpg')


def test_plain_paths_are_mmengines():
    assert sources.join('folder', 'a.jpg') == os.path.join('folder', 'a.jpg')
    assert sources.join('s3://bucket/', 'a.jpg') == 's3://bucket/a.jpg'
    assert sources.join('s3://bucket', '/tmp/list.txt') == '/tmp/list.txt'
    assert isinstance(io.BytesIO(sources.read(__file__)).read(), bytes)
