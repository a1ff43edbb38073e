"""`jsrun`: checks resource sets as Summit's does, and starts some of the ranks for real."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from horovod_lb.rehearsal import ranks
from horovod_lb.rehearsal.options import Option, OptionError, count, getopt, one_of, text, whole
from horovod_lb.rehearsal.site import Site, here, read_site
from horovod_lb.rehearsal.steps import Share, Steps, name
from horovod_lb.rehearsal.table import RUNNING, Element, Job, Table

_OUTSIDE = (
    "Error: It is only possible to use js commands within a job allocation unless CSM is running\n"
    "Error initializing RM connection. Exiting."
)
_TMPDIR = (
    "Error: Remote JSM server is not responding on host {host}\nError initializing RM connection. Exiting."
)
_ROOM = "ERROR: Not enough resources available to schedule job."


def _bind(value: str) -> str:
    if value not in ("none", "rs") and not re.fullmatch(r"(proportional-)?packed:[1-9]\d*", value):
        raise ValueError
    return value


def _latency(value: str) -> str:
    # Upper case asks for a guarantee in the manual, and does something else in fact.
    if not all(re.fullmatch(r"(gpu|cpu)-(gpu|cpu|mem)|memory-memory", part) for part in value.split(",")):
        raise ValueError
    return value


def _distribution(value: str) -> str:
    if value not in ("packed", "cyclic") and not re.fullmatch(r"plane:[1-9]\d*", value):
        raise ValueError
    return value


def _smpiargs(value: str) -> str:
    words = value.split()
    if {"-gpu", "-disable_gpu_hooks"} <= set(words) or not all(word.startswith("-") for word in words):
        raise ValueError
    return value


def _sets(value: str) -> int:
    return 0 if value == "ALL_HOSTS" else count(value)


_BOTH = {
    ("-n", "--nrs"): Option("sets", _sets),
    ("-r", "--rs_per_host"): Option("per_host", count),
    ("-a", "--tasks_per_rs"): Option("tasks", count),
    ("-p", "--np"): Option("np", count),
    ("-c", "--cpu_per_rs"): Option("cores", count),
    ("-g", "--gpu_per_rs"): Option("gpus", whole),
    ("-b", "--bind"): Option("bind", _bind),
    ("-d", "--launch_distribution"): Option("distribution", _distribution),
    ("-l", "--latency_priority"): Option("latency", _latency),
    ("-M", "--smpiargs"): Option("smpiargs", _smpiargs),
    ("-o", "--stdio_stdout"): Option("stdout", text),
    ("-k", "--stdio_stderr"): Option("stderr", text),
    ("-e", "--stdio_mode"): Option("mode", one_of("individual", "collected", "prepended")),
    ("-i", "--immediate"): Option("immediate"),
    ("-E", "--env"): Option("env", text),
    ("-X", "--exit_on_error"): Option("exit_on_error", one_of("0", "1")),
    ("-h", "--chdir"): Option("chdir", text),
}
_OPTIONS = {word: option for pair, option in _BOTH.items() for word in pair}


def main(arguments: Sequence[str]) -> int:
    """The step's exit status; 1 where jsrun itself refuses."""
    try:
        options, command = getopt(arguments, _OPTIONS)
        if not command:
            raise OptionError("missing", "executable")
        if "np" in options and "sets" in options:
            raise OptionError("bad", "-p", "with -n")
    except OptionError as error:
        what = {"unknown": "unrecognized option", "missing": "missing argument", "bad": "invalid value"}
        print(f"jsrun: {what.get(error.kind, error.kind)} '{error.option}' {error.value}", file=sys.stderr)
        return 1
    found = allocation()
    if found is None:
        print(_OUTSIDE, file=sys.stderr)
        return 1
    site = read_site(here())
    if "TMPDIR" in os.environ:
        print(_TMPDIR.format(host=site.launch), file=sys.stderr)
        return 1
    return _step(options, command, site, *found)


def allocation() -> tuple[Job, Element] | None:
    """The running job that this process belongs to, by LSF's variables."""
    job_id, index = os.environ.get("LSB_JOBID", ""), os.environ.get("LSB_JOBINDEX", "")
    if not (job_id.isdecimal() and index.isdecimal() and "HLB_REHEARSAL" in os.environ):
        return None
    job = Table(here()).job(int(job_id))
    element = job.element(int(index)) if job else None
    if job is None or element is None or element.state != RUNNING:
        return None
    return job, element


def _step(options: dict[str, Any], command: Sequence[str], site: Site, job: Job, element: Element) -> int:
    share = _share(options, site, len(element.hosts))
    tasks = options.get("tasks", 1)
    steps = Steps(here(), name(job, element.index), element.hosts, cores=site.cores, gpus=site.gpus)
    if share is None or not steps.fits(share):
        print(_ROOM, file=sys.stderr)
        return 1
    packed = re.search(r"packed:(\d+)", options.get("bind", "packed:1"))
    if packed is not None and tasks * int(packed[1]) > share.cores:
        print(
            f"jsrun: {tasks} tasks of {packed[1]} cores do not fit into {share.cores} cores", file=sys.stderr
        )
        return 1
    _redirect(options)
    if "chdir" in options:
        os.chdir(options["chdir"])
    # Each resource set is a world of its own: its GPUs count from 0.
    visible = ranks.devices(range(share.gpus)) if share.gpus else []
    if site.backend == "slurm":
        from horovod_lb.rehearsal.lsf.on_slurm import srun

        return srun(command, asked=share.sets * tasks, nodes=len(element.hosts), site=site, visible=visible)
    return ranks.start(
        command,
        asked=share.sets * tasks,
        kind="jsm",
        site=site,
        steps=steps,
        share=share,
        per_host=share.per_host * tasks,
        visible=visible,
    )


def _share(options: dict[str, Any], site: Site, nodes: int) -> Share | None:
    """Resource sets of the step; None where they can never fit on a node."""
    cores, gpus = options.get("cores", 1), options.get("gpus", 0)
    fit = site.cores // cores
    if gpus:
        fit = min(fit, site.gpus // gpus)
    per_host = options.get("per_host", fit)
    if not fit or per_host > fit:
        return None
    sets = options.get("sets", options.get("np", 0)) or per_host * nodes
    return Share(sets, cores, gpus, per_host)


def _redirect(options: dict[str, Any]) -> None:
    """`-o` and `-k`; with `--immediate` alone the output is lost."""
    sys.stdout.flush()
    sys.stderr.flush()
    for key, descriptor in (("stdout", 1), ("stderr", 2)):
        path = options.get(key, os.devnull if options.get("immediate") else None)
        if path is not None:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            os.dup2(file, descriptor)
            os.close(file)
