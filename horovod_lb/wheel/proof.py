"""The record that this environment's Horovod has passed its self-test, and of what exactly."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

FILE = "hlb-proof.json"
_PACKAGES = ("tensorflow", "tensorflow-cpu", "tensorflow-rocm", "keras", "horovod", "mpi4py")


def fingerprint() -> dict[str, str]:
    """Versions of what was proven, and a hash over the files of the installed Horovod."""
    found = {}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        installed = importlib.metadata.distribution("horovod")
        record = installed.read_text("RECORD") or str(installed.locate_file(""))
        found["files"] = hashlib.sha256(record.encode()).hexdigest()[:16]
    return found


def write(prefix: Path = Path(sys.prefix)) -> None:
    """Notes that the self-test has passed just now; where the environment is read-only, nothing is noted."""
    record = {"time": time.time(), "host": os.uname().nodename, "proven": fingerprint()}
    new = prefix / f"{FILE}.{os.getpid()}.new"
    try:
        new.write_text(json.dumps(record, indent=2), encoding="utf-8")
        new.replace(prefix / FILE)
    except OSError:
        new.unlink(missing_ok=True)


def read(prefix: Path = Path(sys.prefix)) -> dict[str, Any] | None:
    """The record, where it is of what is installed now; else None."""
    try:
        record = json.loads((prefix / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and record.get("proven") == fingerprint() else None
