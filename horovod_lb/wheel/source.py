"""Horovod's source: fetched from the package index, pinned by hash, mended for the TensorFlow of today."""

from __future__ import annotations

import hashlib
import re
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from horovod_lb.errors import BuildError
from horovod_lb.wheel import progress

VERSION = "0.28.1"
ARCHIVE = f"horovod-{VERSION}.tar.gz"
SHA256 = "92a43f5a94c43907a56805bad15f19700c62ffc83b7ca483f9e104e229f67ef0"


@dataclass(frozen=True)
class Patch:
    """A replacement of one exact text, which must occur exactly once, in one file of the source."""

    why: str
    file: str
    old: str
    new: str


PATCHES = (
    Patch(
        why="the XLA operations use headers that TensorFlow's package no longer carries",
        file="horovod/tensorflow/CMakeLists.txt",
        old='list(APPEND TF_SOURCES "${PROJECT_SOURCE_DIR}/horovod/tensorflow/xla_mpi_ops.cc")\n',
        new="",
    ),
    Patch(
        why="TensorFlow no longer exports AsGpuStreamValue: the forward declaration goes ...",
        file="horovod/tensorflow/mpi_ops.cc",
        old="""// Forward declaration of AsGpuStreamValue
namespace stream_executor {
namespace gpu {
GpuStreamHandle AsGpuStreamValue(Stream* stream);
} // namespace stream_executor
} // namespace gpu
""",
        new="",
    ),
    Patch(
        why="... and the function is defined from the public stream header instead",
        file="horovod/tensorflow/mpi_ops.cc",
        old="""#endif // TENSORFLOW_VERSION >= 2011000000
#endif // HAVE_GPU
""",
        new="""#endif // TENSORFLOW_VERSION >= 2011000000
namespace stream_executor {
namespace gpu {
inline GpuStreamHandle AsGpuStreamValue(Stream* stream) {
  return static_cast<GpuStreamHandle>(stream->platform_specific_handle().stream);
}
} // namespace gpu
} // namespace stream_executor
#endif // HAVE_GPU
""",
    ),
    Patch(
        why="libraries are found relative to the wheel, so that a cached wheel works in any environment",
        file="CMakeLists.txt",
        old="project(horovod CXX)\n",
        new="""project(horovod CXX)
set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)
set(CMAKE_INSTALL_RPATH "$ENV{HLB_RPATH}")
""",
    ),
)


def patches_digest() -> str:
    """Twelve hex digits that change whenever a patch does: part of the wheel's key."""
    text = "\0".join(part for patch in PATCHES for part in (patch.file, patch.old, patch.new))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_archive(path: Path) -> Path:
    """`path`, if it is the very source distribution this build was written for. Raises BuildError."""
    if not path.is_file():
        raise BuildError(f"There is no file {path}. Give the path of {ARCHIVE} after --sdist.")
    found = sha256_of(path)
    if found != SHA256:
        raise BuildError(
            f"{path} is not the source distribution of Horovod {VERSION}: its SHA-256 is {found} "
            f"({path.stat().st_size} bytes), expected {SHA256}. "
            "It is truncated or was changed: delete it and fetch it again."
        )
    return path


def fetch(folder: Path, env: Mapping[str, str], log: Path) -> Path:
    """The source distribution in `folder`, downloaded with pip (as pip is configured) if it is not there.

    pip is told the hash, so nothing of a wrong file is ever run. Raises BuildError.
    """
    target = folder / ARCHIVE
    if target.exists():
        try:
            return check_archive(target)
        except BuildError:
            target.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=folder) as work:
        requirement = Path(work) / "requirement.txt"
        requirement.write_text(f"horovod=={VERSION} --hash=sha256:{SHA256}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps"]
        command += ["--no-binary", ":all:", "--no-build-isolation", "--require-hashes", "--dest", work]
        command += ["--requirement", str(requirement)]
        finished = progress.run(command, label="Horovod: fetching the source", log=log, env=dict(env))
        downloaded = Path(work) / ARCHIVE
        if finished.code or not downloaded.exists():
            raise BuildError(_explain_download("\n".join(finished.tail), log))
        check_archive(downloaded)
        downloaded.replace(target)
    return target


def says_unreachable(output: str) -> bool:
    """Whether pip's output is that of a machine that cannot reach its package index."""
    words = r"Retrying|Connection|ConnectTimeout|ReadTimeout|ProxyError|SSLError|name resolution|unreachable"
    return bool(re.search(words, output))


def _explain_download(output: str, log: Path) -> str:
    offline = (
        f"Connect this machine, point pip at a mirror (PIP_INDEX_URL), or copy {ARCHIVE} here and run "
        "`python -m horovod_lb.wheel --sdist FILE`; docs/horovod.md tells how to carry a finished wheel over."
    )
    if "DO NOT MATCH THE HASHES" in output:
        return (
            f"The package index delivered a {ARCHIVE} that is not the pinned one (SHA-256 {SHA256}): "
            f"truncated on the way, or changed. Nothing of it was run. Try again, or use another index. "
            f"{offline}"
        )
    if says_unreachable(output):
        return f"The package index cannot be reached, so Horovod's source could not be fetched. {offline}"
    if re.search(r"no matching distribution|could not find a version", output, re.IGNORECASE):
        return (
            f"pip found no source distribution horovod=={VERSION}: no index, or none that has it. {offline}"
        )
    last = output.strip().splitlines()[-1] if output.strip() else "no output"
    return f"pip could not fetch Horovod's source: {last} (log: {log}). {offline}"


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack the source distribution into `folder` and mend it; the source's folder. Raises BuildError."""
    with tarfile.open(archive, "r:gz") as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(folder, filter="data")
        else:  # older maintenance releases of Python 3.10 and 3.11; the archive's hash has been checked
            tar.extractall(folder)
    source = folder / f"horovod-{VERSION}"
    for patch in PATCHES:
        apply(patch, source)
    return source


def apply(patch: Patch, source: Path) -> None:
    """Apply one patch. Raises BuildError unless its text occurs exactly once."""
    path = source / patch.file
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    count = text.count(patch.old)
    if count != 1:
        raise BuildError(
            f"Horovod's source is not as expected: the text to mend in {patch.file} occurs {count} times, "
            f"not once ({patch.why}). Only Horovod {VERSION} can be built: use its unchanged source "
            "distribution."
        )
    path.write_text(text.replace(patch.old, patch.new), encoding="utf-8")
