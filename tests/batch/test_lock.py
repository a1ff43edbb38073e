"""The lock of a study, with real processes: one holder, no orphan, no two that take over."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from horovod_lb.batch import lock
from horovod_lb.batch.lock import LockedError, StudyLock
from horovod_lb.errors import RunDirectoryError
from horovod_lb.runs import life

HOLD = """
import sys, time
from pathlib import Path
from horovod_lb.batch.lock import StudyLock
with StudyLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""
# Whoever has the lock makes a file that must not be there, and removes it. The step that takes over is slow,
# so that all of them are in it at a time if they can be.
EXCLUDE = """
import os, sys, time
from pathlib import Path
from horovod_lb.batch import lock
from horovod_lb.batch.lock import StudyLock
write = lock.write_json
def slow(*arguments):
    time.sleep(0.5)
    write(*arguments)
lock.write_json = slow
study, inside = Path(sys.argv[1]), Path(sys.argv[2])
for _ in range(int(sys.argv[3])):
    with StudyLock(study, wait=60):
        descriptor = os.open(inside, os.O_CREAT | os.O_EXCL)
        time.sleep(0.01)
        os.close(descriptor)
        inside.unlink()
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def holder(study: Path) -> subprocess.Popen[str]:
    process = start(HOLD, study, 60)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def lock_file(study: Path) -> Path:
    return study / "submissions" / "lock"


def test_it_is_held_for_its_time_only(tmp_path: Path) -> None:
    with StudyLock(tmp_path) as mine:
        record = json.loads(lock_file(tmp_path).read_text())
        assert record["pid"] == os.getpid()
        assert record["host"] == os.uname().nodename
        mine.refresh()
    assert not lock_file(tmp_path).exists()
    assert [path.name for path in lock_file(tmp_path).parent.iterdir()] == []


def test_a_second_one_is_told_who_holds_it(tmp_path: Path) -> None:
    process = holder(tmp_path)
    said: list[str] = []
    try:
        with (
            pytest.raises(LockedError, match=f"process {process.pid} on"),
            StudyLock(tmp_path, wait=0.5, say=said.append),
        ):
            pass
        assert len(said) == 1
        assert str(process.pid) in said[0]
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()


def test_it_waits_for_the_holder(tmp_path: Path) -> None:
    process = start(HOLD, tmp_path, 1)
    assert process.stdout is not None
    process.stdout.readline()
    with StudyLock(tmp_path, wait=20):
        assert json.loads(lock_file(tmp_path).read_text())["pid"] == os.getpid()
    process.communicate(timeout=20)


def test_the_lock_of_a_dead_process_is_taken_at_once(tmp_path: Path) -> None:
    process = holder(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert lock_file(tmp_path).exists()
    began = time.monotonic()
    with StudyLock(tmp_path, wait=5):
        assert time.monotonic() - began < 2
    assert list(lock_file(tmp_path).parent.iterdir()) == []


def test_many_that_want_the_lock_of_a_dead_process(tmp_path: Path) -> None:
    for attempt in range(2):
        study = tmp_path / str(attempt)
        process = holder(study)
        process.kill()
        process.communicate()
        workers = [start(EXCLUDE, study, tmp_path / "inside", 4) for _ in range(4)]
        errors = [worker.communicate(timeout=100)[1] for worker in workers]
        assert [worker.returncode for worker in workers] == [0] * 4, errors
        assert list(lock_file(study).parent.iterdir()) == []


def test_whoever_takes_over_may_die_as_well(tmp_path: Path) -> None:
    process = holder(tmp_path)
    process.kill()
    process.communicate()
    record = json.loads(lock_file(tmp_path).read_text())
    # A second one had begun to take over, and died before it had the lock itself.
    second = {**record, "token": "second"}
    (lock_file(tmp_path).parent / f"lock.{record['token']}").write_text(json.dumps(second))
    with StudyLock(tmp_path, wait=5):
        assert json.loads(lock_file(tmp_path).read_text())["pid"] == os.getpid()
    assert list(lock_file(tmp_path).parent.iterdir()) == []


def test_who_saw_the_dead_holder_too_late_does_not_take_the_lock_of_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = holder(tmp_path)
    process.kill()
    process.communicate()
    dead = json.loads(lock_file(tmp_path).read_text())
    successor = {**dead, **life.describe_this_process(), "token": "successor"}
    lock_file(tmp_path).write_text(json.dumps(successor))
    real, stale = lock.read_json, [dead]

    def read(path: Path) -> dict[str, object] | None:
        """At first what was there before the successor."""
        return stale.pop() if path.name == "lock" and stale else real(path)

    monkeypatch.setattr(lock, "read_json", read)
    with pytest.raises(LockedError, match=str(os.getpid())), StudyLock(tmp_path, wait=0.5):
        pass
    assert not stale
    assert json.loads(lock_file(tmp_path).read_text()) == successor


def test_a_holder_on_another_host_must_have_been_silent_for_long(tmp_path: Path) -> None:
    lock_file(tmp_path).parent.mkdir()
    record = {"token": "t", "user": "u", "host": "elsewhere", "place": "elsewhere x", "pid": 1}
    lock_file(tmp_path).write_text(json.dumps(record))
    with pytest.raises(LockedError, match="elsewhere"), StudyLock(tmp_path, wait=0):
        pass
    almost = time.time() - life.STALE_SECONDS + 30
    os.utime(lock_file(tmp_path), (almost, almost))
    with pytest.raises(LockedError), StudyLock(tmp_path, wait=0):
        pass
    old = time.time() - life.STALE_SECONDS - 1
    os.utime(lock_file(tmp_path), (old, old))
    with StudyLock(tmp_path, wait=0):
        pass


def test_a_sign_of_life_makes_it_young(tmp_path: Path) -> None:
    with StudyLock(tmp_path) as mine:
        os.utime(lock_file(tmp_path), (0, 0))
        mine.refresh()
        assert time.time() - lock_file(tmp_path).stat().st_mtime < 60


def test_who_lost_the_lock_may_not_go_on_and_leaves_it_alone(tmp_path: Path) -> None:
    with StudyLock(tmp_path) as mine:
        lock_file(tmp_path).write_text(json.dumps({"token": "another"}))
        with pytest.raises(LockedError, match="taken away"):
            mine.refresh()
    assert lock_file(tmp_path).exists()


def test_a_lock_that_was_never_written_is_not_for_ever(tmp_path: Path) -> None:
    lock_file(tmp_path).parent.mkdir()
    lock_file(tmp_path).touch()
    with pytest.raises(LockedError), StudyLock(tmp_path, wait=0):
        pass
    old = time.time() - 11
    os.utime(lock_file(tmp_path), (old, old))
    with StudyLock(tmp_path, wait=0):
        pass
    assert not lock_file(tmp_path).exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "submissions").write_text("a file")
    with pytest.raises(RunDirectoryError, match=r"cannot write .*submissions.*nothing was sent"):
        StudyLock(tmp_path).__enter__()


def test_a_full_disk_leaves_no_lock_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("horovod_lb.batch.lock.json.dump", full)
    with pytest.raises(RunDirectoryError, match="No space left on device"):
        StudyLock(tmp_path).__enter__()
    assert not (tmp_path / "submissions" / "lock").exists()
