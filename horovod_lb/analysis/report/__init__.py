"""The report: one HTML file with tables, curves, figures, what went wrong and where the results come from."""

from __future__ import annotations

from horovod_lb.analysis.report.page import Live, Page, prepare, write_report

__all__ = ["Live", "Page", "prepare", "write_report"]
