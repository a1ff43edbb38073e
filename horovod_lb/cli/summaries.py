"""The runs of a study as `hlb status`, `logs` and `cancel` see them: files, and schedulers if any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from horovod_lb.errors import RunDirectoryError
from horovod_lb.runs import RunDirectory, State, error_line, run_directories
from horovod_lb.runs.log import LOG
from horovod_lb.runs.summary import Summary, summarize

if TYPE_CHECKING:
    from horovod_lb.batch.asking import Answers
    from horovod_lb.batch.follow import Following
    from horovod_lb.study.expression import Expression

SUBMISSIONS = "submissions"


def following(
    folder: Path, answers: Answers | None = None, *, ask: bool = True, every_job: bool = False
) -> Following | None:
    """What was submitted of a study's runs, see `batch.follow`; None where nothing ever was."""
    if not (folder / SUBMISSIONS).is_dir():
        return None
    from horovod_lb.batch.follow import follow

    return follow(folder, ask=ask, answers=answers, every_job=every_job)


def read(folder: Path, where: str | None = None, jobs: Following | None = None) -> list[Summary]:
    """The summaries of the runs in `folder` for which `where` holds, in the order of their points."""
    condition = None
    if where is not None:
        from horovod_lb.study.expression import Expression

        condition = Expression(where)
    summaries = (_summary(run, condition, jobs) for run in run_directories(folder))
    return sorted((summary for summary in summaries if summary is not None), key=_order)


def active(summary: Summary) -> bool:
    """It runs or waits, or is in a job of which nobody knows."""
    if summary.state is State.UNKNOWN:
        return summary.job_state is not None or summary.job is not None
    return summary.state in (State.RUNNING, State.QUEUED, State.SUBMITTED)


def _summary(run: RunDirectory, condition: Expression | None, jobs: Following | None) -> Summary | None:
    try:
        spec = run.read_spec()
        summary = summarize(run, spec) if jobs is None else _with_job(run, spec, jobs)
    except (RunDirectoryError, KeyError, ValueError) as error:
        return Summary(run.path.name, {}, None, State.UNKNOWN, error=_damage(error))
    if condition is None:
        return summary
    known: dict[str, Any] = {
        name: getattr(summary, name) for name in ("epoch", "accuracy", "job", "reason", "error")
    }
    known["state"] = str(summary.state)
    return summary if condition({**spec.get("derived", {}), **spec, **known}) else None


def _damage(error: Exception) -> str:
    if isinstance(error, RunDirectoryError):
        return str(error)
    return f"run.json has no key {error}" if isinstance(error, KeyError) else f"damaged: {error}"


def _with_job(run: RunDirectory, spec: Mapping[str, Any], jobs: Following) -> Summary:
    found = jobs.state(run.path.name)
    summary = summarize(run, spec, found.state)
    return replace(
        summary,
        job=str(found.job) if found.job else None,
        job_state=found.job_state.value if found.job_state else None,
        reason=found.reason or None,
        job_seconds_left=found.seconds_left,
        nodes=found.nodes or None,
        error=_last_words(run, jobs) or summary.error if found.state is State.LOST else summary.error,
    )


def _last_words(run: RunDirectory, jobs: Following) -> str | None:
    """What a run that is lost said of an error: its log, else its launcher's, else its job's."""
    segment, launcher = run.newest_segment(), jobs.launcher_log(run.path.name)
    logs = [segment / LOG] if segment else []
    logs += [launcher] if launcher else []
    return next(filter(None, map(error_line, [*logs, *jobs.job_logs(run.path.name)])), None)


def _order(summary: Summary) -> list[Any]:
    """Numbers by size, before texts; the seed last."""
    values = [*summary.point.values(), -1 if summary.seed is None else summary.seed]
    return [
        (isinstance(value, str), value if isinstance(value, int | float | str) else 0) for value in values
    ]
