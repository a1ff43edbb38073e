"""The report: one HTML file with tables, figures, what went wrong and where the results come from."""

from __future__ import annotations

from horovod_lb.analysis.report.page import write_report

__all__ = ["write_report"]
