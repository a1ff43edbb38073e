"""`sbatch`: checks a submission, puts the job into the table, and says its id."""

from __future__ import annotations

import json
import os
import pwd
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from horovod_lb.rehearsal import dispatcher
from horovod_lb.rehearsal.faults import answer
from horovod_lb.rehearsal.options import OptionError, getopt
from horovod_lb.rehearsal.site import Site, here, read_site
from horovod_lb.rehearsal.slurm import grammar
from horovod_lb.rehearsal.table import HELD, OVER, PENDING, Element, Job, Policy, Table, remembered

# KillWait, 30 seconds by default, lies between the two signals; after a requeue the credential's life, 120.
ON_KILL = (("TERM", 0.0), ("KILL", 0.5))
REQUEUE_MINUTES = 2.0


class Refused(Exception):
    """The lines after `sbatch: error: `."""


def main(arguments: Sequence[str]) -> int:
    """Exit status 0, or 1 where the job is refused."""
    folder = here()
    if (status := answer(folder, "sbatch")) is not None:
        return 1 if status else 0
    site = read_site(folder)
    table = Table(folder)
    try:
        options, script, rest = _read(arguments)
        with table.locked():
            job = _job(options, site, table)
            if options.get("test_only"):
                print(f"sbatch: Job {job.id} to start at once", file=sys.stderr)
                return 0
            _spool(table, job, script, rest)
            table.write(job)
    except OptionError as error:
        words = {"unknown": "unrecognized option", "missing": "option requires an argument --"}
        print(
            f"sbatch: {words.get(error.kind, 'invalid value for')} '{error.option}' {error.value}",
            file=sys.stderr,
        )
        return 1
    except Refused as error:
        for line in str(error).splitlines():
            print(f"sbatch: error: {line}", file=sys.stderr)
        return 1
    dispatcher.wake(folder)
    print(job.id if options.get("parsable") else f"Submitted batch job {job.id}")
    return 0


def _read(arguments: Sequence[str]) -> tuple[dict[str, Any], str, list[str]]:
    """Options in force (the command line beats the script), the script, its arguments."""
    options, rest = getopt(arguments, grammar.SBATCH)
    if rest:
        try:
            script = Path(rest[0]).read_text(errors="replace")
        except OSError:
            raise Refused(f"Unable to open file {rest[0]}") from None
        options.setdefault("name", Path(rest[0]).name)
        named = "-J" in arguments or any(word.startswith("--job-name") for word in arguments)
    else:
        script, named = "" if sys.stdin.isatty() else sys.stdin.read(), "name" in options
        options.setdefault("name", "sbatch")
    if not script.startswith("#!"):
        raise Refused(
            "This does not look like a batch script.  The first\n"
            "line must start with #! followed by the path to an interpreter.\n"
            "For instance: #!/bin/sh"
        )
    told, words = getopt(grammar.directives(script), grammar.SBATCH)
    if words:
        raise OptionError("unknown", words[0])
    if not named and "name" in told:
        options["name"] = told["name"]
    return {**told, **options}, script, rest[1:]


def _job(options: dict[str, Any], site: Site, table: Table) -> Job:
    queue = options.get("queue", site.default_queue)
    if queue not in site.queues:
        raise Refused(f"invalid partition specified: {queue}\n{_failed('Invalid partition name specified')}")
    if site.account_required and "account" not in options:
        raise Refused(_failed("Invalid account or account/partition combination specified"))
    per_node = options.get("tasks_per_node", 1)
    tasks = options.get("tasks", per_node * options.get("nodes", 1))
    nodes = options.get("nodes") or -(-tasks // options.get("tasks_per_node", site.cores))
    cores = options.get("cores", 1) * max(per_node, -(-tasks // nodes))
    if nodes > site.nodes or cores > site.cores or grammar.gpus_per_node(options, per_node) > site.gpus:
        raise Refused(_failed("Requested node configuration is not available"))
    # EnforcePartLimits is assumed: by default Slurm would take the job and never start it.
    limit, minutes = site.queues[queue].limit(nodes), options.get("minutes")
    if limit is not None and (minutes or limit) > limit:
        raise Refused(_failed("Requested time limit is invalid (missing or exceeds some limit)"))
    array = options.get("array")
    if array and max(array.indices) >= site.array_size:
        raise Refused(_failed("Invalid job array specification"))
    indices = array.indices if array else (0,)
    jobs = remembered(table.jobs(), site.clean_minutes)
    queued = sum(element.state not in OVER for job in jobs for element in job.elements)
    if site.queued is not None and queued + len(indices) > site.queued:
        raise Refused(
            _failed("Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)")
        )
    now, state = time.time(), HELD if options.get("held") else PENDING
    return Job(
        id=table.new_id(),
        name=options["name"],
        user=pwd.getpwuid(os.geteuid()).pw_name,
        queue=queue,
        account=options.get("account", ""),
        nodes=nodes,
        minutes=minutes or limit,
        minute=site.minute,
        command=[],
        directory=str(Path(options.get("directory") or Path.cwd()).absolute()),
        output=options.get("output") or ("slurm-%A_%a.out" if array else "slurm-%j.out"),
        error=options.get("error"),
        submitted=now,
        policy=_policy(options),
        elements=[Element(index, state, eligible=now) for index in indices],
        array=array.spec if array else None,
        throttle=array.throttle if array else None,
        after=options.get("after"),
        slots=site.cores,
        told={key: value for key, value in options.items() if key not in ("array", "after")},
    )


def _failed(why: str) -> str:
    return f"Batch job submission failed: {why}"


def _policy(options: dict[str, Any]) -> Policy:
    warning = options.get("warning")
    return Policy(
        warning=(warning.name, warning.seconds / 60) if warning else None,
        warn_group=warning is not None and not warning.shell,
        at_limit=ON_KILL,
        on_kill=ON_KILL,
        on_requeue=ON_KILL,
        rerunnable=not options.get("no_requeue"),
        direct=True,
        append=options.get("open_mode") == "append",
        delay=REQUEUE_MINUTES,
    )


def _spool(table: Table, job: Job, script: str, rest: Sequence[str]) -> None:
    folder = table.spool(job.id)
    folder.mkdir(parents=True, mode=0o700)
    path = folder / "slurm_script"
    path.write_text(script)
    path.chmod(0o700)
    job.command = [str(path), *rest]
    (folder / "environment.json").write_text(json.dumps(dict(os.environ)))
