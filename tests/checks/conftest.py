"""Stand-ins for a site's programs: executables whose answers were seen on real schedulers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

Program = Callable[[str, str], Path]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Writes a shell script that is found before any program of the machine."""
    folder = tmp_path / "site-bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def write(name: str, body: str) -> Path:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def only_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Program) -> Program:
    """As `program`, and the machine has no other programs at all."""
    monkeypatch.setenv("PATH", str(tmp_path / "site-bin"))
    return program
