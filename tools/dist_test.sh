#!/usr/bin/env bash
# Evaluate checkpoints of a detector, a segmenter or a classifier on several GPUs:
#
#   tools/dist_test.sh CONFIG GPUS CHECKPOINT [CHECKPOINT ...] [flags of tools/test.py]
#
# OpenMMLab's order, CONFIG CHECKPOINT GPUS, works as well.
# Several machines: run it on each, with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail
[ $# -ge 3 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
config=$1 gpus=$2 rest=("${@:3}")
if [[ $gpus == *[!0-9]* && $3 =~ ^[0-9]+$ ]]; then
    gpus=$3 rest=("$2" "${@:4}")
fi
exec "$here/launch.sh" "$gpus" "$here/test.py" "$config" "${rest[@]}"
