"""Job scripts from templates: whatever a study or a path holds arrives as a value, never as a command."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

from horovod_lb.errors import HlbError, MachineError, RequestError
from horovod_lb.machines import hours
from horovod_lb.machines.source import config_folder
from horovod_lb.schedulers import environment
from horovod_lb.schedulers.shell import FILTERS, path
from horovod_lb.schedulers.steps import HOSTS, once_a_node, ranks_a_node, step
from horovod_lb.schedulers.types import JobRequest

if TYPE_CHECKING:
    import jinja2

SHIPPED = Path(__file__).resolve().parent.parent / "templates"
TEMPLATES = {"slurm": "slurm/job.sbatch.j2", "lsf": "lsf/job.lsf.j2", "none": "local/job.sh.j2"}

# Slurm's signal comes up to a minute early, and LSF counts whole minutes.
_MOST_GRACE = 65_535 // 60


def render(request: JobRequest, *, templates: Sequence[Path] = ()) -> str:
    """The job script of `request`.

    Templates come from the folders `templates`, then the user's `~/.config/horovod_lb/templates`, then the
    package: a file of the same name in an earlier one replaces that of a later one, and may extend the
    package's as `shipped/slurm/job.sbatch.j2`.

    Raises:
        RequestError: the request cannot be written as a script for its machine.
        MachineError: the profile contradicts itself, or a template is wrong; it names the template's line.
    """
    return render_template(TEMPLATES[request.machine.scheduler], context(request), templates)


def context(request: JobRequest) -> dict[str, Any]:
    """What a template may use: the request, its machine, and what follows from them.

    Raises:
        RequestError: see `render`.
    """
    _check(request)
    machine = request.machine
    interpreter = environment.python(request)
    element = "_%a" if machine.scheduler == "slurm" else "_%I"
    slurm_job = "%A" if request.array else "%j"
    folder = str(request.folder)
    warnings = dict.fromkeys((machine.signal, "USR2") if machine.scheduler == "lsf" else (machine.signal,))
    return {
        "request": request,
        "machine": machine,
        "walltime": hours(request.minutes),
        "ranks_a_node": ranks_a_node(request),
        "launcher": step(request, environment.passed_on(request)),
        "stage": _stage(request, interpreter),
        "environment": environment.variables(request),
        "python": interpreter,
        "bin": environment.bin_folder(interpreter),
        "warnings": list(warnings),
        "ends": [name for name in ("INT", "TERM") if name not in warnings],
        # Where TERM is the warning, the script cannot tell it from somebody who ends the job.
        "requeue": machine.resume == "requeue" and machine.signal != "TERM",
        "log": f"{folder.replace('%', '%%')}/{slurm_job}{element if request.array else ''}.log",
        "report": f"{folder}/%J{element if request.array else ''}.lsf",
    }


def _check(request: JobRequest) -> None:
    machine = request.machine
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}", request.name):
        raise RequestError(f"{request.name!r} cannot be a job's name: letters, digits, `.`, `_` and `-` can")
    if not request.folder.is_absolute():
        raise RequestError(f"job {request.name}: its folder {request.folder} is not absolute")
    if machine.scheduler == "lsf" and "%" in str(request.folder):
        raise RequestError(f"LSF would take the % in {request.folder} for its own; use another --runs folder")
    if machine.account_required and machine.account is None:
        raise MachineError(
            f"machine {machine.name}: account is missing, and jobs are charged to one there; say it with "
            "--account, or in the profile"
        )
    if request.array and machine.scheduler == "none":
        raise RequestError(f"job {request.name}: arrays need a scheduler, which {machine.name} has not")
    first = 1 if machine.scheduler == "lsf" else 0
    if request.array and not first <= request.array.first <= request.array.last:
        raise RequestError(
            f"job {request.name}: an array there begins at {first} or later, not {request.array}"
        )
    if machine.scheduler != "none" and request.minutes <= machine.grace_minutes:
        raise RequestError(
            f"job {request.name}: of a wall time of {hours(request.minutes)} nothing is left before the "
            f"warning, {machine.grace_minutes} min before its end; ask for more, or change grace_minutes"
        )
    if machine.grace_minutes > _MOST_GRACE:
        raise MachineError(f"machine {machine.name}: grace_minutes is at most {_MOST_GRACE}")


def _stage(request: JobRequest, interpreter: str) -> str | None:
    """The words before `bash -c` that copy the data on each node; None where nothing is to be copied."""
    if request.stage_from is None or request.machine.storage.stage_in is None:
        return None
    hosts = f'"$({path(interpreter)} -m horovod_lb.schedulers.hosts)"'
    words = once_a_node(request, ("HLB_STAGE_FROM", "HLB_STAGE_TO"))
    return "".join(f"{hosts if word == HOSTS else path(word)} " for word in words)


def render_template(name: str, values: Mapping[str, Any], templates: Sequence[Path] = ()) -> str:
    """The template `name` with `values`; see `render`."""
    import jinja2

    folders = (*templates, config_folder() / "templates", SHIPPED)
    try:
        return _engine(folders).get_template(name).render(values)
    except jinja2.TemplateSyntaxError as error:
        where = f"{error.filename or error.name}, line {error.lineno}"
        raise MachineError(f"template {where}: {error.message}") from None
    except jinja2.TemplateNotFound as error:
        looked = ", ".join(map(str, folders))
        raise MachineError(f"template {error.name} is in none of {looked}") from None
    except jinja2.UndefinedError as error:
        hint = f"; templates may use {', '.join(sorted(values))}" if "is undefined" in str(error) else ""
        raise MachineError(f"template {_place(error)}: {error.message}{hint}") from None
    except HlbError:
        raise
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise MachineError(f"template {name}: byte {byte:#04x} is not UTF-8; save it as UTF-8") from None
    except Exception as error:  # a template calculates, too: nodes + 1 where nodes is None
        raise MachineError(f"template {_place(error)}: {type(error).__name__}: {error}") from None


def _place(error: Exception) -> str:
    """File and line in the template that was at work."""
    places = [
        f"{frame.f_code.co_filename}, line {line}"
        for frame, line in walk_tb(error.__traceback__)
        if frame.f_code.co_filename.endswith(".j2")
    ]
    return places[-1] if places else "of this job"


@cache
def _engine(folders: tuple[Path, ...]) -> jinja2.Environment:
    """Compiled templates; a file that changes is read again."""
    import jinja2

    engine = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [
                jinja2.FileSystemLoader(folders),
                jinja2.PrefixLoader({"shipped": jinja2.FileSystemLoader(SHIPPED)}),
            ]
        ),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # shell, not HTML: every value goes through a filter of `shell`
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    engine.filters.update(FILTERS)
    return engine
