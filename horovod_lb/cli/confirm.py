"""Asking before something is done that cannot be undone."""

from __future__ import annotations

import sys

import typer

from horovod_lb.errors import RequestError


def confirm(question: str, yes: bool) -> None:
    """Aborts unless somebody says yes, on the terminal or with `--yes`. RequestError: nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise RequestError("nothing was done, as there is no terminal to ask on: add --yes, or --dry-run")
    typer.confirm(question, abort=True)
