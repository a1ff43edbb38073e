"""Asking a program: short answers, with a time-out, without a shell."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SECONDS = 20.0


@dataclass(frozen=True)
class Answer:
    """What a program said. `code` is None where it could not be started or did not end in time."""

    code: int | None
    stdout: str
    stderr: str
    seconds: float

    @property
    def fine(self) -> bool:
        """It ended with status 0."""
        return self.code == 0

    @property
    def complaint(self) -> str:
        """The last line that says something, for a message."""
        lines = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return lines[-1].strip() if lines else f"status {self.code}, no output"


def ask(
    argv: Sequence[str], timeout: float = SECONDS, environment: Mapping[str, str] | None = None
) -> Answer:
    """Runs `argv` and waits for its answer, at most `timeout` seconds."""
    start = time.monotonic()
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=None if environment is None else dict(environment),
        )
    except subprocess.TimeoutExpired:
        return Answer(None, "", f"no answer within {timeout:.0f} s", timeout)
    except OSError as error:
        return Answer(None, "", f"{argv[0]}: {error.strerror}", time.monotonic() - start)
    return Answer(done.returncode, done.stdout, done.stderr, time.monotonic() - start)
