"""HLB_USE_SITE=1: the site's own TensorFlow, Keras, Horovod and MPI, proven before they are used.

Nothing of theirs is installed, upgraded or compiled: modules or a container have brought them.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from horovod_lb.errors import BuildError
from horovod_lb.wheel import pip, progress, proof
from horovod_lb.wheel.cache import WheelCache, default_root
from horovod_lb.wheel.probe import probe
from horovod_lb.wheel.selftest import RANKS, Trial, mpirun_words, self_test
from horovod_lb.wheel.toolchain import output_of, which

VARIABLE = "HLB_USE_SITE"
LAUNCHER = "HLB_SELF_TEST_LAUNCHER"
TESTED_TENSORFLOW = "2.21"


def wanted(env: Mapping[str, str]) -> bool:
    """Whether the environment asks for the site's packages. BuildError: neither 1 nor 0."""
    value = env.get(VARIABLE, "").strip()
    if value not in ("", "0", "1"):
        raise BuildError(f"{VARIABLE}={value} is not understood: set it to 1, or unset it.")
    return value == "1"


def examine(python: str | os.PathLike[str], env: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What this Python's TensorFlow, Keras, Horovod and MPI are; warnings go to standard error.

    Raises BuildError: one of them is not there or will not do.
    """
    print(f"Site: asking {python} for TensorFlow, Keras, Horovod and MPI.", file=sys.stderr)
    report = probe(python, env)
    if refusals := find_refusals(report):
        raise BuildError(
            f"{VARIABLE}=1, and the packages of {python} will not do:\n  "
            + "\n  ".join(refusals)
            + f"\nOr unset {VARIABLE}, and set-up builds its own."
        )
    for warning in find_warnings(report):
        print(f"warning: {warning}", file=sys.stderr)
    return report


def find_refusals(report: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Why the packages of a `probe` cannot carry training, a sentence with its remedy each."""
    tensorflow, keras, horovod = report["tensorflow"], report["keras"], report["horovod"]
    found = []
    if "error" in tensorflow:
        return [
            f"TensorFlow cannot be imported ({tensorflow['error']}). Load the site's module or enter its "
            "container first, or name its Python with `make PYTHON=...`."
        ]
    if _major(tensorflow["keras"]) != 3 or ("error" not in keras and _major(keras["version"]) != 3):
        legacy = tensorflow["keras"] if _major(tensorflow["keras"]) != 3 else keras["version"]
        found.append(
            f"its TensorFlow {tensorflow['version']} uses Keras {legacy}, and horovod_lb is written for "
            "Keras 3: gradients would not be averaged. Unset TF_USE_LEGACY_KERAS, load a module with "
            "TensorFlow 2.16 or later and Keras 3."
        )
    elif "error" in keras:
        found.append(f"Keras cannot be imported ({keras['error']}); load a module with Keras 3.")
    if "error" in horovod:
        found.append(
            f"Horovod cannot be imported for TensorFlow ({horovod['error']}); it must be built with "
            "HOROVOD_WITH_TENSORFLOW=1 against this very TensorFlow."
        )
    elif not horovod["mpi"]:
        found.append(
            f"Horovod {horovod['version']} was built without MPI (HOROVOD_WITH_MPI=1), through which ranks "
            "are started; load a build with MPI."
        )
    return found


def find_warnings(report: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What was not tested in this combination."""
    found = []
    version = report["tensorflow"]["version"]
    if not str(version).startswith(f"{TESTED_TENSORFLOW}."):
        age = "older" if _numbers(version) < _numbers(TESTED_TENSORFLOW) else "newer"
        found.append(
            f"TensorFlow {version} is {age} than {TESTED_TENSORFLOW}, the only one that horovod_lb was "
            "tested with; the self-test and `make test` tell how far it works"
        )
    if "error" in report["mpi4py"]:
        found.append(
            f"mpi4py cannot be imported ({report['mpi4py']['error']}): only `hlb run --isolated` works then"
        )
    return found


def site_trial(env: Mapping[str, str]) -> Trial:
    """How the self-test starts two ranks with the site's launcher. BuildError: there is none."""
    parts = {"mpi": True}
    if words := shlex.split(env.get(LAUNCHER, "")):
        return Trial(tuple(words), None, parts, Path(sys.prefix))
    beside = (
        [str(Path(env["HLB_MPICC"].strip()).parent / "mpirun")] if env.get("HLB_MPICC", "").strip() else []
    )
    mpirun = next((found for name in (*beside, "mpirun", "mpiexec") if (found := which(name, env))), None)
    if mpirun is None:
        raise BuildError(
            "No mpirun is on PATH to start the self-test with. Load the site's MPI module, or name its "
            f"launcher in an allocation: {LAUNCHER}='srun -n {RANKS} --mpi=pmix' "
            "python -m horovod_lb.wheel --self-test"
        )
    _, output = output_of([mpirun, "--version"], env)
    return Trial(mpirun_words(mpirun, "Open MPI" in output or "OpenRTE" in output), None, parts)


def prove(env: Mapping[str, str], *, again: bool = False) -> str:
    """Examines and proves what this environment imports; how it came out, in a few words. BuildError."""
    if not again and (record := proof.read()):
        return f"the site's, proven on {time.strftime('%Y-%m-%d', time.localtime(record['time']))}"
    examine(sys.executable, env)
    log = WheelCache(default_root(env)).logs / f"{time.strftime('%Y%m%d-%H%M%S')}-selftest.log"
    self_test(site_trial(env), env, log)
    return "the site's, self-test passed"


def link_packages(venv: Path) -> None:
    """Where the site's Python is a virtual environment itself, the new one looks into its packages too."""
    if sys.prefix == sys.base_prefix:
        return
    [site] = (venv / "lib").glob("python3*/site-packages")
    folders = [
        path for path in map(Path, sys.path) if path.is_relative_to(sys.prefix) and path.name == site.name
    ]
    lines = [f"import site; site.addsitedir({str(folder)!r})" for folder in dict.fromkeys(folders)]
    (site / "hlb-site.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")


def install_missing(venv: Path, root: Path, extras: Sequence[str], env: Mapping[str, str], log: Path) -> None:
    """Installs those base packages that the site has not, and this project; never one of TensorFlow's own.

    Raises BuildError where the site's packages are too old for this project and cannot be replaced.
    """
    python = str(venv / "bin" / "python")
    needs = progress.run(
        [python, "-m", "horovod_lb.wheel.needs", ",".join(extras)],
        label="Site: which packages are missing",
        log=log,
        env={**env, "PYTHONPATH": os.pathsep.join(filter(None, [str(root), env.get("PYTHONPATH")]))},
        cwd=root,
    )
    if needs.code:
        raise BuildError(
            next((line[7:] for line in needs.tail if line.startswith("error: ")), needs.tail[-1])
        )
    missing = [line[5:] for line in needs.tail if line.startswith("need ")]
    pins = venv / "hlb-site-constraints.txt"
    pins.write_text(
        "\n".join(line[4:] for line in needs.tail if line.startswith("pin ")) + "\n", encoding="utf-8"
    )
    install = [python, "-m", "pip", "--disable-pip-version-check", "install", "--no-compile"]
    steps = [[*install, "--constraint", str(pins), *missing]] if missing else []
    steps.append([*install, "--no-deps", "--no-build-isolation", "--config-settings", "editable_mode=compat"])
    steps[-1] += ["--editable", "."]
    for step in steps:
        done = progress.run(step, label="Site: installing what is missing", log=log, env=dict(env), cwd=root)
        if done.code:
            raise BuildError(pip.explain("\n".join(done.tail), log))


def _major(version: str) -> int:
    return (*_numbers(version), 0)[0]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in str(version).split(".")[:2] if part.isdecimal())
