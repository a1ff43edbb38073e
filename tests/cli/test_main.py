"""The entry point: verbs, errors, exit codes."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from horovod_lb import __version__
from horovod_lb.cli.main import VERBS
from horovod_lb.errors import BuildError, RequestError

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, signal, sys
from horovod_lb.cli import main as entry
from horovod_lb import errors

def boom():
    {body}

sys.modules["boom"] = type(sys)("boom")
sys.modules["boom"].boom = boom
entry.VERBS["plan"] = entry.Verb("boom:boom", "")
entry.main(["plan"])
"""


def run(body, **environment):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=body)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        check=False,
    )


def hlb(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "horovod_lb.cli.main", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )


def test_help_lists_every_verb_with_its_line():
    text = hlb("--help").stdout
    for name, verb in VERBS.items():
        assert f"  {name} " in text
        assert verb.help in text


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_is_there_and_explains_itself(name):
    module, function = VERBS[name].target.split(":")
    assert callable(getattr(importlib.import_module(module), function))
    done = hlb(name, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: hlb {name} ")


def test_version():
    assert hlb("--version").stdout == f"hlb {__version__}\n"


def test_a_misspelled_verb():
    done = hlb("pln")
    assert done.returncode == 2
    assert "Did you mean 'plan'?" in done.stderr


def test_without_a_verb_the_help_is_shown():
    done = hlb()
    assert done.returncode == 2
    assert "Commands:" in done.stdout + done.stderr


@pytest.mark.parametrize("error", [RequestError, BuildError])
def test_errors_of_the_project_are_their_message_alone(error):
    done = run(f"raise errors.{error.__name__}('study.yaml:3: wrong')")
    assert (done.returncode, done.stderr) == (error.exit_code, "hlb: study.yaml:3: wrong\n")
    assert (RequestError.exit_code, BuildError.exit_code) == (2, 1)


def test_unexpected_errors_say_how_to_see_more():
    done = run("1 / 0")
    assert done.returncode == 1
    assert done.stderr == (
        "hlb: unexpected ZeroDivisionError: division by zero\n"
        "Set HLB_DEBUG=1 and repeat the command to see the traceback.\n"
    )
    debugged = run("1 / 0", HLB_DEBUG="1")
    assert debugged.returncode == 1
    assert debugged.stderr.startswith("Traceback") and debugged.stderr.endswith(
        "ZeroDivisionError: division by zero\n"
    )


def test_exit_codes_of_verbs():
    assert run("pass").returncode == 0
    assert run("import typer; raise typer.Exit(1)").returncode == 1


def test_interrupt():
    done = run("os.kill(os.getpid(), signal.SIGINT)")
    assert done.returncode == 128 + signal.SIGINT
    assert "Traceback" not in done.stderr


def test_a_closed_pipe_is_no_error_worth_a_traceback():
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"{sys.executable} -m horovod_lb.cli.main plan tests/study/example/study.yaml --json | true",
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert "Traceback" not in done.stderr and "unexpected" not in done.stderr
