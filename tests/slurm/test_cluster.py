"""The emulated cluster itself: nodes are apart from each other, and nothing of it is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import slurm_cluster
from slurm_cluster import Cluster


def network_cards() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def processes_naming(folder: Path) -> list[str]:
    """Commands of all processes whose command line or environment names `folder`."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            text = (path / "cmdline").read_bytes() + (path / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in text:
            found.append((path / "comm").read_text().strip())
    return found


def test_nodes_are_machines_of_their_own(cluster: Cluster) -> None:
    script = "hostname; hostname -i; echo $CUDA_VISIBLE_DEVICES; readlink /proc/self/ns/net /proc/self/ns/pid"
    words = ("srun", "--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=3", "--label", "sh", "-c", script)
    answers: dict[str, list[str]] = {"0": [], "1": []}
    for line in sorted(cluster.run(*words).splitlines(), key=lambda line: line[0]):
        task, _, text = line.partition(": ")
        answers[task].append(text)
    first, second = answers["0"], answers["1"]
    assert [first[0], second[0]] == ["m1", "m2"]
    assert [first[1], second[1]] == [cluster.addresses["m1"], cluster.addresses["m2"]]
    for devices in (first[2], second[2]):
        assert len(set(devices.split(",")) & set("012345")) == 3
    assert not set(first[3:]) & set(second[3:])


def test_nothing_is_left_behind(why_not: str | None) -> None:
    if why_not:
        pytest.skip(f"no real Slurm: {why_not}")
    cards, hosts = network_cards(), Path("/etc/hosts").read_text()
    with slurm_cluster.cluster({"batch": ("m1",)}) as small:
        small.run("sbatch", "--output=/dev/null", "--wrap=sleep 600")
        small.run("srun", "true")
        assert {"slurmctld", "munged", "slurmd", "slurmstepd"} <= set(processes_naming(small.folder))
        folder = small.folder
    assert not processes_naming(folder)
    assert not folder.exists()
    assert network_cards() == cards
    assert Path("/etc/hosts").read_text() == hosts
