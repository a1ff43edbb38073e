"""Everything one build stands on, found and checked, and the key that says when two builds are the same."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from horovod_lb.errors import BuildError
from horovod_lb.wheel import source
from horovod_lb.wheel.gpu import Cuda, Nccl, find_cuda, find_nccl
from horovod_lb.wheel.mpi import Mpi, compiler_variables, find_mpi
from horovod_lb.wheel.settings import Settings, resolve_settings
from horovod_lb.wheel.toolchain import CMake, Compiler, cpu_flags, find_cmake, find_compiler, find_make


@dataclass(frozen=True)
class TensorFlow:
    """The installed TensorFlow: its package's name and version, its folder, a hash of its core library."""

    package: str
    version: str
    folder: Path
    core: str


@dataclass(frozen=True)
class Plan:
    """A build that can start: its tools, its settings, the search path of its libraries, and its facts."""

    settings: Settings
    compiler: Compiler
    cmake: CMake
    mpi: Mpi
    tensorflow: TensorFlow
    cuda: Cuda | None
    nccl: Nccl | None
    rpath: str
    arch_flags: str | None
    facts: Mapping[str, str]

    @property
    def key(self) -> str:
        """Sixteen hex digits over all facts: equal keys mean interchangeable wheels."""
        text = json.dumps(dict(self.facts), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def build_environment(self, env: Mapping[str, str], cores: int) -> dict[str, str]:
        """The compilation's environment: `env`, cleared of what would disturb, with the plan's choices."""
        kept = {k: v for k, v in env.items() if not k.startswith(("HOROVOD_WITH", "MAKE", "MFLAGS"))}
        folders = [self.mpi.mpicxx.parent, self.cmake.path.parent]
        if self.cuda:
            folders.insert(0, self.cuda.home / "bin")
        path = os.pathsep.join([*map(str, folders), env.get("PATH", "")])
        chosen = {
            **self.settings.variables,
            **compiler_variables(self.compiler),
            "PATH": path,
            "CXX": str(self.compiler.path),
            "MPI_HOME": str(self.mpi.mpicxx.parent.parent),
            "HOROVOD_CMAKE": str(self.cmake.path),
            "HLB_RPATH": self.rpath,
            # Set-up runs under make, whose own flags would make Horovod's build a serial one.
            "MAKEFLAGS": f"-j{cores}",
        }
        if self.cuda:
            chosen |= {"HOROVOD_CUDA_HOME": str(self.cuda.home), "CUDAToolkit_ROOT": str(self.cuda.home)}
        if self.arch_flags:
            chosen["HOROVOD_BUILD_ARCH_FLAGS"] = self.arch_flags
        return {**kept, **chosen}


def make_plan(env: Mapping[str, str]) -> Plan:
    """Find and check all that the build needs, cheapest first. Raises BuildError with the remedy."""
    settings = resolve_settings(env)
    compiler = find_compiler(env)
    find_make(env)
    cmake = find_cmake(env)
    mpi = find_mpi(env, compiler)
    tensorflow = find_tensorflow()
    needs_cuda = settings.gpu and settings.variables.get("HOROVOD_GPU", "CUDA") == "CUDA"
    cuda = find_cuda(settings, env) if needs_cuda else None
    nccl = find_nccl(settings) if settings.nccl else None
    arch_flags = cpu_flags(env)
    rpath = _search_path(mpi, nccl)
    facts = {
        "horovod": f"{source.VERSION} sha256:{source.SHA256} patches:{source.patches_digest()}",
        "python": f"{sysconfig.get_config_var('SOABI')} {sysconfig.get_platform()}",
        "libc": " ".join(platform.libc_ver()),
        "tensorflow": f"{tensorflow.package} {tensorflow.version} core:{tensorflow.core}",
        "mpi": mpi.version,
        "libraries": rpath,
        "compiler": f"{compiler.version} {compiler.target}",
        "cpu": arch_flags or platform.machine(),
        **settings.variables,
    }
    if settings.gpu and tensorflow.package == "tensorflow-cpu":
        raise BuildError(
            "GPU operations are asked for (HOROVOD_GPU_OPERATIONS), but this environment has "
            "tensorflow-cpu. Make the environment anew with the variable set (`make distclean setup`), "
            "or install tensorflow."
        )
    if cuda:
        facts["cuda"] = cuda.version
    if nccl:
        facts["nccl"] = nccl.version
    return Plan(settings, compiler, cmake, mpi, tensorflow, cuda, nccl, rpath, arch_flags, facts)


def find_tensorflow() -> TensorFlow:
    """The TensorFlow of this environment, without importing it. Raises BuildError."""
    spec = importlib.util.find_spec("tensorflow")
    folder = Path(spec.origin).parent if spec and spec.origin else None
    core = folder / "libtensorflow_framework.so.2" if folder else None
    if folder is None or core is None or not core.exists():
        raise BuildError(
            f"TensorFlow is not installed in this environment ({sys.prefix}), and Horovod is built against "
            "it. Run `make setup`, or install the extra `train` (`train-cpu` without a GPU) of horovod_lb."
        )
    for package in ("tensorflow-cpu", "tensorflow", "tensorflow-rocm", "tf-nightly"):
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        return TensorFlow(package, version, folder, source.sha256_of(core)[:12])
    return TensorFlow("tensorflow", "unknown", folder, source.sha256_of(core)[:12])


def _search_path(mpi: Mpi, nccl: Nccl | None) -> str:
    """Where the wheel's library finds libmpi and libnccl: relative for what lies in the environment."""
    module = Path(sysconfig.get_path("platlib")) / "horovod" / "tensorflow"
    folders = [mpi.library_folder]
    if nccl and nccl.library.suffix != ".a":
        folders.append(nccl.library.parent)
    return ";".join(_relative_to_module(folder, module) for folder in folders)


def _relative_to_module(folder: Path, module: Path) -> str:
    prefix = Path(sys.prefix)
    if folder.is_relative_to(prefix):
        return "$ORIGIN/" + os.path.relpath(folder, module)
    return str(folder)
