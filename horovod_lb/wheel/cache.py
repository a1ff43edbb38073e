"""The wheels built so far, a folder each, named by key; written whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from horovod_lb.errors import BuildError
from horovod_lb.wheel.source import sha256_of

_ENTRY = "entry.json"


def default_root(env: Mapping[str, str]) -> Path:
    """The user's cache folder of this project: under XDG_CACHE_HOME if that is absolute, else ~/.cache."""
    base = env.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "horovod_lb"


class WheelCache:
    """Wheels under `root`/wheels/KEY/, each with its facts (entry.json) and its build log."""

    def __init__(self, root: Path) -> None:
        self.wheels = root / "wheels"
        self.sources = root / "sources"
        self.logs = root / "logs"
        try:
            for folder in (self.wheels, self.sources, self.logs):
                folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.wheels):
                pass
        except OSError as error:
            raise BuildError(
                f"The cache folder {root} cannot be written: {error.strerror}. "
                "Set XDG_CACHE_HOME to a folder of yours that can."
            ) from error

    def lookup(self, key: str) -> Path | None:
        """The wheel of `key`, or None; an entry that is incomplete or damaged is removed."""
        folder = self.wheels / key
        try:
            entry = json.loads((folder / _ENTRY).read_text(encoding="utf-8"))
            wheel = folder / str(entry["wheel"])
            if sha256_of(wheel) == entry["sha256"]:
                return wheel
        except FileNotFoundError:
            if not folder.exists():
                return None
        except (OSError, ValueError, KeyError, TypeError):
            pass
        shutil.rmtree(folder, ignore_errors=True)
        return None

    def store(self, key: str, wheel: Path, facts: Mapping[str, str], log: Path) -> Path:
        """Copy a proven wheel in under `key`: prepared beside its place, renamed into it in one step."""
        work = Path(tempfile.mkdtemp(prefix=".new-", dir=self.wheels))
        try:
            work.chmod(0o755)
            shutil.copyfile(wheel, work / wheel.name)
            shutil.copyfile(log, work / "build.log")
            entry = {"key": key, "wheel": wheel.name, "sha256": sha256_of(wheel), "facts": dict(facts)}
            with (work / _ENTRY).open("w", encoding="utf-8") as file:
                json.dump(entry, file, indent=2, sort_keys=True)
                file.flush()
                os.fsync(file.fileno())
            place = self.wheels / key
            shutil.rmtree(place, ignore_errors=True)
            try:
                work.rename(place)
            except OSError:
                if (
                    self.lookup(key) is None
                ):  # else: stored by another build in this very moment, just as good
                    raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return place / wheel.name

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Held while `key` is built, so that two set-ups at once build it once; it ends with its holder.

        On a file system without locks both build, and the later rename wins: wasteful, not wrong.
        """
        with (self.wheels / f".{key}.lock").open("w") as file:
            try:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    print(
                        "Horovod: another process is building the same wheel; waiting for it.",
                        file=sys.stderr,
                    )
                    fcntl.flock(file, fcntl.LOCK_EX)
            except OSError:
                pass
            yield

    def nearest(self, facts: Mapping[str, str]) -> list[str]:
        """How the most similar cached wheel differs, a line a fact; empty where there is none."""
        best: list[str] | None = None
        for path in sorted(self.wheels.glob(f"*/{_ENTRY}")):
            try:
                other = json.loads(path.read_text(encoding="utf-8"))["facts"]
                names = sorted(set(facts) | set(other))
            except (OSError, ValueError, KeyError, TypeError):
                continue
            differences = [
                f"{name}: here {facts.get(name, 'unset')}, cached {other.get(name, 'unset')}"
                for name in names
                if facts.get(name) != other.get(name)
            ]
            if best is None or len(differences) < len(best):
                best = differences
        return best or []
