#!/bin/bash
# demo-3fa9c1-0: 4 ranks a run, 1 node, machine local
# Written by hlb for this one submission; docs/job-scripts.md explains it, and how to change its template.

folder=/scratch/runs/demo/submissions/20250102-030405-3fa9c1
job=local-$$

# A signal only leaves a note, so that none is lost: the task sees the file, the ranks agree on a step, save
# their state and leave. USR2 is the warning that time is up; INT and TERM mean that somebody ends the job.
stop=$folder/$job.stop
rm -f "$stop"
warned="" ended="" interrupted=1
trap 'touch "$stop"; warned=1 interrupted=1' USR2
trap 'touch "$stop"; ended=1 interrupted=1' INT TERM

# What the ranks find in their environment.
export PATH=/opt/venv/bin:"$PATH"
export PYTHONUNBUFFERED=1
export OMP_NUM_THREADS=2
export TF_NUM_INTRAOP_THREADS=2
export TF_NUM_INTEROP_THREADS=2
export OMPI_MCA_coll_tuned_priority=100
export OMPI_MCA_coll_tuned_use_dynamic_rules=1
export OMPI_MCA_coll_tuned_allreduce_algorithm=4
export NCCL_ALGO=Ring
export HLB_ALLREDUCE=ring
export HLB_MACHINE=local
export HLB_GPUS=all
export HLB_RANKS_PER_NODE=4
# mpirun passes on the variables that it is told to, and they must be there.
export LD_LIBRARY_PATH="${LD_LIBRARY_PATH-}" PYTHONPATH="${PYTHONPATH-}" HLB_DATA="${HLB_DATA-}"

# The task works through its runs; each is a step of the launcher, with all of its ranks.
launcher=(
    mpirun -n 4 --bind-to none --map-by slot:OVERSUBSCRIBE -x PYTHONUNBUFFERED -x OMP_NUM_THREADS -x TF_NUM_INTRAOP_THREADS
    -x TF_NUM_INTEROP_THREADS -x OMPI_MCA_coll_tuned_priority -x OMPI_MCA_coll_tuned_use_dynamic_rules
    -x OMPI_MCA_coll_tuned_allreduce_algorithm -x NCCL_ALGO -x HLB_ALLREDUCE -x HLB_MACHINE -x HLB_GPUS
    -x HLB_RANKS_PER_NODE -x PATH -x LD_LIBRARY_PATH -x PYTHONPATH -x HLB_DATA
)
task=(
    /opt/venv/bin/python -m horovod_lb.batch.task
    --runs "$folder"/0.txt --pack 1
    --side-by-side 1 --ranks 4 --stop "$stop"
    -- "${launcher[@]}"
)
(
    trap '' USR2 # schedulers may signal every process of a job
    exec "${task[@]}"
) &
# A signal cuts `wait` short while the task goes on: then it waits again.
while ((interrupted)); do
    interrupted=0
    wait $!
    status=$?
done
rm -f "$stop"

# 0: every run has its result. 1: some failed. 85: some were stopped, and go on from their checkpoints.
if ((status == 85)); then
    if [[ $ended ]]; then
        echo "the job was told to end; hlb submit goes on with its runs"
    elif [[ ! $warned ]] && ((SECONDS < 60)); then
        echo "the runs stopped at once, and not for lack of time; hlb submit goes on with them"
    else
        echo "the runs go on with hlb submit"
    fi
fi
exit "$status"
