"""`srun` inside a batch job: checks what it asks for, and starts some of the ranks for real."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from horovod_lb.rehearsal import ranks
from horovod_lb.rehearsal.options import OptionError, getopt
from horovod_lb.rehearsal.site import Site, here, read_site
from horovod_lb.rehearsal.slurm.grammar import SRUN, gpus_per_node
from horovod_lb.rehearsal.steps import Share, Steps, name
from horovod_lb.rehearsal.table import RUNNING, Element, Job, Table

_MPI_TYPES = ("pmix", "none", "cray_shasta", "pmi2")


def main(arguments: Sequence[str]) -> int:
    """The step's exit status; 1 where srun itself refuses."""
    if "--mpi=list" in arguments:
        print("MPI plugin types are...\n" + "\n".join(f"\t{kind}" for kind in _MPI_TYPES))
        return 0
    try:
        options, command = getopt(arguments, SRUN)
        if not command:
            raise OptionError("missing", "the program to execute")
        if options.get("mpi", "none").split("_v")[0] not in _MPI_TYPES:
            raise OptionError("bad", "--mpi", options["mpi"])
    except OptionError as error:
        print(f"srun: unrecognized option or value: {error}", file=sys.stderr)
        return 1
    found = allocation()
    if found is None:
        print("srun: error: the stand-in starts steps of batch jobs only", file=sys.stderr)
        return 1
    return _step(options, command, read_site(here()), *found)


def allocation() -> tuple[Job, Element] | None:
    """The running job that this process belongs to."""
    job_id, _, index = os.environ.get("HLB_REHEARSAL_JOB", "").partition(".")
    if not (job_id.isdecimal() and index.isdecimal() and os.environ.get("SLURM_JOB_ID")):
        return None
    job = Table(here()).job(int(job_id))
    element = job.element(int(index)) if job else None
    if job is None or element is None or element.state != RUNNING:
        return None
    return job, element


def _step(options: dict[str, Any], command: Sequence[str], site: Site, job: Job, element: Element) -> int:
    nodes = options.get("nodes", job.nodes)
    per_node = options.get("tasks_per_node")
    tasks = options.get("tasks") or nodes * (per_node or job.told.get("tasks_per_node", 1))
    per_node = per_node or -(-tasks // nodes)
    # A step does not take over --cpus-per-task from its job everywhere (22.05): one core, if it says nothing.
    cores = options.get("cores", 1)
    gpus = gpus_per_node(options, per_node)
    share = Share(nodes, cores * per_node, gpus, 1)
    allowed = gpus_per_node(job.told, job.told.get("tasks_per_node", 1))
    steps = Steps(here(), name(job, element.index), element.hosts, cores=site.cores, gpus=allowed)
    if tasks > nodes * per_node or nodes > job.nodes or not steps.fits(share):
        print(
            "srun: error: Unable to create step for job: More processors requested than permitted",
            file=sys.stderr,
        )
        return 1
    return ranks.start(
        command,
        asked=tasks,
        kind="slurm",
        site=site,
        steps=steps,
        share=share,
        per_host=per_node,
        visible=_visible(options, per_node, gpus, allowed),
    )


def _visible(options: dict[str, Any], per_node: int, gpus: int, allowed: int) -> list[str]:
    """CUDA_VISIBLE_DEVICES by local rank: one GPU each with --gpus-per-task, else all of the step's."""
    one_each = options.get("gpus_per_task", 0)
    if one_each and options.get("gpu_bind") != "none":
        return [
            ranks.devices(range(first, first + one_each))[0]
            for first in range(0, one_each * per_node, one_each)
        ]
    return ranks.devices(range(gpus or allowed)) if gpus or allowed else []
