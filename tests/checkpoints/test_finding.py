"""What is damaged is recognised, wherever the damage is."""

import io
import logging
import random
import zipfile

import pytest
import torch
from mmengine.logging import MMLogger

from detco_mm.checkpoints.finding import newest_intact_checkpoint
from detco_mm.checkpoints.sealing import find_corruption, seal


def write(path, step):
    made = io.BytesIO()
    torch.save(dict(meta=dict(iter=step), state_dict=dict(w=torch.randn(20, 30))), made)
    path.write_bytes(b''.join(seal(made.getvalue())))
    return path


def test_a_sealed_file_loads_as_before_mapped_or_read(tmp_path):
    plain = tmp_path / 'plain.pth'
    torch.save(dict(w=torch.arange(6.0)), plain)
    sealed = tmp_path / 'sealed.pth'
    sealed.write_bytes(b''.join(seal(plain.read_bytes())))
    for mapped in (False, True):
        assert torch.equal(torch.load(sealed, mmap=mapped, weights_only=True)['w'], torch.arange(6.0))
    assert zipfile.ZipFile(sealed).testzip() is None
    assert seal(b'no archive') == (b'no archive',)


def test_any_altered_byte_is_recognised(tmp_path):
    path = write(tmp_path / 'iter_1.pth', 1)
    content, drawn = path.read_bytes(), random.Random(0)
    for place in range(0, content.index(b'sha256='), 3):
        altered = bytearray(content)
        altered[place] ^= 1 << drawn.randrange(8)
        path.write_bytes(altered)
        assert find_corruption(path), place


def test_an_altered_weight_is_recognised_in_a_file_of_another_program(tmp_path):
    path = tmp_path / 'plain.pth'
    weights = torch.randn(200, 30)
    torch.save(dict(w=weights), path)
    assert find_corruption(path) is None
    content = bytearray(path.read_bytes())
    content[content.index(weights.numpy().tobytes()) + 1000] ^= 1
    path.write_bytes(content)
    assert torch.load(path, weights_only=True)['w'].ne(weights).sum() == 1  # PyTorch says nothing
    assert 'CRC-32' in find_corruption(path)


def test_a_file_that_lost_its_end_is_recognised_at_any_length(tmp_path):
    path = write(tmp_path / 'iter_1.pth', 1)
    content = path.read_bytes()
    assert find_corruption(path) is None
    for length in range(0, content.index(b'sha256='), 7):
        path.write_bytes(content[:length])
        assert find_corruption(path), length


def test_the_one_furthest_in_training_is_taken_whatever_the_times_of_the_files(tmp_path):
    furthest = write(tmp_path / 'epoch_10.pth', 120)
    write(tmp_path / 'epoch_9.pth', 108)
    write(tmp_path / 'iter_115.pth', 115)
    write(tmp_path / 'best.pth', 999)
    assert newest_intact_checkpoint(tmp_path) == furthest


@pytest.fixture
def said():
    """What is logged meanwhile."""
    lines, handler = [], logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


def test_damaged_ones_are_passed_over_and_named(tmp_path, said):
    good = write(tmp_path / 'epoch_1.pth', 10)
    altered, cut = write(tmp_path / 'epoch_2.pth', 20), write(tmp_path / 'epoch_3.pth', 30)
    content = bytearray(altered.read_bytes())
    content[len(content) // 2] ^= 1  # one bit of a weight
    altered.write_bytes(content)
    cut.write_bytes(cut.read_bytes()[:-1000])
    assert newest_intact_checkpoint(tmp_path) == good
    for name in ('epoch_2.pth', 'epoch_3.pth'):
        assert any(f'{name} is damaged and not used' in line for line in said)


def test_a_work_dir_without_checkpoints_has_none(tmp_path):
    assert newest_intact_checkpoint(tmp_path / 'absent') is None


def test_none_whole_is_an_error_and_no_new_start(tmp_path):
    (tmp_path / 'epoch_1.pth').write_bytes(b'PK')
    with pytest.raises(ValueError, match='none of 1 checkpoints .* is whole: name another one'):
        newest_intact_checkpoint(tmp_path)


def test_checkpoints_elsewhere_are_found_by_the_note_of_the_last_one(tmp_path):
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'run').mkdir()
    path = write(tmp_path / 'elsewhere/epoch_1.pth', 10)
    (tmp_path / 'run/last_checkpoint').write_text(str(path))
    assert newest_intact_checkpoint(tmp_path / 'run') == path
