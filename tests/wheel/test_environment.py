from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from horovod_lb.errors import BuildError
from horovod_lb.wheel import environment, site
from horovod_lb.wheel.settings import build_variables, recall

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("version", [(3, 9), (3, 14), (2, 7)])
def test_python_that_tensorflow_has_no_package_for(version: tuple[int, int]) -> None:
    with pytest.raises(
        BuildError, match=rf"Python {version[0]}\.{version[1]} .*3\.10 to 3\.13.*make PYTHON="
    ):
        environment.check_python(version)


def test_python_without_ensurepip(tmp_path: Path) -> None:
    """A standard library as Debian ships it without python3-venv: everything but ensurepip."""
    for entry in Path(sysconfig.get_path("stdlib")).iterdir():
        if entry.name not in ("ensurepip", "site-packages", "dist-packages"):
            (tmp_path / entry.name).symlink_to(entry)
    paths = [str(tmp_path), str(tmp_path / "lib-dynload"), str(ROOT)]
    script = f"import sys; sys.path[:] = {paths!r}; from horovod_lb.wheel import environment; "
    script += "sys.exit(environment.main())"
    done = subprocess.run(
        [sys.executable, "-S", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "its ensurepip is missing" in done.stderr
    assert "apt install python3-venv" in done.stderr
    assert "Traceback" not in done.stderr


def test_extras_follow_the_build_variables() -> None:
    assert set(environment.default_extras({})) == {"build", "test", "train-cpu", "mpi"}
    gpu = environment.default_extras({"HOROVOD_GPU_OPERATIONS": "NCCL"})
    assert set(gpu) == {"build", "test", "train", "cuda", "mpi"}
    site = environment.default_extras({"HLB_MPICC": "/opt/mpi/bin/mpicc"})
    assert set(site) == {"build", "test", "train-cpu"}


def test_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "venv").mkdir()
    precious = tmp_path / "venv" / "thesis.tex"
    precious.write_text("years of work", encoding="utf-8")
    with pytest.raises(BuildError, match=r"was not made by this set-up.*make VENV="):
        environment.set_up(tmp_path / "venv", os.environ)
    assert precious.read_text(encoding="utf-8") == "years of work"


def test_no_network(tmp_path: Path, unreachable_index: dict[str, str]) -> None:
    """Real set-up of a real virtual environment; its first package cannot be fetched."""
    venv = tmp_path / "venv"
    with pytest.raises(
        BuildError, match=r"The package index cannot be reached.*PIP_FIND_LINKS.*hlb-setup\.log"
    ):
        environment.set_up(venv, unreachable_index)
    assert (venv / "bin" / "python").exists()
    # The half-made folder is known as our own: the next try goes on with it instead of refusing it.
    with pytest.raises(BuildError, match="The package index cannot be reached"):
        environment.set_up(venv, unreachable_index)


def ready(venv: Path, env: dict[str, str]) -> None:
    """A folder in the state that a finished set-up leaves behind."""
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    layout = {
        "python": sys.version.split()[0],
        "base": sys.base_prefix,
        "extras": sorted(environment.default_extras(env)),
    }
    state = {
        "layout": layout,
        "inputs": environment.inputs_digest(env),
        "variables": build_variables(env),
        "summary": "all there",
    }
    (venv / "hlb-environment.json").write_text(json.dumps(state), encoding="utf-8")


def test_second_time_there_is_nothing_to_do(tmp_path: Path) -> None:
    env = {"PATH": "/nowhere"}  # no tool could be found, so nothing can have been run
    ready(tmp_path, env)
    assert environment.set_up(tmp_path, env) == "all there"


@pytest.mark.parametrize(
    "change", [{"HLB_MPICC": "/x"}, {"HOROVOD_WITH_GLOO": "1"}, {"CXX": "clang++"}, {"HOROVOD_GPU": "ROCM"}]
)
def test_changed_wishes_are_noticed(change: dict[str, str]) -> None:
    assert environment.inputs_digest(change) != environment.inputs_digest({})


def test_a_gpu_site_says_its_wish_once(tmp_path: Path) -> None:
    env = {"PATH": "/nowhere", "HOROVOD_GPU_OPERATIONS": "NCCL", "CXXFLAGS": "-O2"}
    ready(tmp_path, env)
    assert environment.set_up(tmp_path, {"PATH": "/nowhere"}) == "all there"  # the same wish, remembered
    recalled = recall({"PATH": "/nowhere", "CXXFLAGS": "-O1"}, tmp_path)
    assert (recalled["HOROVOD_GPU_OPERATIONS"], recalled["CXXFLAGS"]) == ("NCCL", "-O1")
    assert "HOROVOD_GPU_OPERATIONS" not in recall({"HOROVOD_WITH_GLOO": "1"}, tmp_path)  # a new wish
    assert recall({"PATH": "/x"}, tmp_path / "none") == {"PATH": "/x"}


def test_unrelated_variables_change_nothing() -> None:
    assert environment.inputs_digest(
        {"OMP_NUM_THREADS": "1", "HOROVOD_TIMELINE": "x"}
    ) == environment.inputs_digest({})


def test_bytecode_is_there_and_used_where_none_may_be_written() -> None:
    """Containers set PYTHONDONTWRITEBYTECODE: what set-up compiled must still be read."""
    if not (Path(sys.prefix) / "hlb-environment.json").exists():
        pytest.skip("this environment was not made by `make setup`")
    if site.wanted(recall(os.environ, Path(sys.prefix))):
        pytest.skip("the packages here are the site's")
    done = subprocess.run(
        [
            sys.executable,
            "-v",
            "-c",
            "import keras.src.version, horovod.common.util, tensorflow.python.util.tf_export",
        ],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    packages = sysconfig.get_path("platlib")
    read = [
        line
        for line in done.stderr.splitlines()
        if line.startswith(f"# {packages}") and ".pyc matches" in line
    ]
    # Python writes "code object from '....pyc'" for what it read, and without quotes for what it compiled.
    compiled = [
        line for line in done.stderr.splitlines() if line.startswith(f"# code object from {packages}")
    ]
    for package in ("keras", "horovod", "tensorflow"):
        assert any(f"{packages}/{package}/" in line for line in read), package
    assert compiled == []  # no source file had to be compiled anew


def test_every_requirement_is_pinned() -> None:
    """Nothing that set-up installs is left to the day's newest version."""
    if not (Path(sys.prefix) / "hlb-environment.json").exists():
        pytest.skip("this environment was not made by `make setup`")
    if site.wanted(recall(os.environ, Path(sys.prefix))):
        pytest.skip("the packages here are the site's")
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.split("==")[0].strip().lower().replace("_", "-") for line in lines if "==" in line}
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--format", "json"], capture_output=True, text=True, check=True
    )
    names = {entry["name"].lower().replace("_", "-") for entry in json.loads(listed.stdout)}
    assert names - pinned - {"pip", "horovod", "horovod-lb"} == set()


def test_make_explains_itself() -> None:
    make = shutil.which("make") or pytest.skip("make is not on this machine")
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}

    def said(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([make, *words], cwd=ROOT, env=env, capture_output=True, text=True, check=False)

    helped = said("help").stdout
    for target in ("demo", "test", "test-all", "test-nccl-build", "lint", "clean"):
        assert f"\n{target} " in f"\n{helped}"
    wrong = said("setup", "PYTHON=/nowhere/python3")
    assert wrong.returncode != 0
    assert "error: /nowhere/python3 is no Python 3.10 to 3.13" in wrong.stderr
    assert "make PYTHON=" in wrong.stderr
    steps = said("-n", "demo").stdout
    order = [
        steps.index(step) for step in ("horovod_lb.wheel.environment", "hlb run", "hlb collect", "hlb report")
    ]
    assert order == sorted(order)


@pytest.mark.parametrize("status", [0, 2])
def test_ci_ends_as_make_test_ends(tmp_path: Path, status: int) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    recipe = "true" if status == 0 else "false"
    (tmp_path / "Makefile").write_text(f"test:\n\t@echo tested here\n\t@{recipe}\n", encoding="utf-8")
    done = subprocess.run(
        ["bash", str(tmp_path / ".ci" / "run")], cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == status
    assert "tested here" in done.stdout
