"""Tests that run at the same time: most of their time is a scheduler's, which they spend waiting."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from slurm_cluster import Cluster
from slurm_study import Study

Body = Callable[[Study], None]
AT_A_TIME = 6


def alongside(body: Body, *, waits: bool = False) -> Callable[..., None]:
    """Makes a test of `body`, which gets a study of its own and begins before pytest asks for its outcome.

    Bodies begin in the order in which they are collected; those that `waits` says to be long are the first.
    """

    @functools.wraps(body)
    def test(scenarios: Scenarios) -> None:
        scenarios.outcome(body)

    test.body, test.waits = body, waits  # type: ignore[attr-defined]
    del test.__wrapped__  # pytest would take the arguments of `body` for fixtures
    return test


class Scenarios:
    """The bodies of all selected tests, at work; an exception in one is its test's failure."""

    def __init__(
        self, bodies: Sequence[Body], cluster: Cluster, folder: Path, say: Callable[[str], None]
    ) -> None:
        self._say, self._began = say, time.monotonic()
        self._pool = ThreadPoolExecutor(AT_A_TIME)
        self._futures: dict[Body, Future[None]] = {}
        reference = self._pool.submit(Study(cluster, folder / "reference").train_here)
        for body in bodies:
            study = Study(cluster, folder / body.__name__, reference.result)
            self._futures[body] = self._pool.submit(self._work, body, study)

    def _work(self, body: Body, study: Study) -> None:
        began, outcome = time.monotonic(), "failed"
        try:
            study.write()
            body(study)
            outcome = "done"
        finally:
            now = time.monotonic()
            self._say(f"  {now - self._began:5.0f} s: {outcome} in {now - began:.0f} s: {body.__name__}")

    def outcome(self, body: Body) -> None:
        """Waits for `body`; raises what it raised."""
        self._futures[body].result()

    def end(self) -> None:
        """Begins nothing more and waits for what has begun."""
        self._pool.shutdown(cancel_futures=True)


def bodies(items: Sequence[Any]) -> list[Body]:
    """The bodies of those of pytest's items that are made with `alongside`, in the order they begin."""
    functions = [function for item in items if hasattr(function := getattr(item, "function", None), "body")]
    return [function.body for function in sorted(functions, key=lambda function: not function.waits)]


waiting = functools.partial(alongside, waits=True)
