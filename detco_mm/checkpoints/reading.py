"""Checkpoints from anywhere, read without executing code."""

import io
import json
import os
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from mmengine.runner import CheckpointLoader
from packaging.version import Version

from detco_mm.checkpoints.starts import other_kind
from detco_mm.compat.versions import SAFE_TORCH

# All that a pickled dict of arrays and tensors calls upon to be built. `_load_from_bytes` reads a nested torch file,
# and by itself reads anything: it goes through weights_only here.
_ALLOWED: dict[tuple[str, str], Any] = {
    ('collections', 'OrderedDict'): OrderedDict,
    ('_codecs', 'encode'): lambda text, encoding: text.encode('latin1') if encoding == 'latin1' else _refuse(encoding),
    ('numpy', 'ndarray'): np.ndarray,
    ('numpy', 'dtype'): np.dtype,
    ('torch._utils', '_rebuild_tensor_v2'): torch._utils._rebuild_tensor_v2,
    ('torch.storage', '_load_from_bytes'): lambda data: torch.load(io.BytesIO(data), 'cpu', weights_only=True),
}
for _package in ('numpy.core', 'numpy._core'):  # NumPy 1 and 2
    _ALLOWED[f'{_package}.multiarray', '_reconstruct'] = np.empty(0).__reduce__()[0]
    _ALLOWED[f'{_package}.multiarray', 'scalar'] = np.float64(0).__reduce__()[0]
    _ALLOWED[f'{_package}.numeric', '_frombuffer'] = np.empty(0).__reduce_ex__(5)[0]


def _refuse(name: str) -> Any:
    raise pickle.UnpicklingError(f'it asks to run {name}, which a file of weights has no need of')


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that builds containers, arrays and tensors, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        return _ALLOWED.get((module, name)) or _refuse(f'{module}.{name}')


def why_not_loaded(error: Exception) -> str:
    """Say in one line what PyTorch or pickle met while they read a checkpoint."""
    # PyTorch's own message advises, at length, to load the file without this protection.
    found = re.search(r'GLOBAL (\S+) was not an allowed global', str(error))
    asked = f'it asks to run {found[1]}, which a file of weights has no need of' if found else str(error)
    return (asked or type(error).__name__).splitlines()[0]


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint: a torch file, safetensors, or a pickle of arrays as detectron2's users exchange.

    Args:
        path: the file; its extension does not matter.

    Returns:
        The dict that it holds, tensors on the CPU; arrays of a pickle stay NumPy's.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no checkpoint, or holds more than tensors, arrays and plain types.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f'no checkpoint at "{path}": give the .pth file of a run, such as work_dirs/NAME/epoch_N.pth'
        )
    if other := _other_kind(path):
        raise ValueError(f'"{path}" is not a checkpoint that loads safely: it {other}')
    try:
        if is_safetensors(path):
            checkpoint = decoded_safetensors(path)
        elif _is_torch_file(path):
            checkpoint = torch.load(path, map_location='cpu', weights_only=True)
        else:
            with open(path, 'rb') as file:
                # latin1: bytes of arrays that Python 2 wrote
                checkpoint = _ArraysOnly(file, encoding='latin1').load()
    # A damaged pickle raises whatever its garbled instructions run into.
    except Exception as error:
        raise ValueError(f'"{path}" is not a checkpoint that loads safely: {why_not_loaded(error)}') from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f'"{path}" holds a {type(checkpoint).__name__}: a checkpoint is a dict with a state_dict')
    return checkpoint


@contextmanager
def safe_loading() -> Iterator[None]:
    """While it lasts, let MMEngine load checkpoints as weights and plain values alone, and say which it refuses.

    Without it a checkpoint given as a URL is unpickled without restrictions, and runs what its author put in; so is any
    other where ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` is set. A resumed one also runs the text in ``meta['config']``,
    which MMCV wrote and MMEngine executes to compare numbers of GPUs
    (https://github.com/open-mmlab/mmengine/blob/v0.10.7/mmengine/runner/checkpoint.py, ``load_from_http``; runner.py,
    ``resume``). The tools load so, and so do runs with ``detco_mm.SafeCheckpoint``; other loads are left as they are.

    Raises:
        ValueError: from a load, if the file is no checkpoint or holds more than tensors and plain types; for a URL also
            if PyTorch is older than :data:`~detco_mm.compat.versions.SAFE_TORCH`.
    """
    original = CheckpointLoader.__dict__['load_checkpoint']
    CheckpointLoader.load_checkpoint = _loads_safely(CheckpointLoader.load_checkpoint)
    try:
        yield
    finally:
        CheckpointLoader.load_checkpoint = original


def _loads_safely(load: Callable) -> Callable:
    def load_checkpoint(filename: str, map_location: Any = None, logger: str = 'current') -> Any:
        if '://' in str(filename) and Version(torch.__version__) < Version(SAFE_TORCH):
            raise ValueError(
                f'"{filename}" is not read with PyTorch {torch.__version__}, in which a file can run code or corrupt '
                f'memory: install PyTorch {SAFE_TORCH} or newer, or download it if you trust its author'
            )
        forced, not_forced = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
        before = {name: os.environ.pop(name, None) for name in (forced, not_forced)}
        os.environ[forced] = '1'
        try:
            checkpoint = load(filename, map_location, logger)
        except OSError:  # it does not exist
            raise
        except Exception as error:  # whatever damage makes PyTorch, pickle or zip raise
            raise ValueError(f'"{filename}" is not a checkpoint that loads safely: {why_not_loaded(error)}') from error
        finally:
            del os.environ[forced]
            os.environ.update({name: value for name, value in before.items() if value is not None})
        if isinstance(checkpoint, dict) and isinstance(checkpoint.get('meta'), dict):
            checkpoint['meta'].pop('config', None)
        return checkpoint

    return load_checkpoint


def _other_kind(path: str | Path) -> str | None:
    """Say what a file is that is no checkpoint, where it is a known kind."""
    with open(path, 'rb') as file:
        start = file.read(64)
    if (other := other_kind(start)) is not None or start[:4] != b'PK\x03\x04':
        return other
    try:
        with zipfile.ZipFile(path) as archive:
            # PyTorch's archives have one folder, in which the pickle is
            is_torch = any(name.endswith('/data.pkl') for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return 'ends in the middle: it is incomplete, get it again'
    return None if is_torch else 'is a zip archive of something else: unpack it'


def _is_torch_file(path: str | Path) -> bool:
    """Tell torch.save's two formats, a zip archive and a series of pickles behind a number, from a bare pickle."""
    with open(path, 'rb') as file:
        start = file.read(64)
    # torch.serialization.MAGIC_NUMBER, as a pickled long
    magic = torch.serialization.MAGIC_NUMBER.to_bytes(10, 'little')
    return start[:4] == b'PK\x03\x04' or magic in start


def is_safetensors(path: str | Path) -> bool:
    """Tell a safetensors file by its start: the length of a JSON header, then the header."""
    with open(path, 'rb') as file:
        start = file.read(9)
    return len(start) == 9 and start[8:] == b'{' and int.from_bytes(start[:8], 'little') < Path(path).stat().st_size


def decoded_safetensors(path: str | Path) -> dict[str, Any]:
    """Read a safetensors file as a checkpoint: ``state_dict``, and ``meta`` if it has one."""
    with safetensors.safe_open(str(path), framework='pt') as file:
        meta = json.loads((file.metadata() or {}).get('meta', '{}'))
        return dict(state_dict={name: file.get_tensor(name) for name in file.keys()}, meta=meta)  # noqa: SIM118 - it is no dict
