"""Which session of a sweep took which run: a file a run, made by one session only."""

from __future__ import annotations

import os
from pathlib import Path

from horovod_lb.errors import RunDirectoryError
from horovod_lb.runs.atomic import write_text


class Claims:
    """The runs of one sweep that have been taken; they stay taken, so a crash is not tried again."""

    # In the place of a session's name: nothing to do here, the run is finished or another sweep works on it.
    SKIPPED = "skipped"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def take(self, run_id: str, owner: str) -> bool:
        """Takes `run_id` for `owner`; False where somebody had it already."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(self.folder / run_id, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            return False
        except OSError as error:
            raise RunDirectoryError(f"cannot write {self.folder / run_id}: {error.strerror}") from error
        with os.fdopen(descriptor, "w") as file:
            file.write(owner)
        return True

    def skip(self, run_id: str) -> None:
        """Says of a run that was taken that it needs no work here after all."""
        write_text(self.folder / run_id, self.SKIPPED)

    def taken(self) -> set[str]:
        """The ids of the runs that have been taken."""
        try:
            with os.scandir(self.folder) as entries:
                return {entry.name for entry in entries if not entry.name.startswith(".")}
        except FileNotFoundError:
            return set()

    def owner(self, run_id: str) -> str:
        """The session that took a run, or `SKIPPED`; empty while that is just being written."""
        return (self.folder / run_id).read_text()
