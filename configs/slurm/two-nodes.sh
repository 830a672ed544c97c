#!/bin/bash
# One run over several nodes: a Ray of this job's own, which ends with it.
#
#   sbatch configs/slurm/two-nodes.sh tts /shared/texts.txt /shared/out --model /shared/model
#
# What follows the script's name is what follows `uniaudio2 run`. Submit it with the environment active in which
# uniaudio2 is; INPUT, OUTPUT and the model are on a disk that the nodes share, or in a store.
#SBATCH --job-name=uniaudio2
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=2
#SBATCH --signal=B:TERM@60
#SBATCH --requeue
#SBATCH --open-mode=append
set -eu
on_node() { srun --overlap --nodes=1 --ntasks=1 --nodelist="$@"; }
nodes=($(scontrol show hostnames "$SLURM_JOB_NODELIST"))
# who has the token runs code as this user; the environment of this user's processes alone has it
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
address=$(on_node "${nodes[0]}" hostname -I | cut -d' ' -f1):$((20000 + SLURM_JOB_ID % 10000))
ray="--num-cpus=$SLURM_CPUS_PER_TASK --disable-usage-stats --block"

on_node "${nodes[0]}" ray start --head --port="${address##*:}" --include-dashboard=false $ray &
trap 'kill $(jobs -p) 2>/dev/null' EXIT
for _ in {1..30}; do ray status --address="$address" >/dev/null 2>&1 && break; sleep 1; done
for node in "${nodes[@]:1}"; do on_node "$node" ray start --address="$address" $ray & done
# the run shares out what is there when it begins
for _ in {1..60}; do
    [ "$(ray status --address="$address" 2>/dev/null | grep -c ' node_')" -ge ${#nodes[@]} ] && break; sleep 1
done

# the signal before the time is up comes to this script alone: it is handed on, and the run hands over
uniaudio2 run "$@" --address "$address" & driver=$!
trap 'kill -TERM $driver' TERM
code=0; wait $driver || code=$?
while kill -0 $driver 2>/dev/null; do code=0; wait $driver || code=$?; done
exit $code
