"""The curves over training: accuracy, error, losses, rate, throughput and whatever a study measures."""

from __future__ import annotations

from collections.abc import Callable

from horovod_lb.analysis.figures.curves import Curves
from horovod_lb.analysis.figures.drawn import Drawn, Kind
from horovod_lb.analysis.figures.strokes import Part
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.runs import measurements
from horovod_lb.analysis.wide import label

_ACCURACY = Part("val_accuracy", "validation accuracy (%)", "validation set", percent=True)
_ERROR = Part(
    "val_accuracy", "validation error (%)", "validation set", percent=True, error=True, scale="auto"
)
_TRAIN_ACCURACY = Part("train_accuracy", "accuracy (%)", "training set", percent=True)
_TRAIN_LOSS = Part("train_loss", "training loss", "training set", scale="auto")
_VAL_LOSS = Part("val_loss", "validation loss", "validation set", scale="auto")
_BOTH_LOSSES = (Part("train_loss", "loss", "training set", scale="auto"), _VAL_LOSS)

CURVES = (
    Curves("accuracy_by_epoch", "validation accuracy by epoch", (_ACCURACY,), zoom=True),
    Curves("error_by_epoch", "top-1 validation error by epoch", (_ERROR,)),
    Curves("val_loss_by_epoch", "validation loss by epoch", (_VAL_LOSS,)),
    Curves(
        "train_and_val_accuracy_by_epoch",
        "training and validation accuracy by epoch, small against large batch",
        (_TRAIN_ACCURACY, _ACCURACY),
        together=True,
        ends_only=True,
        batch_first=True,
    ),
    Curves(
        "train_and_val_loss_by_epoch",
        "training and validation loss by epoch",
        _BOTH_LOSSES,
        together=True,
        batch_first=True,
    ),
    Curves(
        "train_loss_and_error_by_epoch",
        "training loss and top-1 validation error by epoch",
        (_TRAIN_LOSS, _ERROR),
    ),
    Curves(
        "train_loss_by_step",
        "training loss by number of updates (epochs' means, at the last update of each)",
        (_TRAIN_LOSS,),
        by_step=True,
        batch_first=True,
    ),
    Curves(
        "throughput_by_epoch",
        "training throughput by epoch",
        (Part("images_per_second", "throughput (examples/s)"),),
        batch_first=True,
    ),
)
RATE = Curves(
    "learning_rate_by_epoch",
    "learning rate of each epoch's last update, as the runs recorded it",
    (Part("learning_rate", "learning rate"),),
)
MEASURED = (
    (
        Curves(
            "signal_to_noise_by_epoch",
            "signal-to-noise ratio of gradients by epoch, E‖g∥‖/E‖g⊥‖",
            (Part("signal_to_noise", "signal-to-noise ratio", scale="log"),),
            batch_first=True,
        ),
        "signal_to_noise",
    ),
    (
        Curves(
            "signal_and_noise_by_epoch",
            "length of a batch gradient's part along the full gradient (signal) and across it (noise)",
            (
                Part("signal_norm", "norm of the gradient", "signal", scale="log"),
                Part("noise_norm", "norm of the gradient", "noise", scale="log"),
            ),
            together=True,
            told="part of gradient",
            batch_first=True,
        ),
        "signal_to_noise",
    ),
    (
        Curves(
            "noise_scale_by_epoch",
            "gradient noise scale by epoch",
            (Part("noise_scale", "noise scale (examples)", scale="auto"),),
        ),
        "noise_scale",
    ),
)
_USUAL = ("accuracy_by_epoch", "learning_rate_by_epoch")


def measured(results: Results) -> list[Drawn]:
    """Every further column of `epochs.csv`, a figure each; trust ratios by layer have their own kind."""
    names = [name for name in measurements(results.records) if "[" not in name]
    return [
        drawn
        for name in names
        for drawn in Curves(
            f"measured_by_epoch_{name}", f"{label(name)} by epoch", (Part(name, label(name), scale="auto"),)
        ).draw(results)
    ]


def _kind(curves: Curves, ask: str = "") -> Kind:
    draw: Callable[[Results], list[Drawn]] = curves.draw
    columns = tuple(dict.fromkeys(part.column for part in curves.parts))
    return Kind(draw, curves.about, usual=curves.name in _USUAL, columns=columns, ask=ask)


KINDS = {
    **{curves.name: _kind(curves) for curves in CURVES},
    **{curves.name: _kind(curves, f"measure: [{kind}]") for curves, kind in MEASURED},
    "measured_by_epoch": Kind(
        measured, "each measurement of a study by epoch", ask="measure: [noise_scale, distance]"
    ),
}
RATES = {RATE.name: _kind(RATE)}
