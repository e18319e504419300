#!/usr/bin/env bash
# Build mmcv with its compiled ops from its PyPI source, or take the wheel an earlier build left in
# the user's cache.
#
#   tools/build_mmcv.sh PYTHON VERSION     e.g. tools/build_mmcv.sh .venv/bin/python 2.0.1
#
# CUDA ops are built where a CUDA toolkit and a GPU are present, which is mmcv's own rule;
# FORCE_CUDA=1 builds them on a login node without a GPU, FORCE_CUDA=0 never does.
set -euo pipefail

python=$(readlink -f "$(dirname "$1")")/$(basename "$1")
version=$2

# What a wheel depends on is in the name of its folder: mmcv, torch, Python, machine, CUDA.
read -r key cuda < <("$python" - "$version" <<'PY'
import os, platform, sys
import torch
from torch.utils.cpp_extension import CUDA_HOME
force = os.environ.get('FORCE_CUDA')
wanted = force == '1' if force in ('0', '1') else torch.cuda.is_available()
cuda = f'cu{torch.version.cuda}' if wanted and CUDA_HOME and torch.version.cuda else 'cpu'
python = f'cp{sys.version_info.major}{sys.version_info.minor}'
print(f'mmcv-{sys.argv[1]}-torch{torch.__version__}-{python}-{platform.machine()}-{cuda}', cuda)
PY
)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/detco_mm/wheels/$key

if ! compgen -G "$cache/mmcv-*.whl" >/dev/null; then
    command -v g++ >/dev/null || {
        echo "mmcv's ops are C++ and no g++ was found: install one (Debian: apt-get install g++), then run this again" >&2
        exit 1
    }
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT

    # mmcv 2.0.1 asks for C++14 and the headers of current torch need C++20. The last -std on a
    # command line wins, so the compilers are wrapped and mmcv's source stays as released.
    # -g0: without debug symbols the build takes a fifth less time.
    printf '#!/bin/sh\nexec g++ "$@" -std=c++20 -g0\n' >"$work/cxx"
    cat >"$work/nvcc" <<'WRAPPER'
#!/bin/bash
arguments=()
for argument; do [ "$argument" = -std=c++14 ] || arguments+=("$argument"); done
exec "$CUDA_HOME/bin/nvcc" "${arguments[@]}" -std=c++20
WRAPPER
    chmod +x "$work/cxx" "$work/nvcc"

    # One compiler needs up to 2 GB: no more of them than memory allows.
    cores=$(nproc)
    memory_gb=$(awk '/MemAvailable/ {print int($2 / 2097152) + 1}' /proc/meminfo 2>/dev/null || echo 2)
    export MAX_JOBS=${MAX_JOBS:-$((cores < memory_gb ? cores : memory_gb))}
    export MMCV_WITH_OPS=1 CXX="$work/cxx"
    if [ "$cuda" = cpu ]; then
        export FORCE_CUDA=0
    else
        export FORCE_CUDA=1
        CUDA_HOME=$("$python" -c 'from torch.utils.cpp_extension import CUDA_HOME; print(CUDA_HOME)')
        export CUDA_HOME PYTORCH_NVCC="$work/nvcc"
    fi

    echo "building mmcv $version ($cuda ops) with $MAX_JOBS jobs, once per machine: 8 to 15 minutes on 2 cores"
    # The build lies in $work, and with it ninja's list of objects: pip is silent until the end.
    TMPDIR=$work "$python" -m pip wheel --no-deps --no-build-isolation --no-binary mmcv --no-cache-dir \
        --wheel-dir "$work/wheel" "mmcv==$version" >"$work/log" 2>&1 &
    build=$! started=$SECONDS
    if [ -t 1 ]; then pause=2 form='\r  %s'; else pause=30 form='  %s\n'; fi
    while sleep "$pause" && kill -0 "$build" 2>/dev/null; do
        all=$(find "$work" -name build.ninja -exec grep -c '\.o:' {} + 2>/dev/null | tail -n 1)
        built=$(find "$work" -name '*.o' 2>/dev/null | wc -l)
        elapsed=$((SECONDS - started)) left='unpacking'
        if [ "$built" -gt 0 ]; then left="about $(((all - built) * elapsed / built / 60 + 1)) min left"; fi
        # shellcheck disable=SC2059  # the form is ours
        printf "$form" "$built of ${all:-?} objects, $((elapsed / 60)) min elapsed, $left   "
    done
    echo
    wait "$build" || { tail -n 40 "$work/log" >&2; exit 1; }
    mkdir -p "$cache"
    # Through a temporary name in the same folder: an interrupted copy is never taken for a wheel.
    wheel=$(basename "$work"/wheel/mmcv-*.whl)
    cp "$work/wheel/$wheel" "$cache/.$wheel.part"
    mv "$cache/.$wheel.part" "$cache/$wheel"
fi
echo "mmcv wheel: $key"
"$python" -m pip install --quiet --no-deps --force-reinstall "$cache"/mmcv-*.whl
