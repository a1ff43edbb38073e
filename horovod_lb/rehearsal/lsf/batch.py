"""What LSF gives a job when it starts, and where it puts the output when it ends."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from horovod_lb.rehearsal.life import Life, path_of
from horovod_lb.rehearsal.lsf.on_slurm import SlurmLife
from horovod_lb.rehearsal.lsf.table import reason
from horovod_lb.rehearsal.site import Site, read_site
from horovod_lb.rehearsal.table import DONE, Element, Job, Table

_RULE = "-" * 60


def start(site: Site) -> Callable[[Table, Job, Element], Life | SlurmLife]:
    """How a life begins: here, or on a real Slurm."""
    if site.backend == "slurm":
        return partial(SlurmLife, site)
    return Life


def prepare(table: Table, job: Job, element: Element) -> None:
    """Writes the life's LSB_ variables and its file of hosts."""
    site = read_site(table.folder)
    spool = table.spool(job.id)
    # With CSM the script runs on a launch node, which every list of hosts begins with.
    groups = [(site.launch, 1)] if site.launch else []
    groups += [(host, job.slots) for host in element.hosts]
    hosts = [host for host, slots in groups for _ in range(slots)]
    host_file = spool / f"{element.index}.hosts"
    host_file.write_text("".join(f"{host}\n" for host in hosts))
    variables = {
        "LSB_JOBID": str(job.id),
        "LSB_JOBINDEX": str(element.index),
        "LSB_JOBNAME": job.name + (f"[{element.index}]" if job.array else ""),
        "LSB_QUEUE": job.queue,
        "LSB_HOSTS": " ".join(hosts),
        "LSB_MCPU_HOSTS": "".join(f"{host} {slots} " for host, slots in groups),
        "LSB_DJOB_HOSTFILE": str(host_file),
        "LSB_DJOB_NUMPROC": str(len(hosts)),
        "LSB_SUB_HOST": platform.node(),
        "LSB_BATCH_JID": job.label(element),
        "LS_SUBCWD": job.directory,
        "LSB_JOBFILENAME": str(spool / "script"),
    }
    if job.array:
        variables["LSB_JOBINDEX_END"] = str(max(one.index for one in job.elements))
    if job.output:
        variables["LSB_OUTPUTFILE"] = str(path_of(job.output, job, element))
    (spool / f"{element.index}.environment.json").write_text(json.dumps(variables))


def deliver(table: Table, job: Job, element: Element) -> None:
    """Appends a header and the output of the last life to the `-o` file, as LSF does at a job's end only."""
    spool = table.spool(job.id)
    out = spool / f"{element.index}.out"
    text = out.read_bytes() if out.exists() else b""
    head = _header(job, element).encode()
    if job.output is None:
        (spool / f"{element.index}.mail").write_bytes(head + text)
        return
    path = path_of(job.output, job, element)
    _append(path, head + text, fresh="output_new" in job.told)
    err = spool / f"{element.index}.err"
    if job.error is not None and err.exists():
        _append(path_of(job.error, job, element), err.read_bytes(), fresh="error_new" in job.told)


def _append(path: Path, data: bytes, *, fresh: bool) -> None:
    try:
        with path.open("wb" if fresh else "ab") as file:
            file.write(data)
    except OSError as error:  # LSF mails what it cannot put there
        print(f"cannot write {path}: {error.strerror}", flush=True)


def _header(job: Job, element: Element) -> str:
    done = element.state == DONE
    title = f"Job {job.label(element)}: <{job.name}> {'Done' if done else 'Exited'}"
    if done:
        end = "Successfully completed."
    else:
        cause = reason(element)
        end = f"{cause}.\n" if cause else ""
        end += f"Exited with exit code {element.exit_code}."
    begin, finish = element.start or 0.0, element.finish or 0.0
    hosts = ">, <".join(element.hosts)
    return "\n".join(
        [
            f"Sender: LSF System <lsfadmin@{platform.node()}>",
            f"Subject: {title}",
            "",
            f"Job <{job.name}> was submitted from host <{platform.node()}> by user <{job.user}>.",
            f"Job was executed on host(s) <{hosts}>, in queue <{job.queue}>, as user <{job.user}>.",
            f"<{os.environ.get('HOME', '/')}> was used as the home directory.",
            f"<{job.directory}> was used as the working directory.",
            f"Started at {time.ctime(begin)}",
            f"Results reported at {time.ctime(finish)}",
            "",
            "Your job looked like:",
            "",
            _RULE,
            "# LSBATCH: User input",
            " ".join(job.command),
            _RULE,
            "",
            end,
            "",
            "Resource usage summary:",
            "",
            f"    Run time :      {finish - begin:.0f} sec.",
            "",
            "The output (if any) follows:",
            "",
            "",
        ]
    )
