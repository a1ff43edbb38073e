"""Whatever values hold, they arrive in a job as they are, and nothing in them is run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from played import TELLS, Played
from scripts import machine, request

from horovod_lb.errors import RequestError
from horovod_lb.schedulers import shell

NASTY = (
    "'", '"', "\\", " ", "\t", "$(touch pwned)", "`touch pwned`", ";touch pwned;", "&touch pwned&",
    "|touch pwned", ">pwned", "$HOME", "${HOME}", "$((1+1))", "$$", "!!", "#", "*", "?", "~", "{a,b}", "(",
    ")", "<", "%", "a", "é", "\u2028", "\x01", "{{ 7 * 7 }}", "{% raw %}", "{# x #}",
)  # fmt: skip
one_line = st.lists(st.sampled_from(NASTY), min_size=1, max_size=6).map("".join)
lines = st.lists(st.sampled_from((*NASTY, "\n", "\ntouch pwned\n", "\r\n")), max_size=6).map("".join)


@pytest.fixture(scope="module")
def folders() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def fresh(folder: Path, program: str = TELLS) -> Played:
    return Played(Path(tempfile.mkdtemp(dir=folder)), program)


def untouched(played: Played) -> None:
    assert not list(played.folder.rglob("pwned"))


@settings(deadline=None, max_examples=40)
@given(value=lines, other=one_line, name=st.sampled_from(["slurm-6gpu", "summit", "local"]))
def test_variables_arrive_unchanged(folders: Path, value: str, other: str, name: str) -> None:
    played = fresh(folders)
    on = machine(name, environment={"OF_MACHINE": other}, python=str(played.python))
    played_request = request(on, folder=played.folder / "jobs", environment={"OF_STUDY": value})
    (played.folder / "jobs").mkdir()
    status, output = played.run(played_request)
    assert status == 0, output
    assert played.variables()["OF_STUDY"] == value
    assert played.variables()["OF_MACHINE"] == other
    untouched(played)


@settings(deadline=None, max_examples=30)
@given(name=one_line)
def test_a_folder_of_any_name_is_only_a_folder(folders: Path, name: str) -> None:
    played = fresh(folders)
    folder = played.folder / name.replace("/", "")
    folder.mkdir(exist_ok=True)
    on = machine("local", python=str(played.python))
    assert played.run(request(on, folder=folder))[0] == 0
    words = played.words()
    assert words[words.index("--runs") + 1] == f"{folder}/0.txt"
    assert Path(words[words.index("--stop") + 1]).parent == folder
    untouched(played)


@settings(deadline=None, max_examples=30)
@given(words=st.lists(one_line, min_size=1, max_size=3))
def test_words_of_a_container_arrive_unchanged(folders: Path, words: list[str]) -> None:
    """All but `$NAME`, which is an environment variable of the job."""
    played = fresh(folders)
    on = machine("local", container=[shlex.join(words)])
    assert played.run(request(on, folder=played.folder, python=str(played.python)))[0] == 0
    home = str(played.folder)
    expected = [word.replace("${HOME}", home).replace("$HOME", home) for word in words]
    if not any(word.startswith("~") or "$HOMEa" in word for word in words):
        assert played.words()[-len(words) :] == expected
    untouched(played)


@settings(deadline=None, max_examples=60)
@given(value=lines)
def test_a_quoted_word_is_one_word_to_bash(value: str) -> None:
    said = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {shell.shell(value)}"], capture_output=True, check=True
    ).stdout
    assert said.decode() == value + "\0"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("/mnt/bb/$USER/x y", "/mnt/bb/U $(touch pwned)/x y"),
        ("${USER}$USER", "U $(touch pwned)" * 2),
        ("~/x", "/home/U/x"),
        ("~", "/home/U"),
        ("a~/x", "a~/x"),
        ("$(touch pwned)", "$(touch pwned)"),
        ("`touch pwned`;$1$", "`touch pwned`;$1$"),
        ("", ""),
        ("'$USER'", "'U $(touch pwned)'"),
    ],
)
def test_paths_may_name_environment_variables(tmp_path: Path, text: str, value: str) -> None:
    said = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {shell.path(text)}"],
        env={"USER": "U $(touch pwned)", "HOME": "/home/U"},
        cwd=tmp_path,
        capture_output=True,
        check=True,
    ).stdout
    assert said.decode() == value + "\0"
    assert not list(tmp_path.iterdir())


@given(value=lines)
def test_a_directive_is_one_line_or_refused(value: str) -> None:
    try:
        written = shell.directive(value)
    except RequestError:
        assert set(value) & set("\"'\\`\n\r\0")
        return
    assert "\n" not in written
    assert shlex.split(f"--output={written}") == [f"--output={value}"]


@pytest.mark.parametrize("words", [["a\nb"], ["a\0b"]], ids=["a line's end", "a zero byte"])
def test_what_no_line_can_hold_is_refused(words: list[str]) -> None:
    with pytest.raises(RequestError):
        shell.directive(words[0])
    with pytest.raises(RequestError):
        shell.one_line(words[0])


def test_a_zero_byte_is_refused_in_words_too() -> None:
    with pytest.raises(RequestError, match="zero byte"):
        shell.shell("a\0b")


def without_variables(text: str) -> str:
    """`$NAME`, `${NAME}` and `~` stand for the job's own."""
    return re.sub(r"\$+(?=[A-Za-z_{])", "", text).lstrip("~")


@given(st.lists(one_line.map(without_variables), max_size=30))
@example(["$", "$$", "$(a)", "$1", "a$"])
def test_wrapped_words_are_the_same_words(words: list[str]) -> None:
    assert shlex.split(shell.wrapped(words)) == words


def test_variables_that_mpirun_is_told_of_are_there(folders: Path) -> None:
    """Open MPI warns of others in every run's log."""
    played = fresh(folders)
    on = machine("generic-lsf", **{"storage.node_local": "/tmp", "storage.stage_in": "true"})
    play = request(on, folder=played.folder, stage_from=Path("/data"), python=str(played.python))
    for program in ("mpirun",):
        (played.bin / program).write_text('#!/bin/bash\necho "$@" > "$PLAYED/staging"\n')
        (played.bin / program).chmod(0o755)
    status, output = played.run(play, {"LSB_MCPU_HOSTS": "n1 4 n2 4"})
    assert status == 0, output
    words = played.words()
    told = [words[i + 1] for i, word in enumerate(words) if word == "-x"]
    assert {"PATH", "HLB_JOB", "HLB_STAGE_SECONDS", "OMP_NUM_THREADS", "NCCL_ALGO"} <= set(told)
    assert len(set(told)) == len(told)
    assert set(told) <= set(played.variables())


# The environment's own programs first, as a job script has them; `make test` does not activate it.
PROGRAMS = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
MPIRUN_TELLS = """#!/bin/bash
while [[ $1 != -- ]]; do shift; done
shift
exec "$@" bash -c 'echo "$OMPI_COMM_WORLD_RANK of $OMPI_COMM_WORLD_SIZE: $HLB_GPUS $OMP_NUM_THREADS $ODD"'
"""


@pytest.mark.skipif(shutil.which("mpirun", path=PROGRAMS) is None, reason="mpirun is not installed")
def test_open_mpi_itself_takes_the_words_and_passes_the_values(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", PROGRAMS)
    played = fresh(folders, MPIRUN_TELLS)
    on = machine("local", python=str(played.python))
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    play = request(on, folder=played.folder, ranks=2, environment={"ODD": "$(touch pwned) 'x';", **root})
    status, output = played.run(play)
    assert status == 0, output
    lines = sorted(line for line in output.splitlines() if " of 2: " in line)
    assert lines == [f"{rank} of 2: all 2 $(touch pwned) 'x';" for rank in range(2)]
    assert "Could not find the environment variable" not in output
    untouched(played)
