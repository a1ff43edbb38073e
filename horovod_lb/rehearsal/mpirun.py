"""`mpirun` inside a job: checks hosts and slots against the allocation, and starts some ranks for real."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from horovod_lb.rehearsal import ranks
from horovod_lb.rehearsal.options import Option, OptionError, count, text
from horovod_lb.rehearsal.site import here, read_site
from horovod_lb.rehearsal.steps import Share, Steps, name
from horovod_lb.rehearsal.table import Element, Job

# Open MPI 5's mpirun takes long options with one dash or two.
_VALUES = {
    "-n": Option("ranks", count),
    "-np": Option("ranks", count),
    "--host": Option("hosts", text),
    "-H": Option("hosts", text),
    "--bind-to": Option("bind", text),
    "--map-by": Option("map", text),
    "-x": Option("export", text),
    "--prtemca": Option("mca", text),
    "--mca": Option("mca", text),
}
_FLAGS = ("--allow-run-as-root", "--oversubscribe", "--display-map", "--tag-output")


def main(arguments: Sequence[str]) -> int:
    """The step's exit status; 1 where mpirun itself refuses; outside of a job it is the real one."""
    allocation = _allocation()
    if allocation is None:
        program = ranks.find_mpirun()
        os.execv(program, [program, *arguments])
    job, element = allocation
    try:
        asked, hosts, command = _read(arguments)
    except OptionError as error:
        print(f"mpirun: unrecognized option or value: {error}", file=sys.stderr)
        return 1
    site = read_site(here())
    given = set(element.hosts) if hosts is None else set(hosts)
    if not given <= set(element.hosts):
        print(
            f"mpirun: not in the allocation: {', '.join(sorted(given - set(element.hosts)))}", file=sys.stderr
        )
        return 1
    slots = sum((hosts or dict.fromkeys(element.hosts, site.cores)).values())
    if asked > slots:
        print(
            f"There are not enough slots available in the system to satisfy the {asked} slots",
            file=sys.stderr,
        )
        return 1
    per_host = max((hosts or {"": -(-asked // len(element.hosts))}).values())
    chosen = [host for host in element.hosts if host in given]
    steps = Steps(here(), name(job, element.index), chosen, cores=max(site.cores, per_host), gpus=site.gpus)
    return ranks.start(
        command,
        asked=asked,
        kind="mpi",
        site=site,
        steps=steps,
        share=Share(asked, 1, 0, per_host),
        per_host=per_host,
        visible=(),
    )


def _allocation() -> tuple[Job, Element] | None:
    if read_site(here()).system == "slurm":
        from horovod_lb.rehearsal.slurm.srun import allocation
    else:
        from horovod_lb.rehearsal.lsf.jsrun import allocation
    return allocation()


def _read(arguments: Sequence[str]) -> tuple[int, dict[str, int] | None, list[str]]:
    """Ranks, slots by host, and the command."""
    found: dict[str, str | int] = {}
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word in _FLAGS:
            continue
        option = _VALUES.get(word)
        if option is None or option.check is None or not rest:
            raise OptionError("unknown", word)
        if option.key == "mca":
            rest.pop(0)
        try:
            found[option.key] = option.check(rest.pop(0))
        except (ValueError, IndexError):
            raise OptionError("bad", word) from None
    if "ranks" not in found or not rest:
        raise OptionError("missing", "-n or the program")
    return int(found["ranks"]), _hosts(str(found["hosts"])) if "hosts" in found else None, rest


def _hosts(value: str) -> dict[str, int]:
    slots: dict[str, int] = {}
    for part in value.split(","):
        host, _, number = part.partition(":")
        if number and not number.isdecimal():
            raise OptionError("bad", "--host", part)
        slots[host] = slots.get(host, 0) + int(number or 1)
    return slots
