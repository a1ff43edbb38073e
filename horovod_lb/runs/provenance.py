"""Which state of which repository the code comes from."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any


def source_state(folder: Path | None = None) -> dict[str, Any] | None:
    """`{commit, dirty}` of the git repository around `folder` (default: the working directory).

    `dirty`: tracked files were changed since the commit. None outside a repository, or without git.
    """
    folder = folder or Path.cwd()
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
