#!/usr/bin/env bash
# Run a training tool under torchrun: tools/launch.sh PROCESSES TOOL ARGUMENTS...
# The other scripts call this. NNODES, NODE_RANK, MASTER_ADDR and PORT are OpenMMLab's; MAX_RESTARTS (0) is how often all
# processes are started again, from the last checkpoint, after one has failed.
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
meeting=("--node_rank=${NODE_RANK:-0}" "--master_addr=${MASTER_ADDR:-127.0.0.1}" "--master_port=${PORT:-29500}")
if [ "${MAX_RESTARTS:-0}" != 0 ]; then
    meeting=("--max_restarts=$MAX_RESTARTS" --rdzv_backend=c10d "--rdzv_endpoint=${MASTER_ADDR:-127.0.0.1}:${PORT:-29500}")
    # Else processes that are started again may be given the addresses of those that have gone:
    # https://github.com/pytorch/pytorch/issues/135712
    export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
fi
"$python" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" "${meeting[@]}" --nproc_per_node="$processes" "$@" --launcher pytorch &
torchrun=$!

# torchrun takes a signal for a failure and gives its processes 30 s. So those get it from here, end by themselves once
# they have written a checkpoint, and torchrun ends with 0.
ask_to_stop() {
    local ranks=()
    read -r -a ranks </proc/"$torchrun"/task/"$torchrun"/children || true
    [ ${#ranks[@]} -eq 0 ] || kill -USR1 "${ranks[@]}" || true
}
trap ask_to_stop TERM USR1
trap 'kill -INT "$torchrun"' INT
while true; do
    if wait "$torchrun"; then exit 0; else code=$?; fi
    kill -0 "$torchrun" 2>/dev/null || exit "$code"  # else a signal has ended the wait
done
