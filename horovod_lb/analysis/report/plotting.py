"""The plotting library that the page carries: plotly.js (MIT licence) of the installed package `plotly`."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

from horovod_lb.analysis.report.pack import squeeze


class Library(NamedTuple):
    """A script: its `name` with version, its text `packed`, and the `digest` that a content security policy
    allows it by.
    """

    name: str
    packed: str
    digest: str


@lru_cache(maxsize=1)
def plotly() -> Library:
    """plotly.js as one minified script; its head names its authors and its licence."""
    script = files("plotly").joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8")
    found = re.search(r"plotly\.js v([\w.-]+)", script[:400])
    return Library(f"plotly.js {found[1] if found else ''}".strip(), squeeze(script.encode()), digest(script))


def digest(script: str) -> str:
    """A script's source expression for a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
