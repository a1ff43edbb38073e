"""The cluster of a session and the scenarios on it; where Slurm cannot run, all is skipped with a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import slurm_cluster
from alongside import Scenarios, bodies
from slurm_cluster import Cluster

# Nodes that tests may crash are apart from those on which the others work.
PARTITIONS = {
    "batch": ("m1", "m2"),
    "frail": ("m3", "m4", "m5"),
    "orphan": ("m6", "m7"),
    "closed": ("m1", "m2"),
}


@pytest.fixture(scope="session")
def why_not() -> str | None:
    return slurm_cluster.why_not()


@pytest.fixture(scope="session")
def cluster(why_not: str | None) -> Iterator[Cluster]:
    if why_not:
        pytest.skip(f"no real Slurm: {why_not}")
    with slurm_cluster.cluster(PARTITIONS) as started:
        # Jobs in it wait until somebody gives them another partition.
        started.run("scontrol", "update", "PartitionName=closed", "State=DOWN")
        yield started


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    plugins = request.config.pluginmanager
    reporter, capture = plugins.getplugin("terminalreporter"), plugins.getplugin("capturemanager")

    def line(text: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.write_line(text)

    return line


@pytest.fixture(scope="session")
def scenarios(
    request: pytest.FixtureRequest,
    cluster: Cluster,
    tmp_path_factory: pytest.TempPathFactory,
    say: Callable[[str], None],
) -> Iterator[Scenarios]:
    wanted = bodies(request.session.items)
    say(f"\n{len(wanted)} scenarios on a real Slurm")
    begun = Scenarios(wanted, cluster, tmp_path_factory.mktemp("slurm"), say)
    yield begun
    begun.end()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Names what was left out, where everybody looks: at the end."""
    skipped = terminalreporter.stats.get("skipped", [])
    here = str(Path(__file__).parent.name)
    mine = [report for report in skipped if f"/{here}/" in f"/{report.nodeid}"]
    if mine:
        reasons = sorted({str(report.longrepr[2]).removeprefix("Skipped: ") for report in mine})
        terminalreporter.write_line(f"{len(mine)} tests against a real Slurm skipped: {'; '.join(reasons)}")
