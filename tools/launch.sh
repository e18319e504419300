#!/usr/bin/env bash
# Run a training tool under torchrun: tools/launch.sh PROCESSES TOOL ARGUMENTS...
# The other scripts call this. NNODES, NODE_RANK, MASTER_ADDR and PORT are OpenMMLab's; on one machine the processes meet
# at a free port unless PORT names one. MAX_RESTARTS (0) is how often all processes are started again, from the last
# checkpoint, after one has failed.
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
cores=$("$python" -c 'import os; print(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())')
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores / processes > 0 ? cores / processes : 1))}

# NCCL's monitor ends a rank whose CUDA calls hang, and names nobody: after detco_mm.Watchdog, and not after its 480 s.
export TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC=${TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC:-2400}

nodes=${NNODES:-1} port=${PORT:-}
if [ "$nodes" = 1 ] && [ -z "$port" ]; then
    meeting=(--standalone --local_addr=127.0.0.1)
else
    if [ "$nodes" != 1 ] && [ -z "${MASTER_ADDR:-}" ]; then
        echo "NNODES=$nodes without MASTER_ADDR: on every machine, set it to the address of the first one (NODE_RANK=0)" >&2
        exit 2
    fi
    port=${port:-29500} # PyTorch's default, the same on every machine
    [ "${NODE_RANK:-0}" != 0 ] || "$python" "$here/_port.py" "$port" || exit 2
    meeting=("--node_rank=${NODE_RANK:-0}" "--master_addr=${MASTER_ADDR:-127.0.0.1}" "--master_port=$port")
fi
if [ "${MAX_RESTARTS:-0}" != 0 ]; then
    # is_host: torchrun would ask for the address of this machine's name, which not every network knows.
    [ -z "$port" ] || meeting=(--rdzv_backend=c10d "--rdzv_endpoint=${MASTER_ADDR:-127.0.0.1}:$port"
        "--rdzv_conf=is_host=$([ "${NODE_RANK:-0}" = 0 ] && echo 1 || echo 0)")
    meeting+=("--max_restarts=$MAX_RESTARTS")
    # Else processes that are started again may be given the addresses of those that have gone:
    # https://github.com/pytorch/pytorch/issues/135712
    export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
fi
"$python" -m torch.distributed.run \
    --nnodes="$nodes" "${meeting[@]}" --nproc_per_node="$processes" "$@" --launcher pytorch &
torchrun=$!

# torchrun takes a signal for a failure and gives its processes 30 s. So those get it from here, end by themselves once
# they have written a checkpoint, and torchrun ends with 0. Where there is neither /proc nor ps, torchrun ends them.
children() {
    cat /proc/"$1"/task/"$1"/children 2>/dev/null || ps -A -o pid= -o ppid= | awk -v parent="$1" '$2 == parent { print $1 }'
}
ask_to_stop() {
    local ranks
    # shellcheck disable=SC2207  # numbers
    ranks=($(children "$torchrun" || true))
    if [ ${#ranks[@]} -gt 0 ]; then kill -USR1 "${ranks[@]}" || true; else kill -TERM "$torchrun" || true; fi
}
trap ask_to_stop TERM USR1
trap 'kill -INT "$torchrun"' INT
while true; do
    if wait "$torchrun"; then exit 0; else code=$?; fi
    kill -0 "$torchrun" 2>/dev/null || exit "$code"  # else a signal has ended the wait
done
