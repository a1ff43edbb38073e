"""A user's own settings and a study's folder, both empty and apart from those of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Places:
    """`user` and `study`: the folders where profiles are looked for; `study_file` is beside the latter."""

    user: Path
    study: Path
    study_file: Path

    def write(self, folder: Path, name: str, text: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.toml"
        path.write_text(text, encoding="utf-8")
        return path


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("HLB_MACHINE", raising=False)
    study = tmp_path / "project"
    study.mkdir()
    return Places(tmp_path / "config" / "horovod_lb" / "machines", study / "machines", study / "study.yaml")
