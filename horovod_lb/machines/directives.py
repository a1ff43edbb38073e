"""Extra directives of a profile: which would contradict what every job script says of itself."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

# What a job script sets itself, each with the key or option that changes it.
_OWN = {
    "slurm": {
        ("--job-name", "-J"): "it is how jobs are found again",
        ("--output", "-o", "--error", "-e", "--open-mode"): "logs are appended in the submission's folder",
        ("--nodes", "-N", "--ntasks", "-n", "--ntasks-per-node"): "it follows from ranks_per_node",
        ("--gpus", "-G", "--gpus-per-node", "--gpus-per-task"): "it follows from gpus_per_node",
        ("--cpus-per-task", "-c"): "use cores_per_rank",
        ("--time", "-t"): "use the study's resources.walltime, or --walltime",
        ("--account", "-A"): "use account",
        ("--partition", "-p"): "use queue",
        ("--array", "-a"): "use limits.array_size",
        ("--dependency", "-d"): "use dependency",
        ("--signal",): "use signal and grace_minutes",
        ("--requeue", "--no-requeue"): "use resume",
    },
    "lsf": {
        ("-J",): "it is how jobs are found again",
        ("-o", "-oo", "-e", "-eo"): "logs are appended in the submission's folder",
        ("-nnodes", "-n"): "it follows from ranks_per_node",
        ("-W", "-We"): "use the study's resources.walltime, or --walltime",
        ("-P", "-G"): "use account",
        ("-q",): "use queue",
        ("-w",): "use dependency",
        ("-wa", "-wt"): "use signal and grace_minutes",
        ("-Q", "-r", "-rn"): "use resume and requeue_exit_code",
    },
}


def problem(scheduler: str, launcher: str, directives: Sequence[str]) -> str | None:
    """Why these directives (written without `#SBATCH` or `#BSUB`) will not do; None if they will."""
    if directives and scheduler == "none":
        return "without a scheduler there is nobody to read directives"
    options = []
    for directive in directives:
        try:
            words = shlex.split(directive)
        except ValueError as error:
            return f"{directive!r} cannot be cut into words: {str(error).lower()}"
        if not words or not words[0].startswith("-") or words[0].strip("-") == "":
            return (
                f"{directive!r} is no option; write it without #SBATCH or #BSUB, as in {_example(scheduler)}"
            )
        # A line may hold several options.
        for option in (word.partition("=")[0] for word in words if word.startswith("-")):
            for names, instead in _OWN[scheduler].items():
                if option in names or (scheduler == "slurm" and _short(option) in names):
                    return f"{directive!r}: every job script sets {names[0]} itself; {instead}"
            options.append(option)
    if options.count("-alloc_flags") > 1:
        return 'only one -alloc_flags line counts; write its flags together, as in -alloc_flags "gpumps smt1"'
    if "-R" in options and launcher == "jsrun" and "-csm" not in options:
        return "-R is refused beside -nnodes, which every script with jsrun has, unless -csm y is there too"
    return None


def _example(scheduler: str) -> str:
    return "--constraint=gpu" if scheduler == "slurm" else '-alloc_flags "smt4"'


def _short(option: str) -> str:
    """`-N` of `-N4`: Slurm's short options may have their value joined on."""
    return option[:2] if not option.startswith("--") else option
