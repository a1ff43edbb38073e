"""Puts the stand-ins into a folder, with the machine that they play."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from horovod_lb.machines import Machine
from horovod_lb.machines.profile import minutes
from horovod_lb.rehearsal.command import MODULES
from horovod_lb.rehearsal.site import FOLDER_VARIABLE, Queue, Site

COMMANDS = {
    "lsf": ("bsub", "bjobs", "bkill", "brequeue", "bpeek"),
    "slurm": ("sbatch", "squeue", "sacct", "scancel", "scontrol", "srun"),
}
# What a cluster without a number of nodes in its profile has.
_NODES = 10_000

_BINS = ((1, 45, 120), (46, 91, 360), (92, 921, 720), (922, 4608, 1440))
# Summit as OLCF's user guide describes it, whatever our own profile says.
SUMMIT = Site(
    system="lsf",
    name="summit",
    nodes=4608,
    cores=42,
    gpus=6,
    queues={
        "batch": Queue("batch", _BINS),
        "batch-hm": Queue("batch-hm", _BINS),
        "killable": Queue("killable", ((1, 91, 1440), (92, 921, 720), (922, 4608, 1440))),
        "debug": Queue("debug", ((1, 4608, 120),)),
    },
    prefix="node",
    launch="batch1",
    easy_mode=True,
    account_required=True,
    submit="file",
    array_size=1000,
    queued=100,
)


def install(folder: Path, site: Site) -> Path:
    """Makes `folder` the place of the stand-ins for `site`; returns its `bin/`, to be first on PATH."""
    folder = folder.absolute()
    commands = folder / "bin"
    for path in (commands, folder / "jobs", folder / "steps"):
        path.mkdir(parents=True, exist_ok=True)
    site.write(folder)
    launchers = ("jsrun",) if site.easy_mode else ("mpirun",)
    for name in (*COMMANDS[site.system], *launchers):
        assert name in MODULES
        _executable(commands / name, _start(folder, name))
    # A job puts its interpreter's folder first on PATH, and there must be the played mpirun.
    _executable(commands / "python", f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    return commands


def environment(folder: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """`environ` with the stand-ins first on PATH, as on a login node of the site."""
    found = {name: value for name, value in environ.items() if name != "TMPDIR"}
    found["PATH"] = f"{folder.absolute() / 'bin'}{os.pathsep}{environ.get('PATH', os.defpath)}"
    found[FOLDER_VARIABLE] = str(folder.absolute())
    return found


def site_of(machine: Machine) -> Site:
    """The site that a profile describes; Summit as it was, whatever a profile of that name says."""
    if machine.name == "summit":
        return SUMMIT
    if machine.scheduler == "none":
        raise ValueError(f"{machine.name} has no scheduler")
    bins = tuple((bin.nodes[0], bin.nodes[1], minutes(bin.limit)) for bin in machine.walltimes)
    queue = machine.queue or ("normal" if machine.scheduler == "lsf" else "batch")
    site = Site(
        system=machine.scheduler,
        name=machine.name,
        nodes=machine.nodes or _NODES,
        cores=machine.cores_per_node,
        gpus=machine.gpus_per_node,
        queues={queue: Queue(queue, bins)},
        account_required=machine.account_required,
        submit=machine.submit,
        array_size=machine.limits.array_size or 1000,
        queued=machine.limits.queued,
    )
    if machine.launcher == "jsrun":
        site = replace(site, easy_mode=True, launch="batch1")
    return site


def _start(folder: Path, name: str) -> str:
    command = Path(__file__).with_name("command.py")
    words = shlex.join([sys.executable, "-E", "-S", str(command), name])
    place = f"{FOLDER_VARIABLE}={shlex.quote(str(folder))}"
    return f'#!/bin/sh\n{place}\nexport {FOLDER_VARIABLE}\nexec {words} "$@"\n'


def _executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
