"""SAM inside a training step, one rank: bits that must not differ from the plain step, and closed forms."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import horovod_lb as hlb
from horovod_lb.measure.watch import GradientWatch
from horovod_lb.training.blocks import stages
from horovod_lb.training.loss import LOSS
from horovod_lb.training.step import TrainingStep

GROUPS, SIZE = 4, 6
MODES = ["worker", 2, "global"]


@pytest.fixture(autouse=True, scope="module")
def horovod() -> None:
    hlb.init()


def network() -> Any:
    keras.utils.set_random_seed(3)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(16),
            layers.BatchNormalization(momentum=0.7),
            layers.ReLU(),
            layers.Dropout(0.4),
            layers.Dense(3),
        ]
    )


def batch(step: int) -> list[tuple[np.ndarray, np.ndarray]]:
    stream = np.random.default_rng(step)
    return [
        (stream.normal(size=(SIZE, 5)).astype("float32"), stream.integers(0, 3, SIZE)) for _ in range(GROUPS)
    ]


def trained(sam: Any, steps: int = 1, model: Any = None, **options: Any) -> tuple[Any, list[np.ndarray]]:
    """The model after `steps` steps, and what the steps returned."""
    model = model or network()
    optimizer = hlb.DistributedOptimizer(keras.optimizers.SGD(options.pop("rate", 0.1)))
    optimizer.build(model.trainable_variables)
    step = TrainingStep(model, optimizer, seed=1, sam=sam, groups=GROUPS, **options)
    return model, [step(t, batch(t), 0, GROUPS * SIZE, 1) for t in range(steps)]


def recipe(rho: float, group: Any = "worker", decay_at: str = "w", adaptive: bool = False) -> dict[str, Any]:
    return {"rho": rho, "group": group, "decay_at": decay_at, "adaptive": adaptive}


def equal(found: Any, expected: Any) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("group", MODES)
def test_at_rho_zero_it_is_the_plain_step_to_the_bit(group: Any) -> None:
    """With dropout and batch norm: both passes see the plain step's masks."""
    sharp, counts = trained(recipe(0.0, group), steps=3)
    plain, expected = trained(None, steps=3)
    equal(sharp.variables, plain.variables)
    equal(counts, expected)


@pytest.mark.parametrize("group", MODES)
def test_statistics_and_counts_are_those_of_the_first_pass(group: Any) -> None:
    sharp, counts = trained(recipe(3.0, group))
    plain, expected = trained(None)
    equal(sharp.non_trainable_variables, plain.non_trainable_variables)
    equal(counts, expected)
    assert not np.array_equal(sharp.trainable_variables[0], plain.trainable_variables[0])


@pytest.mark.parametrize("group", MODES)
def test_the_weights_come_back_to_the_bit(group: Any) -> None:
    model, _ = trained(recipe(1e6, group), steps=2, rate=0.0)
    equal(model.trainable_variables, network().trainable_variables)


@pytest.mark.parametrize("group", MODES)
@pytest.mark.parametrize("where", ["none", "w", "w_eps"])
def test_where_the_decay_is_taken(where: str, group: Any) -> None:
    """Nothing but decay at work: with w_eps it is the gradient that ε follows, so w grows to w + ρw/‖w‖."""
    rate, value, rho = 0.1, 0.5, 2.0
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    w = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    model.layers[0].kernel.assign(w)
    trained(
        recipe(rho, group, where),
        model=model,
        rate=rate,
        penalty=value,
        penalized=[model.layers[0].kernel],
        loss=lambda labels, logits: 0.0 * tf.reduce_sum(logits, -1),
    )
    at = {"none": 0.0, "w": 1.0, "w_eps": 1.0 + rho / np.linalg.norm(w)}[where]
    np.testing.assert_allclose(model.layers[0].kernel.numpy(), w * (1 - rate * value * at), rtol=1e-5)


@pytest.mark.parametrize("group", MODES)
def test_measurements_see_the_gradient_that_is_applied(group: Any) -> None:
    """A loss linear in the weights has the same gradient c at w + ε; with the decay at w it is c + λw."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, use_bias=False)])
    (kernel,) = model.trainable_variables
    w = kernel.numpy().copy()
    optimizer = hlb.DistributedOptimizer(keras.optimizers.SGD(0.1))
    optimizer.build([kernel])
    step = TrainingStep(
        model,
        optimizer,
        penalty=0.5,
        penalized=[kernel],
        loss=lambda labels, logits: tf.reduce_sum(logits, -1),
        sam=recipe(3.0, group),
        groups=GROUPS,
        watch=GradientWatch(optimizer),
    )
    totals = step(0, [(np.ones_like(x), y) for x, y in batch(0)], 0, GROUPS * SIZE, 1)
    square = ((1 + 0.5 * w) ** 2).sum()
    np.testing.assert_allclose(totals[4:], [GROUPS * SIZE * square, GROUPS], rtol=1e-5)
    np.testing.assert_allclose(kernel.numpy(), w - 0.1 * (1 + 0.5 * w), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("group", MODES)
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_a_group_that_is_not_finite(group: Any, precision: str) -> None:
    """Its gradient alone, the loss being finite: no step. In float32 the run learns of it by the loss."""
    keras.config.set_dtype_policy(precision)
    try:
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
        optimizer = hlb.DistributedOptimizer(keras.optimizers.SGD(0.1))
    finally:
        keras.config.set_dtype_policy("float32")
    optimizer.build(model.trainable_variables)
    before = [v.numpy().copy() for v in model.trainable_variables]

    @tf.custom_gradient
    def breaks(x: Any) -> Any:
        return x, lambda upstream: tf.where(upstream != 0, float("inf"), 0.0)

    def loss(labels: Any, logits: Any) -> Any:
        plain = tf.reduce_sum(tf.cast(logits, tf.float32) ** 2, -1)
        return tf.where(labels == 7, breaks(plain), plain)

    step = TrainingStep(model, optimizer, seed=1, loss=loss, sam=recipe(0.1, group), groups=GROUPS)
    groups = batch(0)
    groups[2] = (groups[2][0], np.full(SIZE, 7))
    scale = float(optimizer.scale_loss(tf.constant(1.0)))
    totals = step(0, groups, 0, GROUPS * SIZE, 1)
    equal(model.trainable_variables, before)
    assert int(optimizer.iterations) == 0
    if precision == "float32":
        assert np.isnan(totals[LOSS])
    else:
        assert np.isfinite(totals[LOSS])
        assert float(optimizer.scale_loss(tf.constant(1.0))) == scale / 2
    step(1, batch(1), 0, GROUPS * SIZE, 1)
    assert int(optimizer.iterations) == 1
    assert all(np.isfinite(v.numpy()).all() for v in model.trainable_variables)


@pytest.mark.parametrize("groups", [1, 2, 6, 12, 24])
def test_every_group_of_a_rank_is_in_one_stage(groups: int) -> None:
    """And the ranks of a block meet in the same exchange, of which all ranks have equally many."""
    for ranks in (n for n in range(1, groups + 1) if groups % n == 0):
        for shared in (n for n in range(1, groups + 1) if groups % n == 0):
            orders = [stages(groups, shared, ranks, rank) for rank in range(ranks)]
            assert len({sum(stage.spans for stage in order) for order in orders}) == 1
            own = groups // ranks
            for rank, order in enumerate(orders):
                mine = [g for stage in order for g in stage.groups if g // own == rank]
                assert sorted(mine) == list(range(rank * own, (rank + 1) * own))
                assert [stage.spans for stage in order] == sorted((s.spans for s in order), reverse=True)
                for place, stage in enumerate(order):
                    met = {g // own for g in stage.groups} or {rank}
                    assert set(stage.ranks) == met
                    assert all(orders[other][place] == stage for other in met if stage.spans)
