"""The survey in sentences, for people."""

from __future__ import annotations

import math
from collections.abc import Iterator

from horovod_lb.analysis.points import LABEL
from horovod_lb.analysis.published import published
from horovod_lb.analysis.regimes.baseline import Baseline
from horovod_lb.analysis.regimes.boundaries import Boundary
from horovod_lb.analysis.regimes.criterion import in_words
from horovod_lb.analysis.regimes.judged import ACCURACY, LOSS
from horovod_lb.analysis.regimes.laws import WARMUP, Law
from horovod_lb.analysis.regimes.survey import Survey
from horovod_lb.analysis.rows import is_finite
from horovod_lb.analysis.table import text
from horovod_lb.analysis.wide import label


def sentences(survey: Survey) -> list[str]:
    """What the study tells of its regimes, a sentence or two each."""
    found = [_baseline(survey.base)] if survey.base else ["No run of a baseline has a result yet."]
    found += [boundary_sentence(one) for one in (survey.large, survey.huge) if one is not None]
    if survey.full:
        found.append(f"B_F: {survey.full:,} training examples.")
    if survey.target:
        found.append(f"Target: {survey.target}.")
        found += list(critical_sentences(survey))
    for law in survey.laws():
        found += list(_law(law))
    return found


def boundary_sentence(boundary: Boundary) -> str:
    """Where a boundary lies, how sure that is, and what makes it doubtful."""
    if not boundary.judged:
        return f"{boundary.name}: not known: {'; '.join(boundary.notes)}."
    if boundary.high is None:
        where = f"above {boundary.low:,}: at every batch size that was tried {boundary.criterion}"
    else:
        ends = f"{boundary.low:,} and {boundary.high:,}"
        where = f"between {ends}: {boundary.criterion} at the first, not at the second"
    doubts = []
    for size in (boundary.low, boundary.high):
        judged = boundary.at(size)
        if judged is not None:
            runs = f"{judged.n} seed{'' if judged.n == 1 else 's'}"
            doubts.append(f"{size:,}: {in_words(judged.confidence)}, {runs}")
            doubts += [f"{size:,}: {note}" for note in judged.notes]
            doubts += [f"{size:,}: {edge}" for edge in judged.edges if not judged.holds]
    if not boundary.monotone:
        doubts.append("it holds again at a larger batch size: the seeds or the rates do not settle it")
    doubts += boundary.notes
    return f"{boundary.name} {where} ({'; '.join(doubts)})." if doubts else f"{boundary.name} {where}."


def number(value: float | None, digits: int = 4) -> str:
    """A number for people; `?` where it is not known."""
    if value is None or math.isnan(value):
        return "?"
    if math.isinf(value):
        return "∞"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def _baseline(base: Baseline) -> str:
    n = len(base.accuracies)
    parts = [f"A = {100 * base.accuracy:.2f} %"]
    if base.loss is not None:
        parts.append(f"ξ = {base.loss:.4g}")
    if is_finite(base.rate):
        parts.append(f"η = {text(base.rate)}")
    if is_finite(base.epochs):
        parts.append(f"ρ = {text(base.epochs)} epochs")
    threshold = f"99.5 % of A is {100 * ACCURACY * base.accuracy:.2f} %"
    if base.loss is not None:
        threshold += f", {LOSS:g} ξ is {LOSS * base.loss:.4g}"
    seeds = f"{n} seed{'' if n == 1 else 's'}"
    return f"Baseline: B_0 = {base.batch_size:,} ({base.how}, {seeds}): {', '.join(parts)}; {threshold}."


def critical_sentences(survey: Survey) -> Iterator[str]:
    """The fitted E(B), and the batch sizes that it leaves out."""
    fit = survey.critical
    if fit is None:
        yield "B_crit: not known: it takes three batch sizes of which most runs reach the target."
    else:
        interval = f"{number(fit.critical_low)} to {number(fit.critical_high)}"
        open_ends = "" if fit.bounded else ", open: these batch sizes do not bound it"
        minimum = f"E_min = {number(fit.minimum)} ({number(fit.minimum_low)} to {number(fit.minimum_high)})"
        yield (
            f"E(B) = E_min (1 + B/B_crit) over {fit.n} batch sizes: {minimum} epochs, B_crit = "
            f"{number(fit.critical)} (95 %: {interval}{open_ends})."
        )
    if survey.left_out:
        sizes = ", ".join(f"{size:,}" for size in survey.left_out)
        yield f"Left out of the fit, for half of their runs or more never reach the target: {sizes}."


def _law(law: Law) -> Iterator[str]:
    found = ", ".join(f"{text(best.value)} at {best.batch_size:,}" for best in law.best)
    named = {LABEL: law.group[LABEL]} if law.group.get(LABEL) else law.group
    group = ", ".join(f"{label(axis)} {text(value)}" for axis, value in named.items())
    sentence = f"Best {label(law.axis)}{f' with {group}' if group else ''}: {found}"
    if law.fit is None:
        yield f"{sentence}; two batch sizes with a best value above 0 make an exponent."
        return
    intervals = []
    if law.fit.low is not None and law.fit.high is not None:
        intervals.append(f"95 % over batch sizes: {number(law.fit.low)} to {number(law.fit.high)}")
    if law.boot_low is not None and law.boot_high is not None:
        intervals.append(f"over seeds drawn again: {number(law.boot_low)} to {number(law.boot_high)}")
    said = "; ".join(intervals) or "no interval: it takes three batch sizes or two seeds"
    yield f"{sentence}; exponent {number(law.fit.exponent)} ({said})."
    if law.at_edge:
        sizes = ", ".join(f"{size:,}" for size in law.at_edge)
        yield f"At {sizes} the best value is at the edge of what was tried: the exponent hangs on it."
    others = published("optimal-warmup") if law.axis in WARMUP else None
    if others is not None:
        exponents = (
            f"{number(row['exponent'])} ({row['team']}, {row['where']})"
            for row in others.rows
            if row["exponent"]
        )
        yield f"Published exponents: {', '.join(exponents)}."
