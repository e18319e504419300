"""A file that is something else than its name says is called by what it is, wherever weights are read."""

import shutil

import pytest
import torch

from detco_mm.checkpoints.reading import load_checkpoint
from detco_mm.datasets.text import read_json
from detco_mm.transforms.loading import read_image
from detco_mm.transforms.pixels import Pixels

POINTER = b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n'
OTHERS = {
    'git lfs pull': POINTER,
    'is HTML or XML': b'\n<!DOCTYPE html><html><title>Sign in</title>',
    'gzip: unpack it': b'\x1f\x8b' + bytes(60),
    'is a PDF': b'%PDF-1.7\n' + bytes(60),
    'empty': b'',
}


@pytest.mark.parametrize('words', OTHERS)
def test_weights_json_and_images_are_called_by_what_they_are(words, tmp_path):
    for name, read in (('a.pth', load_checkpoint), ('a.json', read_json), ('a.jpg', lambda p: read_image(p, Pixels()))):
        path = tmp_path / name
        path.write_bytes(OTHERS[words])
        with pytest.raises(ValueError, match=words) as error:
            read(path)
        assert str(path) in str(error.value) and '\n' not in str(error.value)


def test_an_image_and_an_archive_are_no_checkpoints(tmp_path):
    (tmp_path / 'a.pth').write_bytes(b'\xff\xd8\xff\xe0' + bytes(60))
    with pytest.raises(ValueError, match='not a checkpoint .*: it is an image'):
        load_checkpoint(tmp_path / 'a.pth')
    shutil.make_archive(str(tmp_path / 'b'), 'zip', tmp_path)
    with pytest.raises(ValueError, match='is a zip archive of something else: unpack it'):
        load_checkpoint(tmp_path / 'b.zip')


@pytest.mark.parametrize('share', [0.1, 0.5, 0.99])
def test_a_download_that_was_cut_off_says_so(share, tmp_path):
    torch.save(dict(state_dict=dict(a=torch.zeros(3000))), tmp_path / 'whole.pth')
    assert load_checkpoint(tmp_path / 'whole.pth')
    content = (tmp_path / 'whole.pth').read_bytes()
    (tmp_path / 'cut.pth').write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match='ends in the middle: it is incomplete, get it again'):
        load_checkpoint(tmp_path / 'cut.pth')


def test_a_folder_and_nothing_at_all(tmp_path):
    with pytest.raises(ValueError, match='is a folder, where an image is expected'):
        read_image(tmp_path, Pixels())
    with pytest.raises(FileNotFoundError, match='no image at'):
        read_image(tmp_path / 'none.png', Pixels())
