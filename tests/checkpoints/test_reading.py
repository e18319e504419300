"""Files of weights from anywhere, and files that would rather run something."""

import io
import pickle
import subprocess

import numpy as np
import pytest
import torch

from detco_mm.weights import load_checkpoint

WEIGHTS = {'state_dict': {'conv1.weight': torch.arange(6.0).view(2, 3), 'n': torch.tensor(3)}}
ARRAYS = {'model': {'conv1.weight': np.arange(6, dtype=np.float32).reshape(2, 3), 'n': np.int64(3)}}


def torch_file(content, path, **kwargs):
    torch.save(content, path, **kwargs)


WRITERS = {
    'zip': torch_file,
    'legacy': lambda content, path: torch_file(content, path, _use_new_zipfile_serialization=False),
    **{
        f'pickle {protocol}': lambda content, path, protocol=protocol: path.write_bytes(pickle.dumps(content, protocol))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}


@pytest.mark.parametrize('writer', WRITERS)
def test_tensors_are_read_from_every_format_whatever_the_extension(writer, tmp_path):
    WRITERS[writer](WEIGHTS, tmp_path / 'weights.pkl')
    found = load_checkpoint(tmp_path / 'weights.pkl')['state_dict']
    assert all(torch.equal(found[name], tensor) for name, tensor in WEIGHTS['state_dict'].items())


@pytest.mark.parametrize('writer', [name for name in WRITERS if name.startswith('pickle')])
def test_arrays_are_read_from_every_pickle(writer, tmp_path):
    WRITERS[writer](ARRAYS, tmp_path / 'weights.pkl')
    found = load_checkpoint(tmp_path / 'weights.pkl')['model']
    assert all(np.array_equal(found[name], array) for name, array in ARRAYS['model'].items())


class Runs:
    """Pickled, an instruction to call a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('writer', WRITERS)
@pytest.mark.parametrize('nested', [False, True])
def test_a_malicious_file_is_refused_and_nothing_of_it_runs(writer, nested, tmp_path):
    mark = tmp_path / 'ran'
    content = {'state_dict': {'a': Runs(subprocess.call, ['touch', str(mark)])}}
    if nested:
        # torch's own pickle of a storage carries a file within, which torch.storage would load without restrictions
        inner = io.BytesIO()
        torch.save(content, inner)
        content = {'state_dict': {'a': Runs(torch.storage._load_from_bytes, inner.getvalue())}}
    WRITERS[writer](content, tmp_path / 'weights.pth')
    with pytest.raises(ValueError, match='not a checkpoint that loads safely'):
        load_checkpoint(tmp_path / 'weights.pth')
    assert not mark.exists()
    if not nested:  # the file would have run, or this test could not fail
        torch.load(tmp_path / 'weights.pth', weights_only=False) if 'pickle' not in writer else pickle.loads(
            (tmp_path / 'weights.pth').read_bytes()
        )
        assert mark.exists()


@pytest.mark.parametrize('writer', WRITERS)
def test_a_truncated_file_is_refused(writer, tmp_path):
    whole, part = tmp_path / 'whole', tmp_path / 'part'
    WRITERS[writer](WEIGHTS, whole)
    data = whole.read_bytes()
    for length in (0, 3, 40, len(data) // 2, len(data) - 1):
        part.write_bytes(data[:length])
        with pytest.raises(ValueError, match='not a checkpoint that loads safely'):
            load_checkpoint(part)
