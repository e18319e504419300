"""Repairs of the frozen OpenMMLab stack, applied when ``detco_mm`` is imported.

MMSelfSup, MMClassification and mmcv 2.0 had their last releases in 2023; PyTorch, NumPy and setuptools went on. Each
function below mends one thing: its docstring gives the symptom, upstream's link and the condition under which it
applies, and it returns whether it did. All may be called again without effect.
"""

import functools
import importlib.util
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as torch_dist
from mmengine.dist import utils as dist_utils
from mmengine.fileio import LocalBackend
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.registry import Registry
from mmengine.runner import CheckpointLoader, Runner

from detco_mm.checkpoints.files import write_atomically
from detco_mm.checkpoints.sealing import seal


def _replace(owner: Any, name: str, make: Callable[[Any], Any]) -> bool:
    """Put ``make(original)`` in the place of ``owner.name``, once."""
    original = getattr(owner, name)
    if getattr(original, 'repaired_by_detco_mm', False):
        return False
    replacement = make(original)
    functools.update_wrapper(replacement, original)
    replacement.repaired_by_detco_mm = True
    setattr(owner, name, replacement)
    return True


def drop_missing_registry_locations() -> bool:
    """Let MMSelfSup's registries import only the modules that its release contains.

    Symptom: ``No module named 'mmselfsup.engine.runner'`` at the first ``runner.train()``.
    Link: https://github.com/open-mmlab/mmselfsup/issues/745
    Condition: a registry of scope mmselfsup whose location is not there.
    """

    def make(original: Callable) -> Callable:
        def import_from_location(self: Registry) -> None:
            if self.scope == 'mmselfsup':
                self._locations = [place for place in self._locations if importlib.util.find_spec(place)]
            original(self)

        return import_from_location

    return _replace(Registry, 'import_from_location', make)


def keep_message_hub_in_plain_types() -> bool:
    """Write the message hub as numbers and lists, so that checkpoints load without executing pickled code.

    Symptom: ``--resume`` fails with ``Weights only load failed ... HistoryBuffer`` on torch 2.6 or newer.
    Link: https://github.com/open-mmlab/mmengine/issues/1655
    Condition: always; on older torch it does no harm.
    """

    def make_save(original: Callable) -> Callable:
        def state_dict(self: MessageHub) -> dict:
            return to_builtin_types(original(self))

        return state_dict

    def make_load(original: Callable) -> Callable:
        def load_state_dict(self: MessageHub, state_dict: Any) -> None:
            if isinstance(state_dict, dict):
                scalars = {
                    key: HistoryBuffer(**value) if isinstance(value, dict) else value
                    for key, value in state_dict['log_scalars'].items()
                }
                state_dict = dict(state_dict, log_scalars=scalars)
            original(self, state_dict)

        return load_state_dict

    saves = _replace(MessageHub, 'state_dict', make_save)
    return _replace(MessageHub, 'load_state_dict', make_load) or saves


def keep_short_histories() -> bool:
    """Keep the last 10,000 values of each logged scalar, not the last million.

    Symptom: a run slows down as it gets on, and its checkpoints grow. Each step copies the history of each scalar
    (``np.append``): for DetCo's 26, 0.2 ms a step at 10,000 values and 44 ms at a million, where 200 epochs of ImageNet
    end. The log averages over ten steps, and over an epoch of 5,004 at most.
    Link: https://github.com/open-mmlab/mmengine/blob/v0.10.7/mmengine/logging/history_buffer.py (update)
    Condition: always.
    """

    def make(original: Callable) -> Callable:
        def __init__(
            self: HistoryBuffer, log_history: Any = (), count_history: Any = (), max_length: int = 10_000
        ) -> None:
            original(self, list(log_history), list(count_history), max_length)

        return __init__

    return _replace(HistoryBuffer, '__init__', make)


def to_builtin_types(value: Any) -> Any:
    """Replace HistoryBuffers by the arguments that build them, NumPy's numbers by Python's."""
    if isinstance(value, HistoryBuffer):
        log_history, count_history = value.data
        return dict(log_history=log_history.tolist(), count_history=count_history.tolist(), max_length=value.max_length)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: to_builtin_types(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_builtin_types(entry) for entry in value)
    return value


def write_local_files_atomically() -> bool:
    """Write checkpoints to a temporary file that takes their name once it is on the disk, with a checksum in it.

    Symptom: a run that is killed while it writes a checkpoint leaves half of it, under the name of the whole; and
    nobody notices bits that change on the disk.
    Link: https://github.com/open-mmlab/mmengine/blob/v0.10.7/mmengine/fileio/backends/local_backend.py (put)
    Condition: always.
    """

    def make(original: Callable) -> Callable:
        def put(self: LocalBackend, obj: bytes, filepath: str | Path) -> None:
            write_atomically(filepath, *seal(obj))

        return put

    return _replace(LocalBackend, 'put', make)


def load_checkpoints_without_code() -> bool:
    """Load checkpoints of any kind of path as weights and plain values alone, and say which file was refused.

    Symptom: a checkpoint given as a URL is unpickled without restrictions, and runs what its author put in; so is any
    other where ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` is set. A resumed one also runs the text in ``meta['config']``,
    which MMCV wrote and MMEngine executes to compare numbers of GPUs.
    Link: https://github.com/open-mmlab/mmengine/blob/v0.10.7/mmengine/runner/checkpoint.py (load_from_http), runner.py
    (resume)
    Condition: always.
    """

    def make(original: Callable) -> Callable:
        def load_checkpoint(filename: str, map_location: Any = None, logger: str = 'current') -> Any:
            from detco_mm.checkpoints.reading import why_not_loaded

            forced, not_forced = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
            before = {name: os.environ.pop(name, None) for name in (forced, not_forced)}
            os.environ[forced] = '1'
            try:
                checkpoint = original(filename, map_location, logger)
            except OSError:  # it is not there
                raise
            except Exception as error:  # whatever damage makes PyTorch, pickle or zip raise
                reason = why_not_loaded(error)
                raise ValueError(f'"{filename}" is not a checkpoint that loads safely: {reason}') from error
            finally:
                del os.environ[forced]
                os.environ.update({name: value for name, value in before.items() if value is not None})
            if isinstance(checkpoint, dict) and isinstance(checkpoint.get('meta'), dict):
                checkpoint['meta'].pop('config', None)
            return checkpoint

        return load_checkpoint

    return _replace(CheckpointLoader, 'load_checkpoint', make)


def start_gloo_without_gpu() -> bool:
    """Start a gloo process group where there is no GPU.

    Symptom: ``Found no NVIDIA driver`` from ``init_dist`` with ``--launcher pytorch`` or ``slurm`` on a CPU machine,
    whatever the backend, for MMEngine calls ``torch.cuda.set_device`` first.
    Link: https://github.com/open-mmlab/mmengine/blob/v0.10.7/mmengine/dist/utils.py (_init_dist_pytorch, _slurm)
    Condition: ``torch.cuda.is_available()`` is False and no other accelerator of MMEngine's is there.
    """

    def make(original: Callable) -> Callable:
        def _init_dist_pytorch(backend: str, init_backend: str = 'torch', **kwargs: Any) -> None:
            if _on_cpu():
                torch_dist.init_process_group(backend='gloo', **kwargs)
            else:
                original(backend, init_backend, **kwargs)

        return _init_dist_pytorch

    def make_slurm(original: Callable) -> Callable:
        def _init_dist_slurm(backend: str, port: int | None = None, init_backend: str = 'torch', **kwargs: Any) -> None:
            if not _on_cpu():
                original(backend, port, init_backend, **kwargs)
                return
            names = subprocess.check_output(['scontrol', 'show', 'hostnames', os.environ['SLURM_NODELIST']], text=True)
            os.environ.setdefault('MASTER_ADDR', names.split()[0])
            os.environ.setdefault('MASTER_PORT', str(port or 29500))
            for name, slurms in (('WORLD_SIZE', 'NTASKS'), ('RANK', 'PROCID'), ('LOCAL_RANK', 'LOCALID')):
                os.environ[name] = os.environ[f'SLURM_{slurms}']
            torch_dist.init_process_group(backend='gloo', **kwargs)

        return _init_dist_slurm

    starts = _replace(dist_utils, '_init_dist_pytorch', make)
    return _replace(dist_utils, '_init_dist_slurm', make_slurm) or starts


def wrap_models_without_gpu() -> bool:
    """Let DDP wrap a model on the CPU.

    Symptom: ``DistributedDataParallel device_ids and output_device arguments only work with single-device/multiple-
    device GPU modules``, for the Runner passes ``device_ids=[LOCAL_RANK]``.
    Link: https://github.com/open-mmlab/mmengine/blob/v0.10.7/mmengine/runner/runner.py (wrap_model)
    Condition: as for :func:`start_gloo_without_gpu`, and the config has no ``model_wrapper_cfg``.
    """

    def make(original: Callable) -> Callable:
        def wrap_model(self: Runner, model_wrapper_cfg: dict | None, model: torch.nn.Module) -> torch.nn.Module:
            if self.distributed and _on_cpu():
                # What the Runner passes by default, but for the devices.
                model_wrapper_cfg = {'broadcast_buffers': False, **(model_wrapper_cfg or {}), 'device_ids': None}
            return original(self, model_wrapper_cfg, model)

        return wrap_model

    return _replace(Runner, 'wrap_model', make)


def _on_cpu() -> bool:
    return not (
        torch.cuda.is_available()
        or dist_utils.is_mlu_available()
        or dist_utils.is_npu_available()
        or dist_utils.is_musa_available()
    )


REPAIRS = (
    drop_missing_registry_locations,
    keep_message_hub_in_plain_types,
    keep_short_histories,
    write_local_files_atomically,
    load_checkpoints_without_code,
    start_gloo_without_gpu,
    wrap_models_without_gpu,
)


def repair() -> list[str]:
    """Apply all repairs; return the names of those that were not in place yet."""
    return [function.__name__ for function in REPAIRS if function()]
