"""Which folder of runs a command line means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from horovod_lb.errors import RequestError
from horovod_lb.runs import RunDirectory, run_directories, runs_root

# The name alone is read here: the study's other keys may be wrong, and checking them all takes longer.
_NAME = re.compile(r"""^name:\s*["']?([a-z0-9-]+)["']?\s*(#.*)?$""", re.MULTILINE)


def study_folder(target: str, runs: Path | None) -> Path:
    """The folder with the runs of `target`: a study file, the name of a study, or the folder itself.

    `runs` is the option --runs. Raises `RequestError` where there is no such folder or file.
    """
    path = Path(target)
    if path.suffix in (".yaml", ".yml"):
        folder = runs_root(runs) / _name_in(path)
    elif runs is None and path.is_dir():
        folder = path
    else:
        folder = runs_root(runs) / target
    if not folder.is_dir():
        folder = _on_scratch(folder, runs) or folder
    if not folder.is_dir():
        raise RequestError(f"no runs in {folder}: `hlb run` makes them, --runs or $HLB_RUNS says where")
    return folder


def _on_scratch(folder: Path, runs: Path | None) -> Path | None:
    """Where `hlb submit` puts the runs of a study on the default machine, if it has a scratch folder."""
    from horovod_lb.errors import HlbError

    try:
        from horovod_lb.batch.folders import study_folder as submitted
        from horovod_lb.machines import default_machine, load_machine

        name = default_machine()
        return submitted(runs, load_machine(name), folder.name) if name else None
    except HlbError:
        return None  # a profile that does not hold together is for `hlb machines` to say


def find_run(folder: Path, prefix: str) -> RunDirectory:
    """The run whose id begins with `prefix`. Raises `RequestError` where there is none, or more than one."""
    found = [run for run in run_directories(folder) if run.path.name.startswith(prefix)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise RequestError(f"no run in {folder} begins with {prefix!r}; `hlb status` lists them")
    some = ", ".join(run.path.name for run in found[:5])
    raise RequestError(f"{len(found)} runs begin with {prefix!r}: {some}{', ...' if len(found) > 5 else ''}")


def find_runs(folder: Path, prefixes: Sequence[str]) -> set[str]:
    """The ids of the runs that `prefixes` name, each the beginning of one. RequestError: see `find_run`."""
    return {find_run(folder, prefix).path.name for prefix in prefixes}


def _name_in(study: Path) -> str:
    try:
        found = _NAME.search(study.read_text())
    except OSError as error:
        raise RequestError(f"cannot read {study}: {error.strerror}") from error
    if found is None:
        raise RequestError(f"{study} has no line `name: ...` with a study's name (letters a-z, digits and -)")
    return found.group(1)
