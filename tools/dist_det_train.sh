#!/usr/bin/env bash
# Fine-tune a detector on several GPUs from an exported backbone:
#
#   tools/dist_det_train.sh CONFIG BACKBONE GPUS [flags of tools/det_train.py]
#
# Several machines: run it on each, with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail
[ $# -ge 3 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
config=$1 backbone=$2 gpus=$3
shift 3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$here/launch.sh" "$gpus" "$here/det_train.py" "$config" "$backbone" "$@"
