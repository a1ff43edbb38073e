"""`bsub`: checks a submission as LSF does, puts the job into the table, and says its id."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from horovod_lb.rehearsal import dependency, dispatcher
from horovod_lb.rehearsal.faults import answer
from horovod_lb.rehearsal.lsf import dependency as condition
from horovod_lb.rehearsal.lsf import grammar
from horovod_lb.rehearsal.options import OptionError, words
from horovod_lb.rehearsal.site import Queue, Site, here, read_site
from horovod_lb.rehearsal.table import HELD, OVER, PENDING, Element, Job, Policy, Table, remembered

# bkill: SIGINT, ten seconds later SIGTERM, then SIGKILL. At the run limit SIGUSR2, ten minutes later SIGKILL.
ON_KILL = (("INT", 0.0), ("TERM", 10 / 60), ("KILL", 20 / 60))
AT_LIMIT = (("USR2", 0.0), ("KILL", 10.0))

# What a login gives a job that takes nothing of its submitter's environment.
_ALWAYS = ("HOME", "USER", "PATH", "HLB_REHEARSAL")


class Refused(Exception):
    """The text of a refusal, without `Job not submitted.`."""


@dataclass(frozen=True)
class Submission:
    """Options in force, the command, and the script's text where the command is a script."""

    options: dict[str, Any]
    command: list[str]
    script: str | None


def main(arguments: Sequence[str]) -> int:
    """Exit status 0, or 255 where the job is refused."""
    folder = here()
    site = read_site(folder)
    if (status := answer(folder, "bsub")) is not None:
        return status
    table = Table(folder)
    try:
        submission = _read(arguments, site)
        with table.locked():
            job = _job(submission, site, table)
            _spool(table, job, submission)
            table.write(job)
    except OptionError as error:
        print(f"{_option_text(error)} Job not submitted.", file=sys.stderr)
        return 255
    except Refused as error:
        print(f"{error} Job not submitted.", file=sys.stderr)
        return 255
    dispatcher.wake(folder)
    if site.banner:
        print(site.banner)
    default = "" if "queue" in submission.options else "default "
    print(f"Job <{job.id}> is submitted to {default}queue <{job.queue}>.")
    return 0


def _option_text(error: OptionError) -> str:
    if error.kind == "unknown":
        return f"{error.option}: Illegal option."
    if error.kind == "missing":
        return f"Option {error.option} requires an argument."
    if error.kind == "twice":
        return f"Option {error.option} is given more than once."
    return f"Bad argument <{error.value}> for option {error.option}."


def _read(arguments: Sequence[str], site: Site) -> Submission:
    options, command = words(arguments, grammar.OPTIONS)
    if command:
        path = Path(command[0])
        script = None
        if site.submit == "file" and path.is_file():
            script = path.read_text(errors="replace")
            options = {**_directives(script), **options}
        return Submission(options, command, script)
    # A site that reads the directives of files does not read its input.
    script = "" if site.submit == "file" or sys.stdin.isatty() else sys.stdin.read()
    if not script.strip():
        raise Refused("No command is specified.")
    return Submission({**_directives(script), **options}, [], script)


def _directives(script: str) -> dict[str, Any]:
    try:
        found, rest = words(grammar.directives(script), grammar.OPTIONS)
    except OptionError:
        raise
    except ValueError as error:
        raise Refused(f"#BSUB: {error}.") from None
    if rest:
        raise Refused(f"#BSUB: {rest[0]}: not an option.")
    return found


def _job(submission: Submission, site: Site, table: Table) -> Job:
    options = submission.options
    queue = _queue(options, site)
    nodes, slots = _size(options, site)
    if nodes > site.nodes:
        raise Refused("Too many processors requested.")
    _check_time(options, queue, nodes)
    name = options.get("name") or grammar.Name(_command_name(submission), None, None, None)
    if name.indices and (len(name.indices) > site.array_size or max(name.indices) > site.array_size):
        raise Refused("Job array index too large.")
    indices = name.indices or (0,)
    jobs = remembered(table.jobs(), site.clean_minutes)
    after = _after(options.get("after"), jobs)
    _check_load(jobs, len(indices), site)
    state = HELD if options.get("held") else PENDING
    now = time.time()
    return Job(
        id=table.new_id(),
        name=name.name,
        user=pwd.getpwuid(os.geteuid()).pw_name,
        queue=queue.name,
        account=options.get("project", "default"),
        nodes=nodes,
        minutes=options.get("minutes"),
        minute=site.minute,
        command=submission.command,
        directory=str(Path(options.get("directory") or Path.cwd()).absolute()),
        output=options.get("output_new") or options.get("output"),
        error=options.get("error_new") or options.get("error"),
        submitted=now,
        policy=_policy(options),
        elements=[Element(index, state, eligible=now) for index in indices],
        array=name.spec,
        throttle=name.throttle,
        after=after,
        slots=slots,
        told={key: value for key, value in options.items() if key != "name"},
    )


def _policy(options: dict[str, Any]) -> Policy:
    warning = options.get("warning")
    return Policy(
        warning=(warning, float(options["warning_minutes"])) if warning else None,
        at_limit=AT_LIMIT,
        on_kill=ON_KILL,
        on_requeue=ON_KILL,
        requeue_codes=tuple(options.get("requeue_codes", ())),
        rerunnable=bool(options.get("rerunnable")) and not options.get("never_rerun"),
    )


def _queue(options: dict[str, Any], site: Site) -> Queue:
    if site.account_required and "project" not in options:
        raise Refused("Project must be specified with -P. Request aborted by esub.")
    name = options.get("queue", site.default_queue)
    if name not in site.queues:
        raise Refused(f"{name}: No such queue.")
    return site.queues[name]


def _size(options: dict[str, Any], site: Site) -> tuple[int, int]:
    """Nodes, and slots a node."""
    if site.easy_mode:
        if "nnodes" not in options:
            raise Refused("-nnodes must be specified. Request aborted by esub.")
        if {"slots", "span", "gpu"} & options.keys():
            raise Refused("-n, -R and -gpu are not allowed together with -nnodes.")
        return options["nnodes"], site.cores
    if {"nnodes", "alloc_flags"} & options.keys():
        raise OptionError("unknown", "-nnodes" if "nnodes" in options else "-alloc_flags")
    if options.get("gpu", 0) > site.gpus:
        raise Refused("No host has so many GPUs.")
    slots, a_host = options.get("slots", 1), options.get("span")
    if a_host == 0:
        a_host = slots
    a_host = min(slots, a_host or site.cores)
    if a_host > site.cores:
        raise Refused("Too many processors requested.")
    return -(-slots // a_host), a_host


def _check_time(options: dict[str, Any], queue: Queue, nodes: int) -> None:
    asked, limit = options.get("minutes"), queue.limit(nodes)
    if queue.walltimes and limit is None:
        raise Refused("Too many processors requested.")
    if limit is not None and asked is None:
        raise Refused("-W must be specified. Request aborted by esub.")
    if limit is not None and asked is not None and asked > limit:
        raise Refused("RUNLIMIT: Cannot exceed queue's hard limit(s).")
    if ("warning" in options) != ("warning_minutes" in options):
        raise Refused("-wa and -wt must be specified together.")
    if "warning" in options and (asked is None or options["warning_minutes"] >= asked):
        raise Refused("-wt must be less than the run limit.")


def _after(text: str | None, jobs: Sequence[Job]) -> Any:
    if text is None:
        return None
    try:
        found = condition.parse(text)
    except condition.ConditionError:
        raise Refused(f"{text}: Dependency condition syntax error.") from None
    known = {job.id: job for job in jobs}
    for _, job_id, index in dependency.conditions(found):
        if job_id not in known or (index is not None and known[job_id].element(index) is None):
            raise Refused(f"{job_id}: No matching job found.")
    return found


def _check_load(jobs: Sequence[Job], more: int, site: Site) -> None:
    queued = sum(element.state not in OVER for job in jobs for element in job.elements)
    if site.queued is not None and queued + more > site.queued:
        raise Refused(f"More than {site.queued} jobs in the queue. Request aborted by esub.")


def _command_name(submission: Submission) -> str:
    """Without -J a job's name is its command, or the whole script with its lines joined."""
    if submission.command:
        return shlex.join(submission.command)
    return ";".join((submission.script or "").splitlines())


def _spool(table: Table, job: Job, submission: Submission) -> None:
    folder = table.spool(job.id)
    folder.mkdir(parents=True, mode=0o700)
    if submission.script is not None:
        script = folder / "script"
        script.write_text(submission.script)
        script.chmod(0o700)
        shell = [] if submission.script.startswith("#!") else ["/bin/sh"]
        job.command = [*shell, str(script), *submission.command[1:]]
    (folder / "environment.json").write_text(json.dumps(_environment(submission.options.get("environment"))))


def _environment(asked: str | None) -> dict[str, str]:
    """The submitter's environment as far as `-env` lets it through."""
    everything = dict(os.environ)
    if asked is None:
        return everything
    parts = [part.strip() for part in asked.split(",")]
    passed = everything if "all" in parts else _ALWAYS
    found = {name: everything[name] for name in passed if name in everything}
    for part in parts:
        name, equals, value = part.partition("=")
        if equals:
            found[name] = value
        elif name.startswith("~"):
            found.pop(name[1:], None)
        elif name in everything:
            found[name] = everything[name]
    return found
