#!/usr/bin/env bash
# Pre-train on several GPUs, or on as many CPU processes where there is none:
#
#   tools/dist_train.sh CONFIG GPUS [flags of tools/train.py]
#
# Several machines: run it on each, with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
config=$1 gpus=$2
shift 2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$here/launch.sh" "$gpus" "$here/train.py" "$config" "$@"
