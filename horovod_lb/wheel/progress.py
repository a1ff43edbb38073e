"""Run a long command with its output in a log file and its progress on the terminal."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import IO, TextIO

_PERCENT = re.compile(r"^\[\s*\d+%\]")
_TAIL_LINES = 5000


class Finished:
    """What a command left behind: `code`, `seconds`, and `tail`, its last lines of output."""

    def __init__(self, code: int, seconds: float, tail: Sequence[str]) -> None:
        self.code = code
        self.seconds = seconds
        self.tail = tuple(tail)


class _Reader(threading.Thread):
    """Copies a command's output to the log and keeps the line worth showing."""

    def __init__(self, stream: IO[str], log: IO[str]) -> None:
        super().__init__(daemon=True)
        self._stream, self._log = stream, log
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self.shown = ""

    def run(self) -> None:
        counted = False  # once a build counts its steps ("[ 45%] ..."), only those lines are shown
        for line in self._stream:
            self._log.write(line)
            self._log.flush()
            text = line.strip()
            if not text:
                continue
            self.tail.append(text)
            is_step = bool(_PERCENT.match(text))
            counted = counted or is_step
            if is_step or not (counted or text.startswith("WARNING")):
                self.shown = text


class _Display:
    """One line, rewritten every half second on a terminal; elsewhere a new line every 15 seconds."""

    def __init__(self, label: str, out: TextIO) -> None:
        self._label, self._out = label, out
        self._live = out.isatty()
        self._next = 0.0 if self._live else 15.0

    def update(self, seconds: float, line: str) -> None:
        if seconds < self._next:
            return
        self._next = seconds + (0.5 if self._live else 15.0)
        text = f"{self._label}  {seconds:4.0f} s  {line}"
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            self._out.write("\r" + text[:width].ljust(width))
        else:
            self._out.write(text[:160] + "\n")
        self._out.flush()

    def close(self, seconds: float, succeeded: bool) -> None:
        if self._live:
            self._out.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")
        self._out.write(f"{self._label}  {seconds:4.0f} s  {'done' if succeeded else 'failed'}\n")
        self._out.flush()


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    label: str,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
    accept: Collection[int] = (0,),
    out: TextIO | None = None,
) -> Finished:
    """Run `command` to its end, append its output to `log`; show `label`, the seconds, its latest line.

    The command runs as a process group of its own, ended as a whole on Ctrl-C and after `timeout` seconds
    (code -15 then). A code that is not in `accept` is shown as a failure.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    display = _Display(label, out or sys.stderr)
    start = time.monotonic()
    with log.open("a", encoding="utf-8") as log_file:
        log_file.write("$ " + " ".join(map(str, command)) + "\n")
        log_file.flush()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
        assert process.stdout is not None
        reader = _Reader(process.stdout, log_file)
        reader.start()
        try:
            while process.poll() is None:
                seconds = time.monotonic() - start
                display.update(seconds, reader.shown)
                if timeout is not None and seconds > timeout:
                    break
                time.sleep(0.05)
        finally:
            _end_group(process)
            reader.join(timeout=5)
    seconds = time.monotonic() - start
    display.close(seconds, process.returncode in accept)
    return Finished(process.returncode, seconds, reader.tail)


def _end_group(process: subprocess.Popen[str]) -> None:
    """End the command with everything it started, if it still runs."""
    if process.poll() is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(timeout=5)
            return
        except subprocess.TimeoutExpired:
            continue
