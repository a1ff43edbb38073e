"""All checks of a login node, in the order in which they are shown."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from horovod_lb.checks import software
from horovod_lb.checks.ask import ask
from horovod_lb.checks.finding import Finding, ok, problem, warning
from horovod_lb.checks.hosts import host_findings
from horovod_lb.checks.lsf import lsf_findings
from horovod_lb.checks.slurm import slurm_findings
from horovod_lb.errors import MachineError
from horovod_lb.machines import Machine, default_machine, load_machine
from horovod_lb.machines.host import facts


def examine(name: str | None, *, study: Path | None, runs: Path, import_seconds: float) -> Iterator[Finding]:
    """Findings one by one, as they are known. `name`: the machine profile, None for the default one.

    `runs` is the folder of all runs; importing TensorFlow in another process may take `import_seconds`.
    """
    yield from software.software_findings()
    yield from software.import_findings(import_seconds)
    machine: Machine | None = None
    try:
        name = name or default_machine()
        machine = load_machine(name, study=study) if name is not None else None
    except MachineError as error:
        yield problem("machine", "the profile cannot be used", str(error))
    else:
        yield machine_finding(machine)
    scheduler, launcher = (machine.scheduler, machine.launcher) if machine else ("none", "mpirun")
    if machine is not None and scheduler == "slurm":
        yield from slurm_findings(machine)
    elif machine is not None and scheduler == "lsf":
        yield from lsf_findings(machine)
    if machine is not None and machine.modules:
        yield modules_finding(machine)
    folders = {"runs": str(runs), "home": "~", "tmp": os.environ.get("TMPDIR") or "/tmp"}
    yield from host_findings(facts(folders), scheduler=scheduler, launcher=launcher)
    yield from quota_findings()


def machine_finding(machine: Machine | None) -> Finding:
    """Which profile is in force."""
    if machine is None:
        return warning(
            "machine",
            "no default",
            '`hlb machines` lists them; put machine = "NAME" into ~/.config/horovod_lb/config.toml',
        )
    what = f"{machine.name}: {machine.scheduler}, {machine.launcher}"
    return ok("machine", f"{what}, {machine.ranks_per_node} ranks a node")


def modules_finding(machine: Machine) -> Finding:
    """Whether the profile's modules can be loaded; the names reach the shell as arguments, never as code."""
    script = 'type module >/dev/null 2>&1 || exit 42; module load "$@" 2>&1; module list 2>&1'
    answer = ask(["bash", "-lc", script, "bash", *machine.modules])
    wanted = " ".join(machine.modules)
    if answer.code == 42:
        return problem(
            "modules", f"there is no `module` here for {wanted}", "remove modules from the profile"
        )
    if not answer.fine or re.search(r"error|unable to locate|unknown", answer.stdout, re.IGNORECASE):
        return problem(
            "modules", f"{wanted}: {answer.complaint}", "correct modules; `module avail` lists them"
        )
    return ok("modules", wanted)


def quota_findings() -> Iterator[Finding]:
    """What the site's `quota` says, where it has that command and says something."""
    answer = ask(["quota", "-w"])
    for name, used, limit in parse_quota(answer.stdout):
        if limit and used > limit:
            yield problem("quota", f"{name}: {used} of {limit} KiB", "remove what is not needed there")
        elif limit and used > 0.9 * limit:
            yield warning("quota", f"{name}: {used} of {limit} KiB", "make room soon")
        elif limit:
            yield ok("quota", f"{name}: {used} of {limit} KiB")


def parse_quota(text: str) -> list[tuple[str, int, int]]:
    """File system, used and allowed KiB (the soft limit, else the hard one) in the answer of `quota -w`."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 4 and all(word.rstrip("*").isdecimal() for word in words[1:4]):
            used, soft, hard = (int(word.rstrip("*")) for word in words[1:4])
            found.append((words[0], used, soft or hard))
    return found
