#!/usr/bin/env bash
# Pre-train on several GPUs, or on as many CPU processes where there is none; or fine-tune from BACKBONE:
#
#   tools/dist_train.sh CONFIG GPUS [BACKBONE] [flags of tools/train.py]
#
# CONFIG may be of MMSelfSup, MMDetection, MMSegmentation or MMClassification.
# Several machines: run it on each, with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$here/launch.sh" "$2" "$here/train.py" "$1" "${@:3}"
