"""The survey as plain values for JSON: what is not known is null, what is infinite "inf"."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from horovod_lb.analysis.regimes.boundaries import Boundary
from horovod_lb.analysis.regimes.laws import Law
from horovod_lb.analysis.regimes.proposal import Proposal
from horovod_lb.analysis.regimes.survey import Survey


def as_json(survey: Survey, proposals: Sequence[Proposal]) -> dict[str, Any]:
    """Baseline, boundaries, target, fits, the rows of `regimes.csv` and the proposals."""
    base, target = survey.base, survey.target
    said = {
        "study": survey.results.source.name,
        "baseline": None
        if base is None
        else {
            "batch_size": base.batch_size,
            "how": base.how,
            "n": len(base.accuracies),
            "accuracy": base.accuracy,
            "loss": base.loss,
            "learning_rate_peak": base.rate,
            "epochs": base.epochs,
        },
        "large_batch": _boundary(survey.large),
        "huge_batch": _boundary(survey.huge),
        "full_batch": survey.full,
        "target": None if target is None else asdict(target),
        "critical_batch": None if survey.critical is None else asdict(survey.critical),
        "left_out_of_the_fit": survey.left_out,
        "laws": [_law(law) for law in survey.laws()],
        "batch_sizes": survey.table().rows,
        "proposals": [
            {**asdict(proposal), "point": dict(proposal.point), "words": proposal.words()}
            for proposal in proposals
        ],
    }
    return {key: _plain(value) for key, value in said.items()}


def _boundary(boundary: Boundary | None) -> dict[str, Any] | None:
    if boundary is None:
        return None
    names = ("name", "criterion", "low", "high", "confidence", "monotone", "notes")
    return {name: getattr(boundary, name) for name in names}


def _law(law: Law) -> dict[str, Any]:
    return {
        "axis": law.axis,
        "group": law.group,
        "best": [
            {"batch_size": best.batch_size, "value": best.value, "edge": best.edge, "tried": best.tried}
            for best in law.best
        ],
        "fit": None if law.fit is None else asdict(law.fit),
        "seeds_low": law.boot_low,
        "seeds_high": law.boot_high,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return "inf" if value == math.inf else value
