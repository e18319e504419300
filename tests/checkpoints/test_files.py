"""A file is written completely or not at all, and nobody else in the process notices."""

import errno
import os
import threading

import pytest

from detco_mm.checkpoints.files import remove_parts, write_atomically


@pytest.fixture
def umask():
    """The process's umask for the test; gives a function that sets it."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize('mask', [0o022, 0o027, 0o002])
def test_a_file_gets_the_mode_that_open_would_give_it(mask, umask, tmp_path):
    umask(mask)
    (tmp_path / 'opened').write_text('')
    write_atomically(tmp_path / 'written', 'text')
    assert os.stat(tmp_path / 'written').st_mode == os.stat(tmp_path / 'opened').st_mode


def test_an_old_files_mode_stays(umask, tmp_path):
    path = tmp_path / 'secret'
    path.write_text('old')
    path.chmod(0o600)
    write_atomically(path, b'new')
    assert path.read_text() == 'new' and path.stat().st_mode & 0o777 == 0o600


def test_another_threads_files_get_their_modes_meanwhile(umask, tmp_path):
    umask(0o077)
    ended, modes = threading.Event(), set()

    def others():
        while not ended.is_set():
            with open(tmp_path / 'other', 'w') as file:
                modes.add(os.fstat(file.fileno()).st_mode & 0o777)
            os.unlink(tmp_path / 'other')

    thread = threading.Thread(target=others)
    thread.start()
    for _ in range(300):
        write_atomically(tmp_path / 'ours', b'')
    ended.set()
    thread.join()
    assert modes == {0o600}


def test_a_link_stays_one_and_what_it_leads_to_is_written(tmp_path):
    (tmp_path / 'disk').mkdir()
    for name, target in (('file', 'disk/file'), ('not yet', 'disk/new')):
        (tmp_path / name).symlink_to(target)
    (tmp_path / 'disk/file').write_text('old')
    for name in ('file', 'not yet'):
        write_atomically(tmp_path / name, 'new')
        assert (tmp_path / name).is_symlink() and (tmp_path / name).read_text() == 'new'
    assert sorted(os.listdir(tmp_path / 'disk')) == ['file', 'new']


def test_what_cannot_be_written_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    write_atomically(tmp_path / 'file', 'old')

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match='No space left on device; what existed before is intact.*file'):
        write_atomically(tmp_path / 'file', 'new')
    assert (tmp_path / 'file').read_text() == 'old' and os.listdir(tmp_path) == ['file']


def test_parts_of_a_killed_process_are_removed(tmp_path):
    for name in ('.epoch_1.pth.0a1b2c3d.part', 'epoch_1.pth', '.other'):
        (tmp_path / name).touch()
    remove_parts(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ['.other', 'epoch_1.pth']
