"""From a plan to an installed, proven wheel: out of the cache, or compiled and then cached."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from horovod_lb.errors import BuildError
from horovod_lb.wheel import progress, source
from horovod_lb.wheel.cache import WheelCache, default_root
from horovod_lb.wheel.gpu import Nccl
from horovod_lb.wheel.plan import Plan, make_plan
from horovod_lb.wheel.selftest import self_test, trial
from horovod_lb.wheel.toolchain import first_error

_MEMORY_PER_COMPILER = 2 << 30

#: What CMake or the compiler says, and what to do about it; the first that is found in the log is told.
_REMEDIES = (
    (
        r"Could NOT find NCCL",
        "NCCL was not found: install the nvidia-nccl-cu12 package or set HOROVOD_NCCL_HOME to the folder "
        "that holds include/nccl.h and lib/libnccl.so.",
    ),
    (
        r"Could NOT find CUDAToolkit",
        "CMake could not use this CUDA toolkit: name a complete one with HOROVOD_CUDA_HOME=/path/to/cuda.",
    ),
    (r"Could NOT find MPI", "CMake could not use this MPI: name another with HLB_MPICC=/path/to/mpicc."),
    (
        r"Killed signal|out of memory|virtual memory exhausted|Cannot allocate memory",
        "The compiler ran out of memory: give the build more (each compiler needs up to 2 GB), or fewer "
        "processes with HLB_BUILD_CORES=1.",
    ),
    (r"No space left on device", "The disk is full: make room, or set TMPDIR to a folder with 2 GB free."),
    (
        r"unsupported GNU version",
        "This nvcc does not take this compiler: name an older one with CXX=/path/to/g++.",
    ),
    (
        r"Unsupported gpu architecture",
        "This nvcc does not know that GPU: correct HOROVOD_BUILD_CUDA_CC_LIST (such as 80,90).",
    ),
)


@dataclass(frozen=True)
class Outcome:
    """What `ensure` did: the wheel's key, how it came (`present`, `cached` or `built`), and the seconds."""

    key: str
    how: str
    seconds: float


def ensure(
    env: Mapping[str, str] | None = None,
    *,
    archive: Path | None = None,
    rebuild: bool = False,
    prove: bool = True,
) -> Outcome:
    """Have the right Horovod installed in this environment: as it is, from the cache, or built now.

    `archive` is the source distribution on a machine without an index; `rebuild` ignores what exists; `prove`
    runs the self-test on two ranks after every installation, and nothing unproven enters the cache.
    Raises BuildError with the remedy.
    """
    env = dict(os.environ if env is None else env)
    start = time.monotonic()
    plan = make_plan(env)
    if not rebuild and installed_key() == plan.key:
        return Outcome(plan.key, "present", time.monotonic() - start)
    cache = WheelCache(default_root(env))
    log = cache.logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    with cache.lock(plan.key):
        wheel = None if rebuild else cache.lookup(plan.key)
        how = "cached" if wheel else "built"
        with tempfile.TemporaryDirectory(prefix="hlb-horovod-") as work:
            if wheel is None:
                fresh = _build(plan, cache, archive, env, Path(work), log)
                # Installed from a folder named by the key, as a cached wheel is: see installed_key().
                wheel = Path(work) / plan.key / fresh.name
                wheel.parent.mkdir()
                fresh.rename(wheel)
            install(wheel, env, log)
            if prove:
                try:
                    self_test(trial(plan), env, log)
                except BuildError:
                    uninstall(env, log)
                    raise
                if how == "built":
                    cache.store(plan.key, wheel, plan.facts, log)
    return Outcome(plan.key, how, time.monotonic() - start)


def _build(
    plan: Plan, cache: WheelCache, archive: Path | None, env: Mapping[str, str], work: Path, log: Path
) -> Path:
    try:
        fetched = source.check_archive(archive) if archive else source.fetch(cache.sources, env, log)
    except BuildError as error:
        differences = cache.nearest(plan.facts)
        if not differences:
            raise
        raise BuildError(
            f"{error}\nNo cached wheel fits this environment (key {plan.key}, folder {cache.wheels}); "
            "the nearest differs in:\n  " + "\n  ".join(differences)
        ) from error
    if archive:
        shutil.copyfile(archive, cache.sources / source.ARCHIVE)
    tree = source.unpack(fetched, work)
    build_env = plan.build_environment(env, build_cores(env))
    if plan.nccl and plan.nccl.library.suffix != ".a":
        build_env.update(_nccl_view(plan.nccl, work))
    return compile_wheel(tree, build_env, log)


def _nccl_view(nccl: Nccl, work: Path) -> dict[str, str]:
    """NCCL under the name the linker asks for: the package brings libnccl.so.2 but no libnccl.so."""
    library = work / "nccl"
    library.mkdir()
    (library / "libnccl.so").symlink_to(nccl.library)
    return {
        "HOROVOD_NCCL_INCLUDE": str(nccl.include),
        "HOROVOD_NCCL_LIB": str(library),
        "HOROVOD_NCCL_LINK": "SHARED",
    }


def build_cores(env: Mapping[str, str]) -> int:
    """How many compilers run at once: HLB_BUILD_CORES, else this process's cores as far as memory allows."""
    if wanted := env.get("HLB_BUILD_CORES", "").strip():
        if not wanted.isdigit() or int(wanted) < 1:
            raise BuildError(
                f"HLB_BUILD_CORES={wanted} is not a number of cores: give 1 or more, or unset it."
            )
        return int(wanted)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(len(os.sched_getaffinity(0)), memory // _MEMORY_PER_COMPILER))


def compile_wheel(tree: Path, env: Mapping[str, str], log: Path) -> Path:
    """Compile the source in `tree` with pip; the wheel. Raises BuildError with the first error."""
    out = tree.parent / "wheels"
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--verbose", "--no-deps"]
    command += ["--no-build-isolation", "--no-cache-dir", "--wheel-dir", str(out), str(tree)]
    finished = progress.run(command, label="Horovod: compiling", log=log, env=env)
    wheels = sorted(out.glob("*.whl"))
    if finished.code == 0 and len(wheels) == 1:
        return wheels[0]
    raise BuildError(_explain_compilation("\n".join(finished.tail), log))


def _explain_compilation(output: str, log: Path) -> str:
    for pattern, remedy in _REMEDIES:
        if re.search(pattern, output):
            return f"Horovod did not compile. {remedy} The whole output is in {log}."
    return (
        f"Horovod did not compile: {first_error(output)}\nThe whole output is in {log}. Try another compiler "
        "(CXX=/path/to/g++) or the pinned TensorFlow (constraints.txt); docs/horovod.md lists what was "
        "tested."
    )


def install(wheel: Path, env: Mapping[str, str], log: Path) -> None:
    """Install `wheel` in place of any other Horovod, without an index. Raises BuildError."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--no-deps",
        "--no-index",
    ]
    command += ["--force-reinstall", "--compile", str(wheel)]
    finished = progress.run(command, label="Horovod: installing", log=log, env=dict(env))
    if finished.code:
        raise BuildError(
            f"pip could not install {wheel.name}: {first_error(chr(10).join(finished.tail))} (log: {log}). "
            f"Check that {sys.prefix} can be written."
        )


def uninstall(env: Mapping[str, str], log: Path) -> None:
    """Take Horovod out of this environment: nothing that failed its test stays behind."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "uninstall", "--yes", "horovod"]
    progress.run(command, label="Horovod: removing", log=log, env=dict(env))


def installed_key() -> str | None:
    """The key of the installed Horovod, or None where there is none or it is not of this project's making.

    pip notes where a package came from (direct_url.json), and this project's wheels come from a folder
    that is named by their key.
    """
    try:
        text = importlib.metadata.distribution("horovod").read_text("direct_url.json")
        url = str(json.loads(text or "{}").get("url", ""))
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None
    match = re.search(r"/([0-9a-f]{16})/horovod-[^/]*\.whl$", url)
    return match[1] if match else None
