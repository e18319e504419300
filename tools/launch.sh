#!/usr/bin/env bash
# Run a training tool under torchrun: tools/launch.sh PROCESSES TOOL ARGUMENTS...
# The other scripts call this. NNODES, NODE_RANK, MASTER_ADDR and PORT are OpenMMLab's.
set -euo pipefail
processes=$1
shift
case $processes in
    '' | *[!0-9]* | 0) echo "GPUS=\"$processes\": give the number of processes on this machine, 1 or more" >&2; exit 2 ;;
esac
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# The project's own environment where there is one, else the one that is active.
python=${PYTHON:-$([ -x "$here/../.venv/bin/python" ] && echo "$here/../.venv/bin/python" || echo python)}
# On CPU processes must share the cores; on GPUs this only bounds the threads of the data pipeline.
cores=$(nproc)
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores / processes > 0 ? cores / processes : 1))}
exec "$python" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    --nproc_per_node="$processes" "$@" --launcher pytorch
