"""Commands of a scheduler: no shell, no waiting for ever, nothing left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from planning import machine

from horovod_lb.batch import client
from horovod_lb.errors import SchedulerError
from horovod_lb.schedulers.types import Command

PRINT = "import sys; print(sys.argv[1:]); print(sys.stdin.read(), file=sys.stderr); sys.exit(3)"


def test_arguments_arrive_as_they_are(tmp_path: Path) -> None:
    words = ["$(touch x)", "a;b", "`id`", "two words", "'\"", "*", "line\nbreak"]
    out, _ = client.run(Command((sys.executable, "-c", PRINT, *words)))
    assert out.strip() == str(words)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_its_standard_input(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#BSUB -n 1\n")
    _, err = client.run(Command((sys.executable, "-c", PRINT), stdin=tmp_path / "script"))
    assert err.strip() == "#BSUB -n 1"
    _, err = client.run(Command((sys.executable, "-c", PRINT)))
    assert err.strip() == ""


def test_a_command_that_hangs_is_ended(tmp_path: Path) -> None:
    mark = tmp_path / "alive"
    script = f"import time; from pathlib import Path; time.sleep(2); Path({str(mark)!r}).touch()"
    with pytest.raises(SchedulerError, match=r"has not answered in 0.5 s"):
        client.run(Command((sys.executable, "-c", script)), timeout=0.5)
    time.sleep(2.5)
    assert not mark.exists()


def test_what_a_hanging_script_has_started_is_ended_with_it(tmp_path: Path) -> None:
    script = tmp_path / "sbatch"
    script.write_text(f"#!/bin/sh\n(sleep 2; touch {tmp_path}/alive) &\nwait\n")
    script.chmod(0o755)
    began = time.monotonic()
    with pytest.raises(SchedulerError, match="has not answered"):
        client.run(Command((str(script),)), timeout=0.5)
    assert time.monotonic() - began < 2
    time.sleep(2.5)
    assert not (tmp_path / "alive").exists()


def test_what_is_not_there_is_named_with_who_asks() -> None:
    with pytest.raises(SchedulerError) as caught:
        client.run(Command(("no-such-sbatch",)), machine())
    assert "no-such-sbatch is not on PATH" in str(caught.value)
    assert 'machine profile site asks for it (scheduler = "slurm")' in str(caught.value)
    with pytest.raises(SchedulerError, match="is missing"):
        client.run(Command((sys.executable,), stdin=Path("/no/such/script")))


def test_what_may_not_be_started_is_named(tmp_path: Path) -> None:
    (tmp_path / "sbatch").write_text("")
    with pytest.raises(SchedulerError, match="sbatch cannot be started"):
        client.run(Command((str(tmp_path / "sbatch"),)))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends a child with its parent on Linux only")
def test_a_command_ends_with_its_sender(tmp_path: Path) -> None:
    began, ended = tmp_path / "began", tmp_path / "ended"
    slow = (
        "import os, time; from pathlib import Path; "
        f"Path({str(began)!r}).write_text(str(os.getpid())); time.sleep(3); Path({str(ended)!r}).touch()"
    )
    sender = (
        "import sys; from horovod_lb.batch import client; from horovod_lb.schedulers.types import Command\n"
        f"client.run(Command((sys.executable, '-c', {slow!r})))"
    )
    process = subprocess.Popen([sys.executable, "-c", sender])
    while not began.exists() or not began.read_text():
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 2
    while (
        status := Path(f"/proc/{began.read_text()}/status")
    ).exists() and "zombie" not in status.read_text():
        assert time.monotonic() < deadline, "the command outlived its sender"
        time.sleep(0.05)
    assert not ended.exists()


def test_ctrl_c_at_the_terminal_does_not_reach_it() -> None:
    script = "import os; print(os.getsid(0) == os.getpid())"
    assert client.run(Command((sys.executable, "-c", script)))[0].strip() == "True"


def test_a_command_is_shown_as_one_would_type_it(tmp_path: Path) -> None:
    command = Command(("bsub", "-J", "a[1-3]%2"), stdin=Path("/x y/1.sh"))
    assert client.shown(command) == "bsub -J 'a[1-3]%2' < '/x y/1.sh'"
