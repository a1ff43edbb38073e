"""A job script for tests that plan and never train."""

from __future__ import annotations


def main(run):
    """Train nothing."""
