#!/bin/bash
# Many manifests, each a run of its own on a node of its own:
#
#   sbatch --array=0-9 configs/slurm/array.sh tts /shared/manifests /shared/out --model /shared/model
#
# Task N runs the Nth file of the folder into /shared/out/FILE. Submit it with the environment active in which
# uniaudio2 is. A task that was stopped, by its time limit or for another job, goes on where it was when the
# same line is submitted again; what is done is done. Exit code 3, rows in the errors table, is shown as FAILED 3:0.
#SBATCH --job-name=uniaudio2
#SBATCH --nodes=1
#SBATCH --exclusive
#SBATCH --signal=B:TERM@60
#SBATCH --requeue
#SBATCH --open-mode=append
set -eu
task=$1 manifests=("$2"/*) output=$3
input=${manifests[$SLURM_ARRAY_TASK_ID]}
# the batch process alone gets the signal before the time is up, so the run takes its place
exec uniaudio2 run "$task" "$input" "$output/$(basename "$input")" "${@:4}"
