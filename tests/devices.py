"""Where tests run: on a GPU where there is one.

Tests of `make test-gpu` run everywhere else on the CPU. Processes that a test starts find the GPUs by themselves.
"""

import pytest
import torch

GPUS = torch.cuda.device_count()
NO_GPU = 'no CUDA device: pytest -m gpu shows that all is well on one, and there is nothing to show here'

needs_two_gpus_if_any = pytest.mark.skipif(GPUS == 1, reason='two ranks need two GPUs, and this machine has one')
#: What only a GPU can show.
needs_gpu = pytest.mark.skipif(not GPUS, reason='needs a GPU')
#: A GPU adds numbers in any order unless it is told not to.
DETERMINISTIC = ['randomness.deterministic=True'] if GPUS else []
#: Without it cuBLAS refuses to be deterministic (its documentation, "Results reproducibility").
ENVIRONMENT = {'CUBLAS_WORKSPACE_CONFIG': ':4096:8'} if GPUS else {}


def also_on_gpu(test):
    """Mark a test whose tensors are made by PyTorch's default device, which is then a GPU where there is one."""
    return pytest.mark.gpu(pytest.mark.usefixtures('device')(test))
