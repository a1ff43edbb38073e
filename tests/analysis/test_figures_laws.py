"""Figures of laws in the batch size, regimes, scaling and cost, read back from the artists."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from made_studies import EXAMPLES, falling, results, run, study
from matplotlib.axes import Axes

from horovod_lb.analysis.figures import KINDS, Drawn, draw
from horovod_lb.analysis.figures.cost import accuracy_by_node_hours, pareto
from horovod_lb.analysis.figures.fitted import (
    best_rate_by_batch_size,
    best_warmup_by_batch_size,
    epochs_to_target,
    steps_to_target,
)
from horovod_lb.analysis.figures.regimes import regimes
from horovod_lb.analysis.figures.scaling import throughput, time_shares
from horovod_lb.analysis.record import Record
from horovod_lb.analysis.results import Results
from horovod_lb.runs import State

B, W, R = "recipe.batch_size", "recipe.warmup.epochs", "recipe.reference.learning_rate"
SAM, K = "recipe.sam", "resources.workers"


def legend(drawn: Drawn) -> list[str]:
    return [text.get_text() for box in drawn.figure.legends for text in box.get_texts()]


def spots(axes: Axes) -> list[tuple[list[float], list[float]]]:
    """Places and values of each set of points with bars, empty ones left out."""
    lines = [container.lines[0] for container in axes.containers]
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in lines if len(line.get_xdata())]


def curves(axes: Axes, points: int = 61) -> list[tuple[list[float], list[float]]]:
    """The lines drawn through many points: laws and guides."""
    return [
        (list(one.get_xdata()), list(one.get_ydata()))
        for one in axes.get_lines()
        if len(one.get_xdata()) == points
    ]


def rates(factor: float = 1.0, sam: Any = None) -> list[Record]:
    """At 256, 1024 and 4096 the rates 0.1, 0.2 and 0.4 times `factor` are best, of 0.025 to 1.6."""
    return [
        run(
            {B: batch, R: rate * factor, SAM: sam},
            seed,
            [0.5, 0.9 - 0.1 * abs(math.log2(rate / best)) - 0.001 * seed],
        )
        for batch, best in ((256, 0.1), (1024, 0.2), (4096, 0.4))
        for rate in (0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
        for seed in (0, 1)
    ]


def test_the_best_rate_has_its_exponent_with_and_without_sam() -> None:
    drawn = best_rate_by_batch_size(results([*rates(), *rates(0.5, "rho=0.05")]))
    assert drawn is not None
    (axes,) = drawn.figure.axes
    assert axes.get_yscale() == "log"
    without, with_sam = spots(axes)
    assert without[0] == pytest.approx([8, 10, 12], abs=0.11)
    assert without[1] == pytest.approx([0.1, 0.2, 0.4])
    assert with_sam[1] == pytest.approx([0.05, 0.1, 0.2])
    assert legend(drawn) == [
        "none: ∝ B to the 0.50 (0.50 to 0.50)",
        "rho 0.05: ∝ B to the 0.50 (0.50 to 0.50)",
        "rate ∝ B",
        "rate ∝ √B",
    ]
    ends = sorted((round(y[0], 9), round(y[-1], 9)) for _, y in curves(axes))
    # The laws, and √B and B from 0.1 on.
    assert ends == [(0.05, 0.2), (0.1, 0.4), (0.1, 0.4), (0.1, 1.6)]
    assert "n = 2" in drawn.caption


def test_a_best_rate_at_the_edge_is_hollow() -> None:
    records = [record for record in rates() if record.spec["point"][R] <= 0.2]
    drawn = best_rate_by_batch_size(results(records))
    assert drawn is not None
    full, hollow = spots(drawn.figure.axes[0])
    assert full[1] == pytest.approx([0.1]) and hollow[1] == pytest.approx([0.2, 0.2])
    assert "at the edge of what was tried" in legend(drawn)


def test_the_rate_is_the_peak_where_the_runs_say_it() -> None:
    records = [
        replace(
            record, spec={**record.spec, "derived": {**record.spec["derived"], "learning_rate_peak": peak}}
        )
        for record in rates()
        for peak in [record.spec["point"][R] * record.spec["point"][B] / 256]
    ]
    drawn = best_rate_by_batch_size(results(records))
    assert drawn is not None
    ((_, y),) = spots(drawn.figure.axes[0])
    assert y == pytest.approx([0.1, 0.8, 6.4])
    assert legend(drawn)[0] == "∝ B to the 1.50 (1.50 to 1.50)"


def test_the_best_warmup_stands_in_epochs_from_0() -> None:
    records = [
        run({B: batch, W: warmup}, 0, [0.9 - 0.01 * abs(warmup - best)])
        for batch, best in ((256, 0), (1024, 5), (4096, 10), (16384, 20))
        for warmup in (0, 5, 10, 20, 40)
    ]
    drawn = best_warmup_by_batch_size(results(records))
    assert drawn is not None
    (axes,) = drawn.figure.axes
    ((x, y),) = spots(axes)
    assert (x, y) == ([8, 10, 12, 14], [0, 5, 10, 20])
    assert axes.get_ylim()[0] < 0 < axes.get_ylim()[1]
    assert legend(drawn) == ["∝ B to the 0.50 (0.50 to 0.50)"]  # of those above 0, which doubles from 4B to B


def reaching(batch: int, epochs: Sequence[int | None], total: int = 12, **about: Any) -> list[Record]:
    """Runs that are at 0.95 after so many epochs; None: never."""
    return [
        run(
            {B: batch},
            seed,
            [0.95 if reached and epoch >= reached else 0.5 for epoch in range(1, total + 1)],
            **about,
        )
        for seed, reached in enumerate(epochs)
    ]


def made_targets() -> Results:
    records = [
        *reaching(500, [2, 2, 2]), *reaching(1000, [2, 3, 4]), *reaching(2000, [4, 6, None]),
        *reaching(4000, [None, None, 9]),
    ]  # fmt: skip
    return results(records, target={"val_accuracy": 0.9})


def test_steps_to_the_target_with_perfect_scaling() -> None:
    drawn = steps_to_target(made_targets())
    assert drawn is not None and drawn.name == "steps_to_target_by_batch_size"
    (axes,) = drawn.figure.axes
    full, hollow = spots(axes)
    steps = [epochs * EXAMPLES / batch for epochs, batch in ((2, 500), (3, 1000), (6, 2000))]
    assert full[1] + hollow[1] == pytest.approx(steps)  # medians: 2; 3 of 2, 3, 4; 6 of 4, 6, never
    assert axes.get_yscale() == "log"
    ((_, guide),) = curves(axes)
    assert (guide[0], guide[-1]) == pytest.approx((240, 30))  # half the steps at twice the batch
    (cross,) = [line for line in axes.get_lines() if line.get_marker() == "x"]
    assert cross.get_xdata()[0] == pytest.approx(11.96578)  # log2 of 4000
    assert {"some runs never reach it", "half of the runs or more never reach it", "perfect scaling"} <= set(
        legend(drawn)
    )
    assert "90 %" in drawn.caption and "n = 1 to 3" in drawn.caption


def test_bars_reach_from_the_fastest_to_the_slowest_run() -> None:
    drawn = epochs_to_target(made_targets())
    assert drawn is not None
    bars = [bar[:, 1].tolist() for bar in drawn.figure.axes[0].containers[0].lines[2][0].get_segments()]
    assert bars == [[2, 2], [2, 4]]


def test_epochs_to_the_target_have_the_critical_batch_size() -> None:
    """Epochs that are exactly 4·(1 + B/1000)."""
    records = [
        record
        for batch in (250, 500, 1000, 2000, 4000)
        for record in reaching(batch, [4 + 4 * batch // 1000], 20)
    ]
    drawn = epochs_to_target(results(records, target={"val_accuracy": 0.9}))
    assert drawn is not None
    (axes,) = drawn.figure.axes
    ((_, y),) = spots(axes)
    assert y == [5, 6, 8, 12, 20] and axes.get_ylim()[0] == 0
    (text,) = legend(drawn)
    assert text.startswith("B_crit 1,000 (")
    ((_, curve),) = curves(axes)
    assert (curve[0], curve[-1]) == pytest.approx((5, 20), rel=1e-3)


def test_of_tuned_points_the_fastest_counts() -> None:
    records = [
        replace(record, spec={**record.spec, "point": {B: batch, R: rate}})
        for batch in (500, 1000)
        for rate, epochs in ((0.1, 5), (0.2, 2))
        for record in reaching(batch, [epochs])
    ]
    drawn = epochs_to_target(results(records, target={"val_accuracy": 0.9}))
    assert drawn is not None
    ((_, y),) = spots(drawn.figure.axes[0])
    assert y == [2, 2]


def test_one_batch_size_is_no_law() -> None:
    one = results(reaching(500, [2, 3]), target={"val_accuracy": 0.9})
    for kind in ("best_rate", "best_warmup", "steps_to_target", "epochs_to_target", "regimes"):
        assert draw(one, [f"{kind}{'' if kind == 'regimes' else '_by_batch_size'}"]) == []


def test_regimes_shade_the_brackets() -> None:
    accuracies = {
        (256, 0.1): 0.98,
        (512, 0.2): 0.98,
        (1024, 0.4): 0.96,
        (1024, 0.2): 0.979,
        (2048, 0.8): 0.5,
        (2048, 0.2): 0.95,
    }
    records = [
        run(
            {B: batch, R: rate},
            seed,
            [value],
            derived={"batch_size": batch, "learning_rate_peak": rate, "epochs": 1},
        )
        for (batch, rate), value in accuracies.items()
        for seed in (0, 1)
    ]
    drawn = regimes(results(records, baseline={B: 256}))
    assert drawn is not None
    (axes,) = drawn.figure.axes
    best, linear = spots(axes)
    assert best[1] == pytest.approx([98, 98, 97.9, 95]) and linear[1] == pytest.approx([98, 98, 96, 50])
    bands = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches]
    assert bands == [(9, 10), (10, 11)]  # 512 to 1024, 1024 to 2048
    levels = sorted(y[0] for _, y in curves(axes))
    assert levels == pytest.approx([0.995 * 98, 98])
    assert {"B_L between 512 and 1,024", "B_H between 1,024 and 2,048", "99.5 % of A"} <= set(legend(drawn))


def trained(ranks: int, batch: int, speed: float, seed: int = 0, **times: float) -> Record:
    return run(
        {K: ranks, B: batch},
        seed,
        [0.5, 0.9],
        exit={"images_per_second": speed, **times},
        provenance={"ranks": ranks, "ranks_on_host": min(ranks, 6), "gpu": True},
        derived={"batch_size": batch, "workers": ranks},
    )


def test_strong_scaling_has_throughput_ideal_line_and_efficiency() -> None:
    records = [
        trained(ranks, 7680, speed + 100 * seed, seed)
        for ranks, speed in ((6, 950), (12, 1700), (24, 3000))
        for seed in (0, 1)
    ]
    drawn = throughput(results(records), weak=False)
    assert drawn is not None and drawn.name == "throughput_strong"
    speed, efficiency = drawn.figure.axes
    ((x, y),) = spots(speed)
    assert y == pytest.approx([1000, 1750, 3050])
    assert [text.get_text() for text in speed.get_xticklabels()] == ["6", "12", "24"]
    assert [x[1] - x[0], x[2] - x[1]] == pytest.approx([1, 1])
    ideal = [line for line in speed.get_lines() if line.get_linestyle() == "--"]
    assert list(ideal[0].get_ydata()) == pytest.approx([1000, 2000, 4000])
    shares = next(line for line in efficiency.get_lines() if len(line.get_ydata()) == 3)
    assert list(shares.get_ydata()) == pytest.approx([100, 87.5, 76.25])
    assert speed.get_xlabel() == "GPUs" and speed.get_ylabel() == "throughput (images/s)"
    assert legend(drawn) == ["7,680", "ideal"]
    assert throughput(results(records), weak=True) is None


def test_weak_scaling_goes_by_the_batch_size_a_worker() -> None:
    records = [trained(ranks, size * ranks, 90.0 * ranks) for ranks in (1, 2, 4, 8) for size in (32, 128)]
    drawn = throughput(results(records), weak=True)
    assert drawn is not None and legend(drawn) == ["32", "128", "ideal"]
    shares = [line for line in drawn.figure.axes[1].get_lines() if len(line.get_ydata()) == 4]
    assert [list(line.get_ydata()) for line in shares] == [pytest.approx([100] * 4)] * 2
    assert throughput(results(records), weak=False) is None  # 128 alone has pairs, of two


def test_time_shares_are_parts_of_the_training_time() -> None:
    """80 s of 100 s are computation, 10 s all-reduce, and a tenth is waiting."""
    times = {"compute_seconds": 80.0, "allreduce_seconds": 10.0, "input_wait": 0.1}
    records = [trained(6, 768, 1000.0, **times), trained(12, 768, 1000.0)]
    drawn = time_shares(results(records))
    assert drawn is not None
    (axes,) = drawn.figure.axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([80, 10, 10])
    assert [bar.get_x() for bar in axes.patches] == pytest.approx([0, 80, 90])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["6 GPUs, B = 768"]
    assert time_shares(results(records[1:])) is None


def test_bars_of_time_say_what_their_numbers_are() -> None:
    times = {"compute_seconds": 80.0, "allreduce_seconds": 10.0, "input_wait": 0.1}
    warmup, optimizer = "recipe.warmup.epochs", "recipe.optimizer.kind"
    records = [trained(6, 768, 1000.0, **times) for _ in range(4)]
    settings = [(warmup, 0.5), (warmup, 5), (optimizer, "lars"), (optimizer, "lamb")]
    for record, (axis, value) in zip(records, settings, strict=True):
        record.spec["point"][axis] = value
    for two, names in (
        (records[:2], ["warmup epochs 0.5", "warmup epochs 5"]),
        (records[2:], ["lamb", "lars"]),
    ):
        drawn = time_shares(results(two))
        assert drawn is not None
        labels = [text.get_text().replace("\n", " ") for text in drawn.figure.axes[0].get_yticklabels()]
        assert labels == [f"6 GPUs, B = 768, {name}" for name in names]


def test_the_front_is_what_nothing_beats_in_both() -> None:
    assert pareto([(2, 5), (1, 3), (3, 4), (4, 6), (2, 4), (1, 2)]) == [(1, 3), (2, 5), (4, 6)]
    assert pareto([]) == []


def test_accuracy_by_node_hours() -> None:
    hours = {256: 10.0, 1024: 4.0, 4096: 1.0, 16384: 2.0}
    records = [
        replace(
            run({B: batch}, seed, [0.99 - 0.01 * index], provenance={"ranks": 12, "ranks_on_host": 6}),
            wall_seconds=hours[batch] * 1800,
        )
        for index, batch in enumerate(hours)
        for seed in (0, 1)
    ]
    drawn = accuracy_by_node_hours(results(records))
    assert drawn is not None
    (axes,) = drawn.figure.axes
    assert [(x[0], y[0]) for x, y in spots(axes)] == [
        pytest.approx(pair) for pair in ((10, 99), (4, 98), (1, 97), (2, 96))
    ]  # two nodes, half as many hours each
    front = next(line for line in axes.get_lines() if len(line.get_xdata()) == 3)
    assert list(zip(front.get_xdata(), front.get_ydata(), strict=True)) == [
        pytest.approx(pair) for pair in ((1, 97), (4, 98), (10, 99))
    ]
    assert axes.get_xlabel() == "node-hours a run" and axes.get_xscale() == "log"


def test_made_studies_give_their_own_laws_back() -> None:
    """The generator's best rate grows with the square root of the batch size."""
    batches, ladder = [256, 1024, 4096, 16384], [0.0125 * 2**power for power in range(9)]
    drawn = best_rate_by_batch_size(study({B: batches, R: ladder}, falling, spread=1e-4))
    assert drawn is not None
    assert legend(drawn)[0].startswith("∝ B to the 0.50")


def test_nothing_is_drawn_where_there_is_nothing_to_draw() -> None:
    planned = results([run({B: batch, R: 0.1, K: 1}, state=State.PLANNED) for batch in (256, 512)])
    by_batch = ("best_rate", "best_warmup", "steps_to_target", "epochs_to_target")
    others = ("regimes", "throughput", "time_shares", "accuracy_by_node_hours")
    for kind in (*(f"{kind}_by_batch_size" for kind in by_batch), *others):
        assert list(KINDS[kind].draw(planned)) == []
