"""Facts of one host that decide whether training can work there; `checks` says what follows from them."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MOUNTS = Path("/proc/self/mounts")
_PROBE_BYTES = 64 << 10


@dataclass(frozen=True)
class Folder:
    """A folder as this host sees it: `free` bytes for this user, `file_system` such as nfs4 or tmpfs.

    `error`: why nothing can be written into it, None where that was tried and works.
    """

    path: str
    free: int | None
    file_system: str
    error: str | None


def folder(path: str | os.PathLike[str]) -> Folder:
    """Looks at a folder and writes a small file into it, which also tells a quota that is used up.

    `~` and `$NAME` are this host's. A folder that is not there is looked at where it would be made.
    """
    wanted = Path(os.path.expandvars(path)).expanduser()
    if "$" in str(wanted):
        return Folder(str(wanted), None, "", "names an environment variable that is not set")
    there = next(place for place in (wanted, *wanted.absolute().parents) if place.is_dir())
    try:
        space = os.statvfs(there)
    except OSError as error:
        return Folder(str(wanted), None, "", str(error.strerror))
    return Folder(str(wanted), space.f_bavail * space.f_frsize, file_system(there), _write_error(there))


def _write_error(place: Path) -> str | None:
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".hlb-") as file:
            file.write(os.urandom(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return None


def file_system(path: str | os.PathLike[str], mounts: Path = MOUNTS) -> str:
    """The type of the file system that holds `path`, as /proc/mounts names it; "" where it does not tell."""
    place = Path(path).resolve()
    best, kind = -1, ""
    with contextlib.suppress(OSError):
        for line in mounts.read_text(errors="replace").splitlines():
            _, point, name, *_ = line.split(" ")
            mounted = Path(point.replace("\\040", " "))
            if place.is_relative_to(mounted) and len(mounted.parts) >= best:
                best, kind = len(mounted.parts), name
    return kind


def facts(folders: Mapping[str, str]) -> dict[str, Any]:
    """This host's name, clock, folders by name, TMPDIR and the rights of `~/.ssh/config`, as plain data."""
    return {
        "host": os.uname().nodename,
        "time": time.time(),
        "folders": {name: asdict(folder(path)) for name, path in folders.items()},
        "tmpdir": os.environ.get("TMPDIR"),
        "ssh_config": ssh_config_mode(),
    }


def ssh_config_mode() -> int | None:
    """The permission bits of `~/.ssh/config`; None where there is none."""
    try:
        return stat.S_IMODE((Path.home() / ".ssh" / "config").stat().st_mode)
    except (OSError, RuntimeError):
        return None
