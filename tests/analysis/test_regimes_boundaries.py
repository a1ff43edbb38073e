"""The boundaries of You et al. 2020 on made-up runs: Table 2 as the worked example, and what blurs them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from made_runs import Folder
from scipy import stats

from horovod_lb.analysis import Results, collect
from horovod_lb.analysis.regimes.baseline import baseline
from horovod_lb.analysis.regimes.boundaries import full_batch, huge_batch, large_batch
from horovod_lb.analysis.regimes.criterion import above, below, in_words

RATE, KIND = "recipe.reference.learning_rate", "recipe.optimizer.kind"
SPREAD = (-0.0005, 0.0, 0.0005)


class Runs:
    """Runs of three seeds at (batch size, optimizer, peak rate)."""

    def __init__(self, folder: Folder, **spec: Any) -> None:
        self.folder, self.spec, self.count = folder, spec, 0

    def at(
        self,
        batch: int,
        accuracy: float,
        loss: float = 0.03,
        *,
        kind: str = "momentum",
        rate: float | None = None,
        epochs: float = 30,
        spread: tuple[float, ...] = SPREAD,
        diverged: int = 0,
        point: dict[str, Any] | None = None,
        **spec: Any,
    ) -> None:
        peak = 0.1 * batch / 256 if rate is None else rate
        for seed, off in enumerate(spread):
            self.count += 1
            state: dict[str, Any] = (
                {"state": "diverged", "losses": ["nan"]} if seed < diverged else {"losses": [loss]}
            )
            self.folder.run(
                f"r{self.count}",
                {"recipe.batch_size": batch, KIND: kind, **(point or {})},
                seed,
                [accuracy + off],
                derived={"batch_size": batch, "learning_rate_peak": peak, "epochs": epochs},
                **state,
                **{**self.spec, **spec},
            )

    def collect(self, **source: Any) -> Results:
        results = collect(self.folder.path)
        return replace(results, source=replace(results.source, **source))


@pytest.fixture
def runs(folder: Folder) -> Runs:
    return Runs(folder, data={"name": "mnist", "holdout": 0})


def test_mnist_of_table_2(runs: Runs) -> None:
    """LeNet on MNIST: B_0 = 256 at 99.2 % in 30 epochs, large [2K, 8K], huge (8K, 60K), full 60K."""
    runs.at(256, 0.992)
    runs.at(1024, 0.991)
    runs.at(2048, 0.980, 0.06)
    runs.at(4096, 0.950, 0.16)
    for batch, value in ((2048, 0.992), (4096, 0.993), (8192, 0.994), (16384, 0.980), (60000, 0.960)):
        runs.at(batch, value, kind="lars")
    runs.at(8192, 0.1, diverged=3)
    results = runs.collect(baseline={"recipe.batch_size": 256})
    base = baseline(results)
    assert base is not None
    assert (base.batch_size, base.epochs, base.rate) == (256, 30, 0.1)
    assert base.accuracy == pytest.approx(0.992)
    assert base.loss == pytest.approx(0.03)
    large, huge = large_batch(results, base), huge_batch(results, base)
    assert (large.low, large.high) == (1024, 2048)
    assert [judged.batch_size for judged in large.judged] == [1024, 2048, 4096, 8192]
    assert (huge.low, huge.high) == (8192, 16384)
    assert large.monotone and huge.monotone
    assert full_batch(base) == 60000
    at = huge.at(16384)
    assert at is not None and at.decided and not at.holds


@pytest.mark.parametrize(
    ("size", "first", "large", "huge"),
    [("imagenet", 256, (1024, 2048), (65536, 131072)), ("cifar10", 128, (1024, 2048), (25000, 50000))],
)
def test_the_other_rows_of_table_2(
    folder: Folder, size: str, first: int, large: tuple[int, int], huge: tuple[int, int]
) -> None:
    """ImageNet: 75.9 %, large [2K, 64K], huge (64K, 1.28M). CIFAR-10: 93.9 %, [2K, 25K], (25K, 50K)."""
    runs, best = Runs(folder, data={"name": size}), 0.759 if size == "imagenet" else 0.939
    for batch in (first, large[0]):
        runs.at(batch, best, rate=0.1 * batch / first)
    runs.at(large[1], best - 0.02, rate=0.1 * large[1] / first)
    for batch, value in ((large[1], best), (huge[0], best), (huge[1], best - 0.025)):
        runs.at(batch, value, kind="lars")
    results = runs.collect()
    base = baseline(results)
    assert base is not None
    found = large_batch(results, base), huge_batch(results, base)
    assert [(one.low, one.high) for one in found] == [large, huge]
    assert full_batch(base) == {"imagenet": 1281167, "cifar10": 50000}[size]


def test_the_loss_has_a_say_in_large_batches_alone(runs: Runs) -> None:
    runs.at(256, 0.992, 0.030)
    runs.at(512, 0.992, 0.0361)  # above 1.2 ξ = 0.036
    results = runs.collect()
    base = baseline(results)
    assert base is not None
    assert (large_batch(results, base).low, large_batch(results, base).high) == (256, 512)
    assert (huge_batch(results, base).low, huge_batch(results, base).high) == (512, None)
    assert large_batch(results, base).judged[0].notes == ("the loss 0.0361 is above 1.2 ξ",)


def test_thresholds_count_as_reached(runs: Runs) -> None:
    runs.at(256, 0.8, 0.5, spread=(0.0,))
    runs.at(512, 0.8 * 0.995, 0.6, spread=(0.0,))
    results = runs.collect()
    base = baseline(results)
    assert base is not None
    assert large_batch(results, base).low == 512


def test_only_the_linearly_scaled_rate_counts_for_large_batches(runs: Runs) -> None:
    runs.at(256, 0.992)
    runs.at(512, 0.992, rate=0.1)  # not scaled
    runs.at(1024, 0.992, kind="lars")  # another technique
    results = runs.collect(baseline={"recipe.batch_size": 256})
    base = baseline(results)
    assert base is not None
    large = large_batch(results, base)
    assert (large.low, large.high, large.judged) == (256, None, ())
    assert "no finished run" in large.notes[0]
    assert huge_batch(results, base).low == 1024


def test_training_longer_is_not_within_the_epochs(runs: Runs) -> None:
    runs.at(256, 0.992)
    runs.at(512, 0.98)
    runs.at(512, 0.992, kind="lars", epochs=200)
    results = runs.collect(baseline={"recipe.batch_size": 256})
    base = baseline(results)
    assert base is not None
    assert huge_batch(results, base).high == 512


def test_losses_with_other_label_smoothing_are_not_compared(runs: Runs) -> None:
    runs.at(256, 0.992, 0.03, recipe={"label_smoothing": 0})
    runs.at(512, 0.992, 0.60, recipe={"label_smoothing": 0.1})
    results = runs.collect()
    base = baseline(results)
    assert base is not None
    (judged,) = large_batch(results, base).judged
    assert judged.holds and judged.loss is None
    assert "label smoothing" in judged.notes[0]


def test_diverged_runs_do_not_hold(runs: Runs) -> None:
    runs.at(256, 0.99)
    runs.at(512, 0.99, diverged=1)
    runs.at(1024, 0.99, diverged=3)
    results = runs.collect()
    base = baseline(results)
    assert base is not None
    one, three = large_batch(results, base).judged
    assert not one.holds and one.accuracy == pytest.approx((0 + 0.99 + 0.9905) / 3)
    assert not one.decided and "1 of 3 runs diverged" in one.notes
    assert not three.holds and three.accuracy == 0 and three.confidence == pytest.approx(1, abs=1e-3)


def test_one_seed_gives_a_verdict_but_no_confidence(runs: Runs) -> None:
    runs.at(256, 0.99)
    runs.at(512, 0.99, spread=(0.0,))
    results = runs.collect()
    base = baseline(results)
    assert base is not None
    (judged,) = huge_batch(results, base).judged
    assert judged.holds and judged.confidence is None and not judged.decided


def test_a_criterion_that_holds_again_is_not_monotone(runs: Runs) -> None:
    for batch, value in ((256, 0.99), (512, 0.97), (1024, 0.99), (2048, 0.95)):
        runs.at(batch, value)
    results = runs.collect()
    base = baseline(results)
    assert base is not None
    large, huge = large_batch(results, base), huge_batch(results, base)
    assert (large.low, large.high, large.monotone) == (256, 512, False)
    assert (huge.low, huge.high, huge.monotone) == (1024, 2048, False)


def test_the_best_technique_counts_and_its_rate_at_the_edge_is_named(runs: Runs) -> None:
    runs.at(256, 0.99, point={RATE: 0.1})
    for rate, value in ((0.1, 0.90), (0.2, 0.93), (0.4, 0.95)):
        runs.at(512, value, point={RATE: rate})
    results = runs.collect(baseline={"recipe.batch_size": 256})
    base = baseline(results)
    assert base is not None
    (judged,) = huge_batch(results, base).judged
    assert judged.points == 3 and judged.accuracy == pytest.approx(0.95)
    ((axis, value, at, beyond),) = [(e.axis, e.value, e.at, e.beyond) for e in judged.edges]
    assert (axis, value, at, beyond) == (RATE, 0.4, "highest", 0.8)


def test_the_best_of_several_holds_less_surely_than_the_only_one(runs: Runs) -> None:
    """A maximum of m means is above the threshold by chance m times as easily: 1 − m·(1 − confidence). Where
    others are above it too (Simes), the k-th best counts m/k times.
    """
    runs.at(256, 0.99)
    runs.at(512, 0.9865, kind="lars")
    runs.at(512, 0.9848, kind="lamb")
    runs.at(512, 0.9849, kind="adam")
    runs.at(512, 0.9600, kind="adagrad")  # surely below: none that could have been the best by chance
    results = runs.collect(baseline={"recipe.batch_size": 256})
    base = baseline(results)
    assert base is not None
    (judged,) = huge_batch(results, base).judged
    here = [0.9865 + off for off in SPREAD]
    alone = above(here, base.accuracies, 0.995)
    assert alone is not None and judged.confidence is not None
    assert judged.holds and judged.confidence == pytest.approx(1 - 3 * (1 - alone))
    runs.at(512, 0.9865, kind="sgd")
    results = runs.collect(baseline={"recipe.batch_size": 256})
    (judged,) = huge_batch(results, base).judged
    assert judged.confidence == pytest.approx(1 - 4 / 2 * (1 - alone))


def test_a_technique_that_holds_is_not_hidden_by_one_that_diverges(runs: Runs) -> None:
    runs.at(256, 0.99)
    runs.at(1024, 0.995, kind="lars", diverged=1)  # the higher mean of converged runs; with the other 0.663
    runs.at(1024, 0.99, kind="lamb")
    results = runs.collect()
    base = baseline(results)
    assert base is not None
    huge = huge_batch(results, base)
    assert (huge.low, huge.high) == (1024, None)
    (judged,) = huge.judged
    assert judged.holds and judged.accuracy == pytest.approx(0.99)


def test_longer_training_lies_beyond_no_edge(runs: Runs) -> None:
    for epochs in (15, 30):
        for batch, value in ((256, 0.99), (1024, 0.90)):
            point = {"recipe.epochs": epochs}
            runs.at(batch, value + epochs / 10000, epochs=epochs, point=point)
    results = runs.collect(baseline={"recipe.batch_size": 256, "recipe.epochs": 30})
    base = baseline(results)
    assert base is not None and base.epochs == 30
    (judged,) = huge_batch(results, base).judged
    assert not judged.holds and judged.edges == ()


def test_one_criterion_that_surely_fails_is_enough(runs: Runs) -> None:
    """Two of three diverged: one loss tells nothing of its spread, the accuracies do."""
    runs.at(256, 0.99)
    runs.at(512, 0.5, diverged=2, spread=(0.0, 0.0, 0.0))
    results = runs.collect()
    base = baseline(results)
    assert base is not None
    (judged,) = large_batch(results, base).judged
    here = stats.ttest_ind(
        [0.5, 0.0, 0.0], [0.995 * value for value in base.accuracies], equal_var=False, alternative="greater"
    ).pvalue
    assert not judged.holds and judged.confidence == pytest.approx(1 - 2 * (1 - here))


def test_nothing_is_sure_where_nothing_was_judged(runs: Runs) -> None:
    runs.at(256, 0.99)
    results = runs.collect()
    base = baseline(results)
    assert base is not None
    assert huge_batch(results, base).confidence is None and large_batch(results, base).confidence is None


def test_a_bracket_is_as_sure_as_both_of_its_ends(runs: Runs) -> None:
    runs.at(256, 0.99)
    runs.at(512, 0.9858)
    runs.at(1024, 0.9845)
    results = runs.collect()
    base = baseline(results)
    assert base is not None
    huge = huge_batch(results, base)
    ends = [huge.at(512), huge.at(1024)]
    assert all(end is not None and end.confidence is not None and 0.5 < end.confidence < 0.99 for end in ends)
    wrong = sum(1 - (end.confidence or 0) for end in ends if end)
    assert huge.confidence == pytest.approx(1 - wrong)


def test_no_baseline_without_a_result(folder: Folder) -> None:
    folder.run("a", {"recipe.batch_size": 256}, 0, state=None)
    assert baseline(collect(folder.path)) is None


HERE, THERE = [0.981, 0.979, 0.984, 0.977], [0.990, 0.992, 0.991]


def test_confidence_is_that_of_welchs_test() -> None:
    scaled = [0.995 * value for value in THERE]
    greater = stats.ttest_ind(HERE, scaled, equal_var=False, alternative="greater").pvalue
    assert above(HERE, THERE, 0.995) == pytest.approx(1 - greater)
    assert below(HERE, THERE, 0.995) == pytest.approx(greater)


def test_confidence_without_spread() -> None:
    assert above([0.9, 0.9], [0.8, 0.8], 1.0) == 1.0
    assert above([0.7, 0.7], [0.8, 0.8], 1.0) == 0.0
    assert above([0.8, 0.8], [0.8, 0.8], 1.0) == 0.5
    assert above([0.9], [0.8, 0.8], 1.0) is None


def test_confidence_is_right_as_often_as_it_says() -> None:
    """On the threshold itself, confidence above 95 % that it is passed comes up in 5 % of the cases."""
    import numpy as np

    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(2000):
        there = rng.normal(0.99, 0.002, 4)
        here = rng.normal(0.995 * 0.99, 0.003, 4)
        wrong += (above(list(here), list(there), 0.995) or 0) > 0.95
    assert 70 <= wrong <= 130  # 100 expected, standard deviation 9.7


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "not known"),
        (0.2, "less than 50 %"),
        (0.9999, "more than 99.9 %"),
        (0.976, "98 % sure"),
        (0.995, "99.5 % sure"),
    ],
)
def test_confidence_in_words(value: float | None, said: str) -> None:
    assert said in in_words(value)
