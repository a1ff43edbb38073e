"""What a submission needs on the disk before anything is sent: run folders, scripts, listings.

Thousands of small files: they are written, then waited for together, instead of one by one.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from horovod_lb.batch.planned import Planned
from horovod_lb.errors import RequestError, RunDirectoryError
from horovod_lb.machines import Machine
from horovod_lb.runs import RunDirectory, runs_root
from horovod_lb.runs.atomic import write_bytes
from horovod_lb.runs.places import VARIABLE
from horovod_lb.runs.provenance import source_diff
from horovod_lb.schedulers.render import render

DIFF = "source.diff"
Progress = Callable[[int], None]


def study_folder(option: str | os.PathLike[str] | None, machine: Machine, study: str) -> Path:
    """The folder of a study's runs on `machine`, absolute.

    Below --runs, else $HLB_RUNS, else the profile's scratch, else `runs`. RequestError: the scratch folder
    names an environment variable that is not set; something in the path that listings cannot hold.
    """
    scratch = machine.storage.scratch
    if option is None and not os.environ.get(VARIABLE) and scratch is not None:
        option = os.path.expandvars(scratch)
        if "$" in option:
            raise RequestError(
                f"storage.scratch of {machine.name} is {scratch}, and not all of that is set here: set the "
                "variable, or say --runs DIR"
            )
    root = runs_root(option).expanduser().absolute()
    if str(root).splitlines() != [str(root)]:
        raise RequestError(f"the folder of runs has a line break in its name: {str(root)!r}; take another")
    if not str(root).isprintable():  # bytes that are no UTF-8 among them
        raise RequestError(
            f"the folder of runs has letters in its name that cannot be printed: {str(root)!r}; take another"
        )
    return root / study


def create_runs(
    study: Path, specs: Sequence[Mapping[str, Any]], *, progress: Progress = lambda done: None
) -> None:
    """Makes the run folders of `specs`, those that are not there yet; as `RunDirectory.create` for each.

    A crash leaves no half-written `run.json`: all of them are on the disk before the first gets its name.
    """
    prepared: list[tuple[Path, Path]] = []
    with _clear_errors(study):
        study.mkdir(parents=True, exist_ok=True)
        for done, spec in enumerate(specs):
            run = RunDirectory(study / spec["run_id"])
            if run.run_json.exists():
                run.create(spec)
            else:
                run.path.mkdir(exist_ok=True)
                temporary = run.path / f".run.json.{os.getpid()}.tmp"
                # As `write_json` does it, in a tenth of the time.
                temporary.write_bytes(to_json(spec, indent=1, inf_nan_mode="null") + b"\n")
                prepared.append((temporary, run.run_json))
            progress(done + 1)
        if prepared:
            _sync(study)
            for temporary, final in prepared:
                temporary.replace(final)
            _sync(study)


def scripts(planned: Sequence[Planned], *, progress: Progress = lambda done: None) -> list[str]:
    """The text of each job's script. RequestError, MachineError: it cannot be written; nothing was."""
    texts = []
    for job in planned:
        texts.append(render(job.request))
        progress(len(texts))
    return texts


def write_jobs(folder: Path, study: Path, planned: Sequence[Planned], texts: Sequence[str]) -> None:
    """Writes script and listing of each job into `folder`, made if need be, and waits for the disk."""
    with _clear_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for job, text in zip(planned, texts, strict=True):
            script = folder / job.script
            script.write_text(text)
            script.chmod(0o755)
            (folder / job.request.runs).write_text("".join(f"{study / run_id}\n" for run_id in job.run_ids))
        _sync(folder)


def write_diff(folder: Path) -> None:
    """Keeps what was changed in the working folder's repository since its commit, if anything."""
    diff = source_diff()
    if diff:
        write_bytes(folder / DIFF, diff)


def _sync(path: Path) -> None:
    """Waits until the file system that `path` is on has everything on its disk."""
    if sys.platform == "linux":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            failed = ctypes.CDLL(None, use_errno=True).syncfs(descriptor)
        finally:
            os.close(descriptor)
        if not failed:
            return
    os.sync()


@contextmanager
def _clear_errors(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(
            f"cannot write {error.filename or place}: {error.strerror}; nothing was sent; free some space "
            "there, or take another folder with --runs"
        ) from error
