"""The task: what a batch job does inside its allocation.

    python -m horovod_lb.batch.task --runs FILE --ranks R --stop FILE [...] -- LAUNCHER...

It works through its runs, each a launcher step in the background, and asks them to stop once the stop file is
there (the job script makes it when the scheduler warns) or a signal comes. Exit status: 0 every run has its
result, 1 some failed, 85 some go on in the job's next life, 2 the request was wrong.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from horovod_lb.batch.tasks import Task
from horovod_lb.errors import HlbError, RequestError
from horovod_lb.runs import RunDirectory, runs_root

_SIGNALS = (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status of the task; see above."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options = _parser().parse_args(words[: words.index("--")] if "--" in words else words)
        launcher = words[words.index("--") + 1 :] if "--" in words else []
        if not launcher:
            raise RequestError("the launcher's command line is missing after --")
        runs, since = _runs(options)
        task = Task(
            runs,
            launcher,
            ranks=options.ranks,
            side_by_side=options.side_by_side,
            stop=options.stop,
            since=since,
            retry=options.retry,
            max_failures=options.max_failures,
        )
        for number in _SIGNALS:
            signal.signal(number, lambda *_: task.stop())
        return task.work()
    except HlbError as error:
        print(f"task: {error}", file=sys.stderr, flush=True)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m horovod_lb.batch.task", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--runs", type=Path, metavar="FILE", help="a file with a run directory a line")
    which.add_argument("--study", type=Path, help="a study file instead: the runs that --set leaves of it")
    parser.add_argument("--index", type=int, metavar="I", help="only the I-th pack of the file, from 0")
    parser.add_argument("--pack", type=int, default=1, metavar="P", help="runs of the file in a pack")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for --study")
    parser.add_argument("--side-by-side", type=int, default=1, metavar="S", help="steps at a time")
    parser.add_argument("--ranks", type=int, required=True, metavar="R", help="ranks of a step")
    parser.add_argument(
        "--stop", type=Path, required=True, metavar="FILE", help="ends the task once it exists"
    )
    parser.add_argument("--retry", action="store_true", help="runs that failed earlier, too")
    parser.add_argument("--max-failures", type=int, metavar="N", help="begin nothing more after N failures")
    return parser


def _runs(options: argparse.Namespace) -> tuple[list[RunDirectory], float]:
    """The runs to work through, and the time since when a failure counts as one of this submission."""
    if options.study is not None:
        return _of_study(options.study, options.set), time.time()
    try:
        lines = [line for line in options.runs.read_text().splitlines() if line]
        since = options.runs.stat().st_mtime
    except OSError as error:
        raise RequestError(f"--runs {options.runs}: cannot be read: {error.strerror}") from None
    if options.index is not None:
        lines = lines[options.index * options.pack : (options.index + 1) * options.pack]
        if not lines or options.index < 0:
            raise RequestError(f"--index {options.index}: {options.runs} has no such pack of {options.pack}")
    return [RunDirectory(line) for line in lines], since


def _of_study(path: Path, changes: Sequence[str]) -> list[RunDirectory]:
    """The runs of a study with some keys set, all seeds; a key that is an axis gets this value alone."""
    from horovod_lb.study import expand, load_study

    settings = load_study(path).settings
    axes = {**settings.axes, **settings.zip}
    single = []
    for change in changes:
        key, equals, value = change.partition("=")
        single.append(f"axes.{key}=[{value}]" if equals and key in axes else change)
    study = load_study(path, single)
    root = runs_root(None).absolute() / study.name
    return [RunDirectory(root / run.run_id).create(run.spec) for run in expand(study)]


if __name__ == "__main__":
    sys.exit(main())
