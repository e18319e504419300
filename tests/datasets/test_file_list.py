"""The list of a folder's files is taken from the cache only while it is right."""

import multiprocessing
import os
import shutil
import sys
import time
from functools import partial

import pytest

from detco_mm.datasets.file_list import find_files

walked: list[str] = []
sys.addaudithook(lambda event, arguments: walked.append(arguments[0]) if event == 'os.scandir' else None)


@pytest.fixture
def tree(tmp_path):
    """Files at three depths, an empty folder and a link to a folder outside."""
    root = tmp_path / 'tree'
    for name in ('a/1.jpg', 'a/deep/er/2.JPG', 'b/3.jpg', 'b/notes.txt', 'b/.4.jpg', 'top.jpg', '.hidden/5.jpg'):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / 'empty').mkdir()
    for name in ('outside', 'elsewhere'):
        (tmp_path / name).mkdir()
        (tmp_path / name / f'{name}.jpg').touch()
    (root / 'link').symlink_to(tmp_path / 'outside')
    return root


@pytest.fixture
def find(tree, tmp_path):
    """Search as a start does, some time after the last change."""
    search = partial(find_files, str(tree), ['.jpg'], cache=tmp_path / 'cache', least=1, settled=0.02)

    def settled():
        time.sleep(0.05)
        return search()

    return settled


THERE = ['.hidden/5.jpg', 'a/1.jpg', 'a/deep/er/2.JPG', 'b/3.jpg', 'link/outside.jpg', 'top.jpg']


def test_a_second_start_reads_no_folder_and_finds_the_same(find):
    walked.clear()
    assert find() == THERE and len(walked) == 8
    walked.clear()
    assert find() == THERE and walked == []


CHANGES = {
    'added below': lambda root: (root / 'a/deep/er/new.jpg').touch(),
    'added on top': lambda root: (root / 'new.jpg').touch(),
    'added to an empty folder': lambda root: (root / 'empty/new.jpg').touch(),
    'added through a link': lambda root: (root.parent / 'outside/new.jpg').touch(),
    'removed': lambda root: (root / 'b/3.jpg').unlink(),
    'renamed': lambda root: (root / 'a/deep/er/2.JPG').rename(root / 'a/deep/er/other.jpg'),
    'moved': lambda root: (root / 'a/1.jpg').rename(root / 'b/1.jpg'),
    'folder renamed': lambda root: (root / 'a/deep').rename(root / 'a/deeper'),
    'folder removed': lambda root: shutil.rmtree(root / 'a/deep/er'),
    'folder added': lambda root: shutil.copytree(root / 'b', root / 'c'),
    'link led elsewhere': lambda root: swap(root / 'link', root.parent / 'elsewhere'),
    'folder replaced': lambda root: replace(root / 'a/deep', root.parent / 'elsewhere'),
}


def swap(link, target):
    link.unlink()
    link.symlink_to(target)


def replace(folder, other):
    shutil.rmtree(folder)
    other.rename(folder)


@pytest.mark.parametrize('change', CHANGES)
@pytest.mark.parametrize('old_times', [False, True], ids=['', 'times put back'])
def test_what_changed_at_any_depth_is_seen(find, tree, tmp_path, change, old_times):
    before = find()
    times = {folder: os.stat(folder) for folder, _, _ in os.walk(tmp_path, followlinks=True)}
    CHANGES[change](tree)
    for folder, was in times.items() if old_times else ():  # as rsync and tar do
        if os.path.isdir(folder):
            os.utime(folder, ns=(was.st_atime_ns, was.st_mtime_ns))
    fresh = find_files(str(tree), ['.jpg'], cache=tmp_path / 'none')
    assert find() == fresh != before
    assert find() == fresh


@pytest.mark.parametrize(
    'damage', [lambda b: b'', lambda b: b[:-9], lambda b: b.replace(b'3.jpg', b'6.jpg'), lambda b: b'x\n[]']
)
def test_a_damaged_list_is_made_anew(find, tmp_path, damage):
    find()
    (kept,) = (tmp_path / 'cache').iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(damage(whole))
    assert find() == THERE
    assert kept.read_bytes() == whole


def test_a_list_is_for_one_folder_and_its_extensions(find, tree, tmp_path):
    find()
    assert find_files(str(tree), ['.txt'], tmp_path / 'cache') == ['b/notes.txt']
    assert find_files(str(tree / 'a'), ['.jpg'], tmp_path / 'cache') == ['1.jpg', 'deep/er/2.JPG']


def test_nothing_is_kept_that_could_miss_a_change(find, tree, tmp_path):
    find_files(str(tree), ['.jpg'], tmp_path / 'cache', least=1)  # changed a moment ago
    assert not (tmp_path / 'cache').exists()
    (tree / 'later.jpg').symlink_to(tmp_path / 'later.jpg')
    assert find() == THERE
    (tmp_path / 'later.jpg').touch()
    assert find() == sorted([*THERE, 'later.jpg'])


def test_short_lists_are_not_kept(find, tree, tmp_path):
    time.sleep(0.05)
    find_files(str(tree), ['.jpg'], tmp_path / 'cache', least=len(THERE) + 1, settled=0.02)
    assert not (tmp_path / 'cache').exists()


def test_a_cache_that_cannot_be_written_costs_nothing_but_the_search(tree, tmp_path):
    time.sleep(0.05)
    (tmp_path / 'file').touch()
    assert find_files(str(tree), ['.jpg'], tmp_path / 'file/cache', least=1, settled=0.02) == THERE


def test_names_that_are_no_text_survive(find, tree):
    (tree / 'line\nbreak.jpg').touch()
    open(os.fsencode(tree) + b'/\xff.jpg', 'w').close()
    assert find() == find() == sorted([*THERE, 'line\nbreak.jpg', '\udcff.jpg'])


def test_several_processes_at_once_find_the_same(find, tmp_path):
    time.sleep(0.05)
    with multiprocessing.get_context('fork').Pool(4) as pool:
        results = [pool.apply_async(find.__closure__[0].cell_contents) for _ in range(16)]
        assert all(result.get(60) == THERE for result in results)
    assert [path.suffix for path in (tmp_path / 'cache').iterdir()] == ['.txt']
    assert find() == THERE


def test_a_folder_that_links_to_itself_is_searched_once(find, tree):
    (tree / 'b/again').symlink_to(tree / 'b')
    assert find() == THERE
