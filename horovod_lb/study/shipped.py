"""The job scripts and studies that come with the package.

`horovod_lb/jobs` is a link to `jobs/` of the repository, the one place where they are written; a built
package holds copies of its files.
"""

from __future__ import annotations

from pathlib import Path

SHIPPED_JOBS = Path(__file__).resolve().parent.parent / "jobs"


def shipped_studies() -> dict[str, Path]:
    """The shipped study files by name."""
    return {path.stem: path for path in sorted((SHIPPED_JOBS / "studies").glob("*.yaml"))}
