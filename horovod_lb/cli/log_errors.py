"""`hlb logs --errors`: what the failed and lost runs of a study ended with."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from horovod_lb.cli.status_table import why
from horovod_lb.cli.summaries import following, read
from horovod_lb.runs import RunDirectory, State, error_line
from horovod_lb.runs.log import LOG
from horovod_lb.runs.summary import Summary, label

# Of so many different errors of a run's ranks, the others are in the logs.
_MOST = 8


def print_errors(folder: Path, run_id: str | None) -> None:
    """For every failed or lost run, or for `run_id`, why it ended and its ranks' last error lines."""
    jobs = following(folder)
    summaries = read(folder, None, jobs)
    if run_id is None:
        chosen = [summary for summary in summaries if summary.state in (State.FAILED, State.LOST)]
    else:
        chosen = [summary for summary in summaries if summary.run_id == run_id]
    for summary in chosen:
        _print(summary)
        logs = _logs(RunDirectory(folder / summary.run_id))
        if jobs is not None:
            logs |= _job_logs(jobs.launcher_log(summary.run_id), jobs.job_logs(summary.run_id))
        for who, line in list(_lines(logs))[:_MOST]:
            print(f"    {who}: {line}")
    if not chosen:
        print(f"no failed or lost runs in {folder}")
    if jobs is not None and jobs.problem:
        print(f"hlb: {jobs.problem}", file=sys.stderr)


def _print(summary: Summary) -> None:
    head = "  ".join([summary.run_id[:8], label(summary.point, summary.seed), str(summary.state)])
    print(": ".join(filter(None, [head, why(summary)])))


def _logs(run: RunDirectory) -> dict[str, Path]:
    """The logs of the newest life's ranks, by rank."""
    segment = run.newest_segment()
    if segment is None:
        return {}
    found = {path.name.removeprefix(f"{LOG}."): path for path in segment.glob(f"{LOG}.*")}
    ranks = sorted(int(rank) for rank in found if rank.isdecimal())
    return {"0": segment / LOG, **{str(rank): found[str(rank)] for rank in ranks}}


def _job_logs(launcher: Path | None, jobs: Iterator[Path]) -> dict[str, Path]:
    found = {"launcher": launcher} if launcher else {}
    job = next(jobs, None)
    return found | ({f"job {job.stem}": job} if job else {})


def _lines(logs: dict[str, Path]) -> Iterator[tuple[str, str]]:
    """The last error line of each log, with those who say the same together."""
    who: dict[str, list[str]] = defaultdict(list)
    for name, path in logs.items():
        line = error_line(path)
        if line:
            who[line].append(name)
    for line, names in who.items():
        ranks = [int(name) for name in names if name.isdecimal()]
        others = [name for name in names if not name.isdecimal()]
        words = [f"rank{'s' if len(ranks) > 1 else ''} {_ranges(ranks)}"] if ranks else []
        yield ", ".join(words + others), line


def _ranges(numbers: list[int]) -> str:
    """`0-5,8`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ",".join("-".join(map(str, part)) for part in parts)
