#!/usr/bin/env bash
# Fine-tune a detector on several GPUs from a backbone, or without one from what its config says:
#
#   tools/dist_det_train.sh CONFIG GPUS [BACKBONE] [flags of tools/det_train.py]
#
# The order of version 0.1, CONFIG BACKBONE GPUS, still works.
# Several machines: run it on each, with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
config=$1 gpus=$2 rest=("${@:3}")
if [[ $gpus == *[!0-9]* && ${3:-} =~ ^[0-9]+$ ]]; then
    gpus=$3 rest=("$2" "${@:4}")
fi
exec "$here/launch.sh" "$gpus" "$here/det_train.py" "$config" "${rest[@]}"
