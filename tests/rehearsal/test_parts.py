"""The parts of the stand-ins: option words, shares of nodes, numbers of ranks, what ranks find there."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import horovod_lb.rehearsal
from horovod_lb.rehearsal import ranks
from horovod_lb.rehearsal.lsf import dependency as lsf_dependency
from horovod_lb.rehearsal.options import Option, OptionError, count, getopt, words
from horovod_lb.rehearsal.slurm.grammar import minutes
from horovod_lb.rehearsal.slurm.table import compressed, expanded
from horovod_lb.rehearsal.steps import Share

SPEC = {"-n": Option("n", count), "--number": Option("n", count), "-f": Option("f"), "-g": Option("g")}


@pytest.mark.parametrize(
    ("line", "found", "rest"),
    [
        ("-n4 x -f", {"n": 4}, ["x", "-f"]),
        ("-n 4 -fg x", {"n": 4, "f": True, "g": True}, ["x"]),
        ("--number=4 -- -f", {"n": 4}, ["-f"]),
        ("--number 4 -n5", {"n": 5}, []),
    ],
)
def test_getopt(line: str, found: dict[str, object], rest: list[str]) -> None:
    assert getopt(line.split(), SPEC) == (found, rest)


@pytest.mark.parametrize(
    ("line", "kind"),
    [("-x", "unknown"), ("--num=4", "unknown"), ("-n", "missing"), ("-n x", "bad"), ("--number=", "bad")],
)
def test_wrong_options(line: str, kind: str) -> None:
    with pytest.raises(OptionError) as error:
        getopt(line.split(), SPEC)
    assert error.value.kind == kind


def test_whole_words_are_not_joined() -> None:
    with pytest.raises(OptionError, match="unknown"):
        words(["-n4"], SPEC)
    with pytest.raises(OptionError, match="twice"):
        words(["-n", "4", "--number", "4"], SPEC)


@given(
    sets=st.integers(1, 60),
    cores=st.integers(1, 42),
    gpus=st.integers(0, 6),
    per_host=st.integers(1, 6),
    hosts=st.integers(1, 12),
)
def test_sets_of_a_step_fit_their_nodes(sets: int, cores: int, gpus: int, per_host: int, hosts: int) -> None:
    """Placed sets are all of them and within every node; not placed means that no placement exists."""
    free = {f"h{number}": (42, 6) for number in range(hosts)}
    placed = Share(sets, cores, gpus, per_host).place(free)
    most = min(per_host, 42 // cores, 6 // gpus if gpus else per_host)
    if placed is None:
        assert most * hosts < sets
        return
    assert sum(placed.values()) == sets
    assert all(
        number * cores <= 42 and number * gpus <= 6 and number <= per_host for number in placed.values()
    )


@given(groups=st.integers(1, 400), asked=st.integers(1, 400), most=st.integers(1, 64))
def test_as_many_ranks_as_divide_the_groups(
    groups: int, asked: int, most: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = tmp_path_factory.getbasetemp() / "one-run"
    run.mkdir(exist_ok=True)
    (run / "run.json").write_text(json.dumps({"derived": {"groups": groups}}))
    number = ranks.count(["python", "job.py", "--run", str(run)], asked, most)
    assert groups % number == 0
    assert number <= min(asked, most)
    assert not any(groups % more == 0 for more in range(number + 1, min(asked, most) + 1))
    assert ranks.count(["python", "job.py", f"--run={run}"], asked, most) == number
    assert ranks.count(["python", "check.py"], asked, most) == min(asked, most)


@pytest.mark.parametrize(("most", "started"), [(1, 1), (2, 1), (3, 3), (4, 3), (6, 6), (12, 12)])
def test_ranks_do_not_cut_blocks_of_groups(most: int, started: int, tmp_path: Path) -> None:
    model = {"name": "resnet20", "batch_norm": "group", "bn_groups": 4}
    (tmp_path / "run.json").write_text(json.dumps({"model": model, "derived": {"groups": 12}}))
    assert ranks.count(["python", "job.py", "--run", str(tmp_path)], 12, most) == started


def test_the_real_mpirun_sees_no_scheduler() -> None:
    given = {
        "SLURM_JOB_ID": "1", "LSB_HOSTS": "a b", "PMIX_RANK": "3", "OMPI_COMM_WORLD_RANK": "3", "HOME": "/h",
        "OMPI_MCA_coll_tuned_priority": "100", "OMP_NUM_THREADS": "7", "TF_NUM_INTRAOP_THREADS": "1",
    }  # fmt: skip
    found = ranks.environment(given, 2, 8)
    assert not [name for name in found if name.startswith(("SLURM_", "LSB_", "PMIX_", "OMPI_COMM_WORLD"))]
    assert found["HLB_KEPT_SLURM_JOB_ID"] == "1"
    assert (found["HOME"], found["OMPI_MCA_coll_tuned_priority"]) == ("/h", "100")
    assert (found["OMP_NUM_THREADS"], found["TF_NUM_INTRAOP_THREADS"]) == ("4", "1")


def test_gpus_that_are_not_there_are_hidden() -> None:
    assert ranks.devices(range(6), own=0) == ["0,1,2,3,4,5"], "no GPU here: nothing can be taken by mistake"
    assert ranks.devices(range(6), own=2) == ["-1"]
    assert ranks.devices(range(2, 3), own=4) == ["2"]


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("12", ["done", 12, None]),
        ("ended(12)", ["ended", 12, None]),
        ('exit("12[3]")', ["exit", 12, 3]),
        ("done(1) && !started(2) || ended(3)",
         ["or", ["and", ["done", 1, None], ["not", ["started", 2, None]]], ["ended", 3, None]]),
        ("done(1) && (ended(2)||ended(3))",
         ["and", ["done", 1, None], ["or", ["ended", 2, None], ["ended", 3, None]]]),
    ],
)  # fmt: skip
def test_lsf_conditions(text: str, condition: object) -> None:
    assert lsf_dependency.parse(text) == condition


@pytest.mark.parametrize(
    "text", ["", "ended(1", "ended()", "&& ended(1)", "ended(1) ended(2)", "(ended(1)", "a;b"]
)
def test_no_lsf_conditions(text: str) -> None:
    with pytest.raises(lsf_dependency.ConditionError):
        lsf_dependency.parse(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [("90", 90), ("1:30", 2), ("1:30:00", 90), ("0:0:30", 1), ("2-0", 2880), ("1-2:30", 1590), ("0", None)],
)
def test_slurm_times(text: str, found: float | None) -> None:
    """sbatch(1), --time; seconds are rounded up to a minute."""
    assert minutes(text) == found


@given(st.sets(st.integers(1, 300), min_size=1))
def test_lists_of_nodes_come_back(numbers: set[int]) -> None:
    hosts = [f"node{number:03}" for number in sorted(numbers)]
    assert expanded(compressed(hosts)) == hosts


def test_slurms_own_notation() -> None:
    """From squeue of a real Slurm."""
    assert compressed(["node1", "node2", "node3", "node4"]) == "node[1-4]"
    assert compressed(["node1", "node3", "node4"]) == "node[1,3-4]"
    assert expanded("node[1-2],login,m[08-10]") == ["node1", "node2", "login", "m08", "m09", "m10"]


FOLDER = Path(horovod_lb.rehearsal.__file__).parent
COMMANDS = [path for path in sorted(FOLDER.rglob("*.py")) if path.name not in ("install.py", "__init__.py")]


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_stand_ins_need_the_standard_library_only(path: Path) -> None:
    """They start in every environment, and at once."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            top = name.split(".")[0]
            assert top in sys.stdlib_module_names or name.startswith("horovod_lb.rehearsal"), name
