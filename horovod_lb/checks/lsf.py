"""What LSF says of itself and of the queue."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from horovod_lb.checks.ask import ask
from horovod_lb.checks.finding import Finding, ok, problem, warning
from horovod_lb.machines import Machine

COMMANDS = ("bsub", "bjobs", "bkill")
SLOW = 5.0


def lsf_findings(machine: Machine) -> Iterator[Finding]:
    """Commands, the batch daemon, the queue, the account."""
    needed = (*COMMANDS, *(("jsrun",) if machine.launcher == "jsrun" else ()))
    missing = [name for name in needed if shutil.which(name) is None]
    # jsrun may be there in jobs only.
    if batch := [name for name in missing if name != "jsrun"]:
        yield problem(
            "LSF commands",
            f"not on PATH: {', '.join(batch)}",
            "use a login node of the machine, or load LSF's profile (`. profile.lsf`)",
        )
        return
    if missing:
        yield warning(
            "LSF commands", "jsrun is not on PATH", "fine on login nodes; `hlb preflight` looks in a job"
        )
    else:
        yield ok("LSF commands", ", ".join(needed))
    answer = ask(["bjobs"])
    # LSF gives exit statuses no firm meaning: "No unfinished job found" may come with any.
    said = f"{answer.stdout} {answer.stderr}"
    if answer.code is None or "daemon" in said.lower() or "LSF is down" in said:
        yield problem("LSF answers", answer.complaint, "LSF is down or unreachable: try later")
        return
    seen = f"bjobs in {answer.seconds:.1f} s"
    yield ok("LSF answers", seen) if answer.seconds < SLOW else warning("LSF answers", seen, "it is slow now")
    yield queue_finding(machine)
    if machine.account is None and machine.account_required:
        yield problem("account", "none", 'set account = "..." in the profile, or --account')
    else:
        yield ok("account", machine.account or "none")


def queue_finding(machine: Machine) -> Finding:
    """Whether the profile's queue exists and takes jobs."""
    answer = ask(["bqueues", "-w"])
    queues = parse_queues(answer.stdout)
    if not queues:
        return warning("queue", answer.complaint, "`bqueues` does not tell: set queue by the site's manual")
    listed = ", ".join(queues)
    if machine.queue is None:
        return ok("queue", f"the site's default; there are {listed}")
    if machine.queue not in queues:
        return problem("queue", f"there is no {machine.queue}", f"set queue to one of {listed}")
    if not queues[machine.queue].startswith("Open"):
        return problem(
            "queue", f"{machine.queue} is {queues[machine.queue]}", "wait, or choose another queue"
        )
    return ok("queue", f"{machine.queue}, {queues[machine.queue]}")


def parse_queues(text: str) -> dict[str, str]:
    """Names and states in the answer of `bqueues -w`; "" is the state where the columns are others."""
    lines = text.splitlines()
    if not lines or "QUEUE_NAME" not in lines[0]:
        return {}
    columns = lines[0].split()
    where = columns.index("STATUS") if "STATUS" in columns else None
    rows = [line.split() for line in lines[1:] if line.split()]
    return {row[0]: row[where] if where is not None and len(row) > where else "" for row in rows}
