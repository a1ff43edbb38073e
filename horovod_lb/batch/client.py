"""Asking a scheduler: its commands are run with a time-out and never through a shell."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from horovod_lb.errors import SchedulerError
from horovod_lb.schedulers.children import end_with_parent
from horovod_lb.schedulers.types import Command

if TYPE_CHECKING:
    from horovod_lb.machines import Machine

TIMEOUT = 60.0  # seconds; Slurm's own MessageTimeout is 10 to 30


class Answer(NamedTuple):
    """What a command printed."""

    stdout: str
    stderr: str


def run(command: Command, machine: Machine | None = None, *, timeout: float = TIMEOUT) -> Answer:
    """Runs `command` of a scheduler and returns its answer, whatever its exit status.

    LSF gives exit statuses no firm meaning, so the parsers go by the words. The command is not reached by a
    Ctrl-C at the terminal, but ends with this process: what a killed sender had begun is over when the next
    one looks. `machine` is named where the command cannot be found.

    Raises:
        SchedulerError: it cannot be started, or has not ended after `timeout` seconds.
    """
    with ExitStack() as stack:
        try:
            stdin = stack.enter_context(command.stdin.open("rb")) if command.stdin else subprocess.DEVNULL
            process = subprocess.Popen(
                command.argv,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
                preexec_fn=end_with_parent(signal.SIGKILL),
            )
            with process:
                try:
                    return Answer(*process.communicate(timeout=timeout))
                except BaseException:
                    # The command may be a script of the site's: what that has started goes, too.
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    raise
        except FileNotFoundError as error:
            raise SchedulerError(_not_found(command, machine, error)) from None
        except subprocess.TimeoutExpired:
            raise SchedulerError(
                f"{_program(command)} has not answered in {timeout:g} s: the scheduler is down or slow; "
                "try again later"
            ) from None
        except OSError as error:
            raise SchedulerError(f"{_program(command)} cannot be started: {error.strerror}") from error


def shown(command: Command) -> str:
    """`command` as one would type it."""
    line = shlex.join(command.argv)
    return f"{line} < {shlex.quote(str(command.stdin))}" if command.stdin else line


def _program(command: Command) -> str:
    return Path(command.argv[0]).name


def _not_found(command: Command, machine: Machine | None, error: FileNotFoundError) -> str:
    if command.stdin is not None and error.filename == str(command.stdin):
        return f"{command.stdin} is missing"
    program = _program(command)
    asked = "the scheduler's commands are needed"
    if machine is not None:
        asked = f'the machine profile {machine.name} asks for it (scheduler = "{machine.scheduler}")'
    return (
        f"{program} is not on PATH, and {asked}: use a login node of the machine, load what puts {program} "
        "on PATH, or take another profile (`hlb machines` lists them)"
    )
