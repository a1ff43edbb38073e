"""Every kind of figure on made-up studies, checked by matplotlib's own renderer: nothing is cut off, and no
label touches another.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from horovod_lb.analysis.figures.style import lay_out, styled
from horovod_lb.analysis.record import Record
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.source import Source
from horovod_lb.runs import State

EXAMPLES = 60000
_TOUCH = 0.5  # points: boxes of letters hold a little air


def made_study(
    points: Sequence[Mapping[str, Any]],
    *,
    seeds: int = 2,
    epochs: int = 20,
    diverged: Sequence[int] = (),
    gaps: Sequence[int] = (),
    running: Sequence[int] = (),
    by_step: bool = False,
) -> Results:
    """Results with every column that a figure may show. `diverged`, `gaps` and `running` are indices of
    points of which a run diverges, epochs are missing, or no run has finished.
    """
    records = []
    chance = random.Random(1)
    for index, point in enumerate(points):
        for seed in range(seeds):
            state = State.RUNNING if index in running else State.COMPLETED
            if index in diverged and seed == 0:
                state = State.DIVERGED
            last = {State.COMPLETED: epochs, State.RUNNING: epochs // 2 + 1, State.DIVERGED: 4}[state]
            rows = [
                _row(epoch, point, index, chance)
                for epoch in range(1, min(last, epochs) + 1)
                if not (index in gaps and epochs // 3 < epoch <= epochs // 2)
            ]
            if state is State.DIVERGED:
                rows[-1] |= {"train_loss": math.nan, "val_loss": math.nan}
            batch = point.get("recipe.batch_size", 256)
            steps = [
                {"step": step, "distance": math.log(step) + 0.1 * index, "trust_ratio[net/conv/kernel]": 0.01}
                for step in (range(1, 500) if by_step else ())
            ]
            spec = {
                "study": "made",
                "point": dict(point),
                "seed": seed,
                "data": {"name": "mnist", "holdout": 0},
                "resources": {"workers": 1},
                "recipe": _recipe(point, epochs),
                "derived": {"batch_size": batch, "epochs": epochs, "workers": 1},
            }
            said = {"images_per_second": 900.0, "compute_seconds": 90.0, "allreduce_seconds": 9.0}
            outcome = "nan" if state is State.DIVERGED else "ok"
            records.append(
                Record(
                    f"run{index}-{seed}",
                    spec,
                    state,
                    outcome=outcome,
                    exit={**said, "input_wait": 0.02},
                    epochs=tuple(rows),
                    steps=tuple(steps),
                    wall_seconds=120.0,
                )
            )
    axes = tuple(dict.fromkeys(axis for point in points for axis in point))
    source = Source("made", tuple(records), (), target={"val_accuracy": 0.8})
    return Results(source, axes, tuple(records))


def _row(epoch: int, point: Mapping[str, Any], index: int, chance: random.Random) -> dict[str, Any]:
    batch = point.get("recipe.batch_size", 256)
    updates = epoch * max(1, EXAMPLES // batch)
    accuracy = (0.99 - 0.002 * index) * (1 - math.exp(-epoch / (2 + 0.1 * index))) + chance.gauss(0, 0.003)
    loss = 2.3 * math.exp(-epoch / 3) + 0.01 * (1 + chance.random())
    row: dict[str, Any] = {
        "epoch": epoch,
        "step": updates,
        "learning_rate": 0.1 / epoch,
        "train_loss": loss,
        "train_accuracy": min(1.0, accuracy + 0.005),
        "val_loss": 1.3 * loss,
        "val_accuracy": min(1.0, max(0.0, accuracy)),
        "images_per_second": 1000.0 + chance.gauss(0, 20),
        "seconds": 60.0,
        "val_top5": min(1.0, accuracy + 0.01),
        "distance": math.log(updates),
        "signal_to_noise": math.sqrt(batch) / 30 / epoch,
        "signal_norm": 1 / epoch,
        "noise_norm": 30 / math.sqrt(batch) / epoch,
        "noise_scale": 100.0 * epoch,
        "gradient_square": 0.1 / epoch,
        "gradient_variance": 10.0 / epoch,
        "sharpness": 10.0 + index,
        "sharpness_sam": 0.1,
    }
    for layer in range(6):
        row[f"trust_ratio[network/block{layer}/convolution/kernel]"] = 0.001 * (layer + 1) * epoch
    return row


def _recipe(point: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    return {
        "epochs": epochs,
        "budget": None,
        "batch_size": point.get("recipe.batch_size", 256),
        "groups": None,
        "remainder": "continuous",
        "reference": {
            "batch_size": 256,
            "learning_rate": point.get("recipe.reference.learning_rate", 0.1),
            "warmup_epochs": None,
        },
        "scaling": point.get("recipe.scaling", "linear"),
        "warmup": {
            "kind": "gradual",
            "epochs": min(point.get("recipe.warmup.epochs", 5), epochs),
            "steps": None,
            "start": "zero",
        },
        "schedule": {"kind": "polynomial", "power": 2, "end": 0, "anchor": "after_warmup"},
        "optimizer": {"kind": "momentum"},
        "sam": None,
        "precision": "float32",
    }


def complaints(figure: Figure, least: float = 6.0) -> list[str]:
    """What is wrong with the texts of a figure: those that lie outside of it, pairs that overlap, letters
    smaller than `least` points; and panels that are too small. The figure is laid out and measured as for its
    files, in dots of PNG.
    """
    lay_out(figure)
    figure.set_dpi(200)
    with styled():
        figure.draw_without_rendering()
    points = 72 / figure.dpi
    whole = figure.bbox
    texts = _texts(figure)
    found = [f"{text.get_text()!r} is small" for text in texts if text.get_fontsize() < least]
    boxes = [(text, box) for text in texts if (box := _box(text)) is not None]
    for text, box in boxes:
        outside = max(whole.x0 - box.x0, whole.y0 - box.y0, box.x1 - whole.x1, box.y1 - whole.y1)
        if outside * points > _TOUCH:
            found.append(f"{text.get_text()!r} is cut off by {outside * points:.1f} points")
    for (one, first), (other, second) in combinations(boxes, 2):
        if _overlap(first, second) * points > _TOUCH and not _turned_apart(one, other):
            found.append(f"{one.get_text()!r} and {other.get_text()!r} overlap")
    found += [
        f"a panel is {size:.2f} inches {side}"
        for axes in figure.axes
        for side, size in (
            ("wide", axes.bbox.width / figure.dpi),
            ("high", axes.bbox.height / figure.dpi),
        )
        if size < 0.6 and axes.get_label() != "<colorbar>"
    ]
    return found


def _texts(figure: Figure) -> list[Text]:
    """The texts that a reader sees: labels of ticks outside of the limits are not drawn."""
    ticks: set[int] = set()
    found = []
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            air = 1e-9 * (high - low)
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                labels = [tick.label1, tick.label2]
                ticks.update(map(id, labels))
                if axes.axison and low - air <= tick.get_loc() <= high + air:
                    found += labels
    found += [text for text in figure.findobj(Text) if id(text) not in ticks]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def _box(text: Text) -> Bbox | None:
    box = text.get_window_extent()
    return box if box.width > 0 and box.height > 0 else None


def _overlap(one: Bbox, other: Bbox) -> float:
    """The smaller side of the rectangle that two boxes share; 0 where they share none."""
    wide = min(one.x1, other.x1) - max(one.x0, other.x0)
    high = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(0.0, min(wide, high))


def _turned_apart(one: Text, other: Text) -> bool:
    """Parallel slanted labels: their upright boxes overlap, though they lie apart by more than a line."""
    angle = one.get_rotation()
    if angle != other.get_rotation() or angle % 90 == 0:
        return False
    (x0, y0), (x1, y1) = (text.get_transform().transform(text.get_position()) for text in (one, other))
    across = abs((x1 - x0) * math.sin(math.radians(angle)) - (y1 - y0) * math.cos(math.radians(angle)))
    return across * 72 / one.get_figure().dpi >= one.get_fontsize() * 1.1  # type: ignore[union-attr]
