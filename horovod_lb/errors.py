"""The errors that users see. Each says what was wrong, where, and what to do."""

from __future__ import annotations


class HlbError(Exception):
    """The work failed; the command line prints the message alone and exits with `exit_code`."""

    exit_code = 1


class RequestError(HlbError):
    """The request itself was wrong (study file, option, argument): nothing was started."""

    exit_code = 2


class RecipeError(RequestError):
    """A recipe that has no meaning: indivisible batch, warmup longer than training, unknown kind.

    `key` names the study key at fault where there is one, so that a study's error can name its line.
    """

    def __init__(self, message: str, key: str | None = None):
        super().__init__(message)
        self.key = key


class StudyError(RequestError):
    """A study file that cannot be read or does not hold together; the message names file, line and key."""


class DataError(RequestError):
    """A data file is missing, truncated or wrong; the message names its path and its source."""


class BuildError(HlbError):
    """Horovod could not be built or does not work; the message ends with the remedy."""


class RunDirectoryError(HlbError):
    """A run directory is damaged, or another life of the run owns it."""


class DiskError(RunDirectoryError):
    """A file of a run cannot be written: the disk is full, the folder is read-only."""


class DistributedError(HlbError):
    """The ranks cannot work together: too few GPUs, unequal parts, weights that differ."""


class MachineError(RequestError):
    """A machine profile that is not there or does not hold together; the message names file and key."""


class SubmissionError(HlbError):
    """The record of a submission is damaged: what was sent is not known."""


class SchedulerError(HlbError):
    """The scheduler refused, did not answer, or said what cannot be understood; the message has its words."""
