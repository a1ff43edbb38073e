"""Sessions of ranks under mpirun, each started once, when the first test asks for it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rank_checks import HERE, Check, collect
from rank_launch import environment, launch

LIMIT_SECONDS = 600
# The first test that needs them waits for the sessions of all its numbers of ranks; every check in them has a
# limit of its own.
WAIT_SECONDS = 3600


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "uses(check, *ranks): reads what a check left, on each number of ranks"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "sessions" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(WAIT_SECONDS))


class Session:
    """The checks of one number of ranks, done."""

    def __init__(self, ranks: int, out: Path, checks: Sequence[Check], say: Any) -> None:
        self.ranks, self.out = ranks, out
        (out / "records").mkdir(parents=True)
        began = time.monotonic()
        say(f"\n{ranks} rank{'s' if ranks > 1 else ''}: {len(checks)} checks")
        started = launch(ranks, [str(HERE / "program.py"), str(out), *(check.id for check in checks)])
        self.log = out / "log"
        with self.log.open("w") as log:
            process = subprocess.Popen(
                started.argv,
                env=environment(started),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
            assert process.stdout is not None
            for line in process.stdout:
                say(f"  {ranks}: {line.rstrip()}")
            self.status = process.wait(LIMIT_SECONDS)
        say(f"  {ranks}: {time.monotonic() - began:.0f} s")

    def outcome(self, check: Check) -> str:
        """Empty where the check passed on all ranks, else what went wrong."""
        records = [self.out / "records" / f"{check.id}.{rank}.json" for rank in range(self.ranks)]
        found = {rank: json.loads(path.read_text()) for rank, path in enumerate(records) if path.exists()}
        problems = [f"rank {rank}: {record['error']}" for rank, record in found.items() if not record["ok"]]
        missing = [rank for rank in range(self.ranks) if rank not in found]
        if missing:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])
            problems.append(
                f"ranks {missing} never finished it; the session ended with status {self.status}\n{tail}"
            )
        return "\n".join(problems)


class Sessions:
    """One session a number of ranks, with the checks that the selected tests need."""

    def __init__(self, root: Path, wanted: dict[int, set[str]], say: Any) -> None:
        self._root, self._wanted, self._say = root, wanted, say
        self._done: dict[int, Session] = {}

    def __call__(self, ranks: int) -> Session:
        if ranks not in self._done:
            checks = [
                check for check in collect() if ranks in check.ranks and check.id in self._wanted[ranks]
            ]
            self._done[ranks] = Session(ranks, self._root / str(ranks), checks, self._say)
        return self._done[ranks]


@pytest.fixture(scope="session")
def sessions(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sessions:
    wanted: dict[int, set[str]] = {}
    for item in request.session.items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        if "check" in params and "number" in params:
            wanted.setdefault(params["number"], set()).add(params["check"].id)
        for marker in item.iter_markers("uses"):
            for number in marker.args[1:]:
                wanted.setdefault(number, set()).add(marker.args[0])
    plugins = request.config.pluginmanager
    reporter, capture = plugins.getplugin("terminalreporter"), plugins.getplugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.write_line(line)

    return Sessions(tmp_path_factory.mktemp("ranks"), wanted, say)
