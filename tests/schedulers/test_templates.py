"""Templates: those that ship, files kept from them, and a user's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from scripts import GOLDEN, REPOSITORY, examples, golden, machine, request

from horovod_lb.errors import MachineError, RecipeError, RequestError
from horovod_lb.rehearsal.lsf import fields, grammar
from horovod_lb.rehearsal.options import words
from horovod_lb.schedulers.lsf import Lsf
from horovod_lb.schedulers.render import TEMPLATES, render
from horovod_lb.schedulers.types import Array

KEPT = dict(golden())
EXAMPLES = dict(examples())
ANEW = "python tests/schedulers/scripts.py"


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without templates of their own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "horovod_lb" / "templates"


@pytest.mark.parametrize("name", KEPT)
def test_a_script_is_as_it_was_read(name: str) -> None:
    assert render(KEPT[name]) == (GOLDEN / name).read_text(), f"{ANEW}, then read what changed"


def test_no_script_is_of_a_machine_that_is_gone() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(KEPT)


@pytest.mark.parametrize("path", EXAMPLES)
def test_examples_are_current(path: str) -> None:
    assert EXAMPLES[path] == (REPOSITORY / path).read_text(), ANEW


def test_every_example_is_written_by_it() -> None:
    folders = (REPOSITORY / "slurm" / "examples", REPOSITORY / "lsf" / "examples")
    there = {str(path.relative_to(REPOSITORY)) for folder in folders for path in folder.iterdir()}
    assert there == set(EXAMPLES)


def all_scripts() -> list[str]:
    return [*(str(GOLDEN / name) for name in KEPT), *(str(REPOSITORY / path) for path in EXAMPLES)]


def test_bash_reads_every_script() -> None:
    for path in all_scripts():
        assert subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False).stderr == ""


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing() -> None:
    # SC2016: what stands in single quotes is for the shells on the nodes.
    command = ["shellcheck", "--exclude=SC2016", *all_scripts()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


def directives(text: str, mark: str) -> list[str]:
    return [line.removeprefix(f"{mark} ") for line in text.splitlines() if line.startswith(mark)]


def test_what_slurm_is_asked_for() -> None:
    array = Array(0, 99, 4)
    text = render(request(machine("slurm-6gpu", account="ABC123", queue="batch"), array=array, minutes=1505))
    assert set(directives(text, "#SBATCH")) == {
        "--job-name=demo-3fa9c1-0",
        "--account=ABC123",
        "--partition=batch",
        "--nodes=2",
        "--ntasks-per-node=6",
        "--cpus-per-task=2",
        "--gpus-per-node=6",
        "--time=25:05:00",
        "--array=0-99%4",
        "--signal=B:USR2@120",
        "--requeue",
        "--open-mode=append",
        "--output=/scratch/runs/demo/submissions/20250102-030405-3fa9c1/%A_%a.log",
    }


def test_what_lsf_is_asked_for() -> None:
    text = render(request(machine("summit"), array=Array(1, 20, 4), minutes=119))
    assert set(directives(text, "#BSUB")) == {
        '-J "demo-3fa9c1-0[1-20]%4"',
        "-P ABC123",
        "-q batch",
        "-nnodes 2",
        "-W 1:59",
        "-wa USR2",
        "-wt 2",
        "-Q 99",
        "-r",
        "-o /scratch/runs/demo/submissions/20250102-030405-3fa9c1/%J_%I.lsf",
        '-alloc_flags "smt1"',
    }
    assert sum("-alloc_flags" in line for line in directives(text, "#BSUB")) == 1


def test_lsf_without_jsrun_counts_slots() -> None:
    text = render(request(machine("generic-lsf", cores_per_rank=1, gpus_per_node=4, cores_per_node=8)))
    asked = directives(text, "#BSUB")
    assert {"-n 8", '-R "span[ptile=4]"', '-gpu "num=4"'} <= set(asked)
    assert not any(line.startswith("-nnodes") for line in asked)


def test_a_job_that_is_not_to_be_requeued_says_so() -> None:
    assert "--no-requeue" in directives(render(request(machine("slurm-6gpu", resume="none"))), "#SBATCH")
    assert "-Q 99" not in directives(render(request(machine("summit", resume="chain"))), "#BSUB")


def test_a_percent_sign_in_the_folder_is_no_pattern_of_slurms() -> None:
    text = render(request(machine("slurm-6gpu"), folder=Path("/a%jb c")))
    assert '--output="/a%%jb c/%j.log"' in directives(text, "#SBATCH")


BAD = [
    ({"name": "a b"}, "cannot be a job's name"),
    ({"name": "a\n#SBATCH --account=x"}, "cannot be a job's name"),
    ({"folder": Path("runs")}, "not absolute"),
    ({"folder": Path("/a\nb")}, "end of a line"),
    ({"folder": Path('/a"b')}, "quotes or backslashes"),
    ({"minutes": 2}, "wall time of 0:02 nothing is left before the warning, 2 min"),
    ({"environment": {"A B": "x"}}, "'A B' cannot be the name of an environment variable"),
    ({"environment": {"A": "x\0"}}, "zero byte"),
    ({"array": Array(5, 4)}, "an array there begins at 0 or later"),
    ({"ranks": 100}, "need 17 nodes"),
]


@pytest.mark.parametrize(("changes", "words"), BAD)
def test_requests_that_cannot_be_written(changes: dict[str, object], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        render(request(machine("slurm-6gpu"), **changes))


def test_more_requests_that_cannot_be_written() -> None:
    with pytest.raises(RecipeError, match="'rnig' is not known"):
        render(request(machine("slurm-6gpu"), allreduce="rnig"))
    with pytest.raises(RequestError, match="begins at 1 or later"):
        render(request(machine("summit"), array=Array(0, 4)))
    with pytest.raises(RequestError, match="LSF would take the %"):
        render(request(machine("summit"), folder=Path("/a%Jb")))
    with pytest.raises(RequestError, match="arrays need a scheduler"):
        render(request(machine("local"), array=Array(0, 4)))
    with pytest.raises(MachineError, match="account is missing"):
        render(request(machine("summit").model_copy(update={"account": None})))


def own(config: Path, name: str, text: str) -> Path:
    path = config / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            b"\n#SBATCH -N {{ machine.limits.queued + 1 }}\n",
            r"sbatch\.j2, line 2: TypeError: unsupported operand",
        ),
        (b"\xff", r"slurm/job\.sbatch\.j2: byte 0xff is not UTF-8"),
    ],
)
def test_what_goes_wrong_in_a_template_is_said_of_the_template(
    config: Path, text: bytes, message: str
) -> None:
    own(config, TEMPLATES["slurm"], "").write_bytes(text)
    with pytest.raises(MachineError, match=message):
        render(request(machine("slurm-6gpu")))


def test_an_undefined_variable_is_named_with_its_line(config: Path) -> None:
    path = own(config, TEMPLATES["slurm"], "#!/bin/bash\n# {{ request.name }}\n#SBATCH -t {{ walltme }}\n")
    with pytest.raises(MachineError) as caught:
        render(request(machine("slurm-6gpu")))
    assert f"{path}, line 3: 'walltme' is undefined" in str(caught.value)
    assert "walltime" in str(caught.value)  # among those that there are


def test_an_attribute_that_is_not_there_is_named_too(config: Path) -> None:
    path = own(config, TEMPLATES["slurm"], "\n{% if true %}\n{{ machine.acount }}\n{% endif %}\n")
    with pytest.raises(MachineError, match=f"{path}, line 3: .*no attribute 'acount'"):
        render(request(machine("slurm-6gpu")))


def test_a_template_that_cannot_be_read_is_named_with_its_line(config: Path) -> None:
    path = own(config, TEMPLATES["lsf"], "#!/bin/bash\n{% if %}\n")
    with pytest.raises(MachineError, match=f"template {path}, line 2: "):
        render(request(machine("summit")))


def test_a_user_may_change_one_block(config: Path) -> None:
    own(
        config,
        TEMPLATES["slurm"],
        '{% extends "shipped/slurm/job.sbatch.j2" %}\n'
        "{% block directives %}\n{{ super() -}}\n"
        "#SBATCH --comment={{ machine.name | directive }}\n{% endblock %}\n",
    )
    plain = (GOLDEN / "slurm-6gpu-one.sbatch").read_text().splitlines()
    changed = render(KEPT["slurm-6gpu-one.sbatch"]).splitlines()
    assert [line for line in changed if line not in plain] == ["#SBATCH --comment=slurm-6gpu"]
    assert [line for line in plain if line not in changed] == []


def test_templates_beside_a_study_come_first(config: Path, tmp_path: Path) -> None:
    own(config, TEMPLATES["slurm"], "of the user\n")
    beside = tmp_path / "templates"
    own(beside, TEMPLATES["slurm"], "beside the study\n")
    one = request(machine("slurm-6gpu"))
    assert render(one, templates=[beside]) == "beside the study\n"
    assert render(one) == "of the user\n"
    assert render(request(machine("summit"))).startswith("#!/bin/bash\n")


def test_a_changed_template_is_read_again(config: Path) -> None:
    path = own(config, TEMPLATES["slurm"], "one\n")
    assert render(request(machine("slurm-6gpu"))) == "one\n"
    path.write_text("another\n")
    assert render(request(machine("slurm-6gpu"))) == "another\n"


def test_a_thousand_scripts_take_less_than_two_seconds() -> None:
    some = request(machine("slurm-6gpu"))
    render(some)
    began = time.process_time()
    for number in range(1000):
        render(replace(some, name=f"demo-3fa9c1-{number}", runs=f"{number}.txt"))
    assert time.process_time() - began < 2.0


def test_planning_does_not_wait_for_jinja() -> None:
    """Rooms that submit nothing do not pay for the template engine."""
    code = "import sys, horovod_lb.schedulers, horovod_lb.schedulers.render; print('jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_templates_studies_and_published_results_are_in_the_wheel(tmp_path: Path) -> None:
    """Built from the tree as `pip install .` does, without the network."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-q",
        "-w",
        str(tmp_path),
    ]
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns(
        ".*", "runs", "results", "build", "dist", "*.egg-info", "tests", "__pycache__"
    )
    shutil.copytree(REPOSITORY, source, symlinks=True, ignore=ignored)
    done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    if "No module named pip" in done.stderr:
        pytest.skip("this environment has no pip")
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".j2")}
    templates = REPOSITORY / "horovod_lb" / "templates"
    expected = {
        str(path.relative_to(REPOSITORY)) for folder in templates.iterdir() for path in folder.glob("*.j2")
    }
    assert shipped == expected
    assert f"horovod_lb/templates/{TEMPLATES['lsf']}" in shipped
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    for below, kind in (("jobs", "*.yaml"), ("jobs", "*.py"), ("analysis/published", "*.*")):
        there = [tree / "horovod_lb" / below for tree in (tmp_path / "installed", REPOSITORY)]
        installed, ours = (
            {str(path.relative_to(tree)) for path in tree.rglob(kind) if path.suffix != ".pyc"}
            for tree in there
        )
        assert installed == ours and len(ours) > 4
    listed = subprocess.run(
        [sys.executable, "-m", "horovod_lb.cli.main", "new", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert {entry["name"] for entry in json.loads(listed.stdout)} == {
        path.stem for path in (REPOSITORY / "jobs" / "studies").glob("*.yaml")
    }


def lsf_scripts() -> list[Path]:
    return [*GOLDEN.glob("*.lsf"), *(REPOSITORY / "lsf" / "examples").iterdir()]


@pytest.mark.parametrize("path", lsf_scripts(), ids=lambda path: path.name)
def test_directives_have_the_documented_grammar_of_bsub(path: Path) -> None:
    """As the stand-in reads it, which refuses what it does not know."""
    options, rest = words(grammar.directives(path.read_text()), grammar.OPTIONS)
    assert rest == []
    assert (options["minutes"], options["warning"], options["warning_minutes"]) == (120, "USR2", 2)
    assert ("nnodes" in options) != ("slots" in options)


def test_questions_have_the_documented_grammar_of_bjobs() -> None:
    for command in (Lsf().query(["1"]), Lsf().load()):
        fields.parse(command.argv[command.argv.index("-o") + 1])
