"""Repairs of the frozen OpenMMLab stack, applied when ``detco_mm`` is imported.

MMSelfSup, MMClassification and mmcv 2.0 had their last releases in 2023; PyTorch, NumPy and setuptools went on. Each
function below fixes one failure and changes nothing where the stack works: its docstring gives the symptom, upstream's
link and the condition under which it applies, and it returns whether it did. All may be called again without effect.
"""

import functools
import importlib.util
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as torch_dist
from mmengine.dist import utils as dist_utils
from mmengine.registry import MODEL_WRAPPERS, Registry
from mmengine.runner import Runner
from mmengine.utils.dl_utils import misc
from torch.nn.parallel import DistributedDataParallel


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
    Condition: a registry of MMSelfSup names a module that does not exist. Only these registries are touched.
    """
    import mmselfsup.registry  # not at the top: it imports much of mmcv, which detco_mm.compat.ops completes first

    def exists(module: str) -> bool:
        place = Path(mmselfsup.__path__[0], *module.split('.')[1:])  # find_spec would import the packages above it
        return place.is_dir() or place.with_suffix('.py').is_file()

    repaired = False
    for registry in vars(mmselfsup.registry).values():
        if isinstance(registry, Registry) and registry.scope == 'mmselfsup':
            present = [location for location in registry._locations if exists(location)]
            repaired |= present != registry._locations
            registry._locations = present
    return repaired


def start_gloo_without_gpu() -> bool:
    """Start a gloo process group where there is no GPU.

    Symptom: ``Found no NVIDIA driver`` from ``init_dist`` with ``--launcher pytorch`` or ``slurm`` on a CPU machine,
    whatever the backend, for MMEngine calls ``torch.cuda.set_device`` first.
    Link: https://github.com/open-mmlab/mmengine/blob/v0.10.7/mmengine/dist/utils.py (_init_dist_pytorch, _slurm)
    Condition: there is no CUDA device, nor another accelerator for which MMEngine starts process groups. A backend
    other than NCCL, which needs a GPU, stays as it was asked for.
    """
    if not _on_cpu():
        return False

    def make(original: Callable) -> Callable:
        def _init_dist_pytorch(backend: str, init_backend: str = 'torch', **kwargs: Any) -> None:
            torch_dist.init_process_group(backend=_without_gpu(backend), **kwargs)

        return _init_dist_pytorch

    def make_slurm(original: Callable) -> Callable:
        def _init_dist_slurm(backend: str, port: int | None = None, init_backend: str = 'torch', **kwargs: Any) -> None:
            names = subprocess.check_output(['scontrol', 'show', 'hostnames', os.environ['SLURM_NODELIST']], text=True)
            os.environ.setdefault('MASTER_ADDR', names.split()[0])
            os.environ.setdefault('MASTER_PORT', str(port or 29500))
            for name, slurms in (('WORLD_SIZE', 'NTASKS'), ('RANK', 'PROCID'), ('LOCAL_RANK', 'LOCALID')):
                os.environ[name] = os.environ[f'SLURM_{slurms}']
            torch_dist.init_process_group(backend=_without_gpu(backend), **kwargs)

        return _init_dist_slurm

    starts = _replace(dist_utils, '_init_dist_pytorch', make)
    return _replace(dist_utils, '_init_dist_slurm', make_slurm) or starts


def leave_out_hooks_by_none() -> bool:
    """Let ``default_hooks.NAME=None`` leave out a hook of any name.

    Symptom: a bare ``AssertionError`` where a config sets a default hook to None that is not one of MMEngine's six.
    Link: https://github.com/open-mmlab/mmengine/blob/v0.10.7/mmengine/runner/runner.py (register_default_hooks)
    Condition: a default hook that is None, of a name that MMEngine does not know; all else is passed on as it is.
    """
    own = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')

    def make(original: Callable) -> Callable:
        def register_default_hooks(self: Runner, hooks: dict[str, Any] | None = None) -> None:
            kept = {name: hook for name, hook in (hooks or {}).items() if hook is not None or name in own}
            original(self, kept)

        return register_default_hooks

    return _replace(Runner, 'register_default_hooks', make)


def wrap_models_without_gpu() -> bool:
    """Let DDP wrap a model on the CPU.

    Symptom: ``DistributedDataParallel device_ids and output_device arguments only work with single-device/multiple-
    device GPU modules``, for the Runner passes ``device_ids=[LOCAL_RANK]``.
    Link: https://github.com/open-mmlab/mmengine/blob/v0.10.7/mmengine/runner/runner.py (wrap_model)
    Condition: as for :func:`start_gloo_without_gpu`, and the wrapper is a DistributedDataParallel.
    """
    if not _on_cpu():
        return False

    def make(original: Callable) -> Callable:
        def wrap_model(self: Runner, model_wrapper_cfg: dict | None, model: torch.nn.Module) -> torch.nn.Module:
            if not self.distributed:
                return original(self, model_wrapper_cfg, model)
            if model_wrapper_cfg is None:
                # What the Runner passes by default, but for the devices.
                unused = self.cfg.get('find_unused_parameters', False)
                model_wrapper_cfg = dict(broadcast_buffers=False, find_unused_parameters=unused)
            kind = MODEL_WRAPPERS.get(model_wrapper_cfg.get('type', 'MMDistributedDataParallel'))
            if kind is not None and issubclass(kind, DistributedDataParallel):
                model_wrapper_cfg = {**model_wrapper_cfg, 'device_ids': None}
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


def _without_gpu(backend: str) -> str:
    return 'gloo' if backend == 'nccl' else backend


def find_compiled_mmcv_on_python_3_14() -> bool:
    """Let MMEngine look for mmcv's operations with importlib.

    Symptom: ``module 'pkgutil' has no attribute 'find_loader'`` from an optimizer with ``paramwise_cfg``.
    Link: https://github.com/open-mmlab/mmengine/blob/v0.10.7/mmengine/utils/dl_utils/misc.py (mmcv_full_available)
    Condition: Python 3.14, which dropped that function. MMEngine's module alone sees the substitute.
    """
    if hasattr(misc.pkgutil, 'find_loader'):
        return False
    misc.pkgutil = SimpleNamespace(find_loader=importlib.util.find_spec)
    return True


REPAIRS = (
    drop_missing_registry_locations,
    start_gloo_without_gpu,
    wrap_models_without_gpu,
    find_compiled_mmcv_on_python_3_14,
    leave_out_hooks_by_none,
)


def repair() -> list[str]:
    """Apply all repairs; return the names of those that were not in place yet."""
    return [function.__name__ for function in REPAIRS if function()]
