#!/usr/bin/env bash
# Pre-train on a Slurm cluster:
#
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [flags of tools/train.py]
#
# GPUS (8), GPUS_PER_NODE (8), CPUS_PER_TASK (5) and SRUN_ARGS are OpenMMLab's. Two minutes before its time is up (NOTICE,
# 120 s) the run writes a checkpoint, and goes on from there in a new allocation; under sbatch, with
#
#   sbatch --requeue --signal=USR1@120 [options] tools/slurm_train.sh ...
#
# the job is queued again. A job that is cancelled leaves a checkpoint as well, and is not started again.
set -euo pipefail
[ $# -ge 4 ] || { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }
partition=$1 job=$2 config=$3 work_dir=$4
shift 4
gpus=${GPUS:-8}
gpus_per_node=${GPUS_PER_NODE:-8}
# sbatch runs a copy of this script: the tools lie where it was submitted from.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ -e "$here/train.py" ] || here=${SLURM_SUBMIT_DIR:?}/tools
python=${PYTHON:-$([ -x "$here/../.venv/bin/python" ] && echo "$here/../.venv/bin/python" || echo python)}
# Two jobs that share a node do not meet at one port; all ranks of a job are told the same.
export MASTER_PORT=${MASTER_PORT:-${PORT:-$((20000 + RANDOM % 12768))}} # below the ports that Linux gives away, 32768
# NCCL's monitor ends a rank whose CUDA calls hang, and names nobody: after detco_mm.Watchdog, and not after its 480 s.
export TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC=${TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC:-2400}
read -r -a srun_args <<<"${SRUN_ARGS:-}"

resume=()
[ "${SLURM_RESTART_COUNT:-0}" -eq 0 ] || resume=(--resume)
while true; do
    srun -p "$partition" --job-name="$job" --gres="gpu:$gpus_per_node" --ntasks="$gpus" \
        --ntasks-per-node="$gpus_per_node" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 \
        --signal="USR1@${NOTICE:-120}" "${srun_args[@]}" \
        "$python" -u "$here/train.py" "$config" --work-dir="$work_dir" --launcher slurm "$@" "${resume[@]}"
    grep -qs '^SIGUSR1 ' "$work_dir/stopped_by_signal" || exit 0
    [ -z "${SLURM_JOB_ID:-}" ] || exec scontrol requeue "$SLURM_JOB_ID"
    resume=(--resume)
done
