"""Sharpness-aware minimization on any number of ranks, against a loop over all groups in one process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from points import AloneByGroups, distance, mlp, normalized, spec, train
from rank_checks import Here, ranks

DECAY = {"value": 0.02, "kind": "l2", "exclude": ["bias"]}
# N = 1405 in batches of 156 leaves one example: all groups but one are empty, and all ranks but one.
WEIGHTED = {"holdout": 35, "remainder": "weighted", "batch_size": 156}


class Sharp(AloneByGroups):
    """SAM by its definition, in NumPy: for every block of groups its mean gradient, ε, the mean at w + ε."""

    def gradients(self, indices: np.ndarray) -> list[np.ndarray]:
        sam, groups = self.recipe["sam"], self.recipe["groups"]
        together = {"worker": 1, "global": groups}.get(sam["group"], sam["group"])
        parts = np.split(indices, [g * len(indices) // groups for g in range(1, groups)])
        trained, state = self.model.trainable_variables, self.model.non_trainable_variables
        w = [v.numpy() for v in trained]
        before = [v.numpy() for v in state]
        after = [np.zeros(v.shape) for v in state]
        total: list[Any] = [0.0] * len(trained)

        def put(variables: Any, values: Any) -> None:
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value.astype(variable.dtype))

        for start in range(0, groups, together):
            block = [part for part in parts[start : start + together] if len(part)]
            size = sum(map(len, block))
            mean: list[Any] = [0.0] * len(trained)
            for part in block:
                put(state, before)
                mean = [
                    m + g * len(part) / size for m, g in zip(mean, self.plain(part, "w_eps"), strict=True)
                ]
                after = [a + v.numpy() * len(part) / len(indices) for a, v in zip(after, state, strict=True)]
            scale = [np.abs(v.astype("float64")) if sam["adaptive"] else 1.0 for v in w]
            length = np.sqrt(sum(((s * m) ** 2).sum() for s, m in zip(scale, mean, strict=True)))
            put(
                trained, [v + sam["rho"] * s * s * m / length for v, s, m in zip(w, scale, mean, strict=True)]
            )
            for part in block:
                put(state, before)
                found = self.plain(part, "w_eps")
                total = [t + g * len(part) / len(indices) for t, g in zip(total, found, strict=True)]
            put(trained, w)
        put(state, after)
        return [t + d for t, d in zip(total, self.decay("w"), strict=True)]

    def plain(self, part: np.ndarray, where: str) -> list[np.ndarray]:
        """Of the mean loss of one group at the weights as they are, with the decay if it belongs here."""
        import tensorflow as tf

        x, y = self.data.train.take(part)
        with tf.GradientTape() as tape:
            loss = self.loss(y, self.model(x.astype("float32") * self.data.info.scale, training=True))
        found = tape.gradient(loss, self.model.trainable_variables)
        return [g.numpy() + d for g, d in zip(found, self.decay(where), strict=True)]

    def decay(self, where: str) -> list[Any]:
        value = self.recipe["weight_decay"]["value"] * (self.recipe["sam"]["decay_at"] == where)
        return [
            value * v.numpy().astype("float64") * (v.name != "bias") for v in self.model.trainable_variables
        ]

    def train(self) -> list[np.ndarray]:
        # The decay stands in `gradients`; the loop around it must not add its own.
        self.recipe = {**self.recipe, "weight_decay": {**self.recipe["weight_decay"], "kind": "none"}}
        return super().train()


def _point(name: str, sam: dict[str, Any], **recipe: Any) -> dict[str, Any]:
    return spec(f"sam-{name}", sam=sam, **{"epochs": 1, "warmup": {"kind": "none"}, **recipe})


def _train(here: Here, point: dict[str, Any], build: Callable[[], Any]) -> list[np.ndarray]:
    state, directory, values = train(here, point, build)
    assert state == "completed", directory.read_exit()
    here.identical(*values)
    if here.rank == 0:
        np.savez(here.out / f"{point['run_id']}.npz", *values)
    return values


def _agrees(here: Here, point: dict[str, Any], build: Callable[[], Any]) -> None:
    values = _train(here, point, build)
    if here.size == 1:
        expected = Sharp(point, build).train()
        assert distance(values, expected) < 2e-5, distance(values, expected)


@ranks(1, 2, 3, seconds=240)
def check_of_each_group(here: Here) -> None:
    """Batch norm, decay at w + ε."""
    sam = {"rho": 0.1, "decay_at": "w_eps"}
    _agrees(here, _point("worker", sam, groups=6, batch_size=240, weight_decay=DECAY), normalized)


@ranks(1, 2, 3, seconds=240)
def check_of_blocks(here: Here) -> None:
    """Four groups a block: on two ranks the middle one lies on both. ASAM, decay at w."""
    sam = {"rho": 0.5, "group": 4, "adaptive": True}
    point = _point("blocks", sam, weight_decay=DECAY, **WEIGHTED)
    _agrees(here, point, mlp)
    if here.size == 1:
        still = {**point["recipe"], "sam": {**point["recipe"]["sam"], "rho": 1e-12}}
        plain, sharp = Sharp({**point, "recipe": still}, mlp).train(), Sharp(point, mlp).train()
        assert distance(plain, sharp) > 0.01, "the perturbation does next to nothing"


@ranks(1, 2, 3, seconds=240)
def check_of_all(here: Here) -> None:
    """One perturbation for all groups, batch norm, an unequal last step."""
    _agrees(here, _point("global", {"rho": 0.1, "group": "global"}, groups=6, **WEIGHTED), normalized)


@ranks(1, 2, 3, seconds=240)
def check_across(here: Here) -> None:
    """Blocks of three, batch norm: on three ranks the outer ones end a step in an exchange without groups."""
    _agrees(here, _point("across", {"rho": 0.1, "group": 3}, groups=6, batch_size=240), normalized)


@ranks(1, 2, 3, seconds=240)
def check_dropout(here: Here) -> None:
    """Blocks of six on three ranks: each lies on two; masks follow the groups, in both passes."""
    _train(here, _point("dropout", {"rho": 0.1, "group": 6}), lambda: mlp(0.3))


@ranks(1, 3)
def check_sums_over_blocks(here: Here) -> None:
    """Each rank's block in each round against the sum in NumPy, with sizes that the ranks do not divide."""
    import tensorflow as tf

    from horovod_lb.distributed.blocks import BlockReducer

    reducer = BlockReducer()
    shares = [0.25, 0.75, 1.5]

    def values(rank: int) -> list[np.ndarray]:
        stream = np.random.default_rng(rank)
        return [stream.normal(size=shape).astype("float32") for shape in ((3, 5), (), (7,))]

    @tf.function
    def reduce(mine: list[Any], start: int, stop: int) -> list[Any]:
        return reducer.reduce(mine, tf.constant(shares[here.rank]), range(start, stop))

    for blocks in ([range(0, 2), range(2, 3)], [range(0, 1), range(1, 3)], [range(3)]):
        blocks = [range(1)] if here.size == 1 else blocks
        (block,) = [block for block in blocks if here.rank in block]
        found = reduce([tf.constant(v) for v in values(here.rank)], block.start, block.stop)
        expected = [sum(shares[r] * values(r)[i] for r in block) for i in range(3)]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.numpy(), other, rtol=1e-6)


@ranks(1, 2)
def check_a_gradient_that_is_not_finite(here: Here) -> None:
    """On the last rank alone: no rank moves, and the optimizer takes no step; then all go on."""
    import keras

    import horovod_lb as hlb

    keras.utils.set_random_seed(0)
    for group in ("worker", "global"):
        model = hlb.SAM(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), rho=0.1, group=group)
        model.compile(hlb.DistributedOptimizer(keras.optimizers.Adam(0.1)), "mse")
        x, y = np.ones((4, 2), "float32"), np.zeros((4, 1), "float32")
        model.train_on_batch(x, y)
        before = [v.numpy() for v in model.trainable_variables]
        bad = np.full_like(x, np.inf) if here.rank == here.size - 1 else x
        model.train_on_batch(bad, y)
        for variable, value in zip(model.trainable_variables, before, strict=True):
            np.testing.assert_array_equal(variable.numpy(), value)
        assert int(model.optimizer.iterations) == 1
        model.train_on_batch(x, y)
        assert int(model.optimizer.iterations) == 2
        assert np.isfinite(model.trainable_variables[0].numpy()).all()
        here.identical(*(v.numpy() for v in model.variables))


@ranks(2)
def check_fit(here: Here) -> None:
    """`hlb.SAM` in `model.fit` on two ranks against one process, on the same parts of the same batches.

    With one ε for both ranks: whole batches. With one for each: a micro-batch a rank, accumulated by Keras.
    """
    import keras

    import horovod_lb as hlb

    stream = np.random.default_rng(8)
    x = stream.normal(size=(72, 5)).astype("float32")
    y = (x @ stream.normal(size=(5, 3))).argmax(1)

    def fitted(optimizer: Any, group: str, rows: np.ndarray, batch: int, *callbacks: Any) -> list[np.ndarray]:
        keras.utils.set_random_seed(0)
        layers = [keras.Input((5,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(3)]
        model = hlb.SAM(keras.Sequential(layers), rho=0.5, group=group)
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        options = {"epochs": 2, "verbose": 0, "shuffle": False}
        model.fit(x[rows], y[rows], batch_size=batch, callbacks=list(callbacks), **options)
        return [v.numpy() for v in model.trainable_variables]

    everything = np.arange(72)
    mine = everything.reshape(6, 2, 6)[:, here.rank].ravel()
    found = {}
    for group, batch, steps in (("global", 12, None), ("worker", 6, 2)):
        expected = fitted(
            keras.optimizers.SGD(0.2, gradient_accumulation_steps=steps), group, everything, batch
        )
        wrapped = hlb.DistributedOptimizer(keras.optimizers.SGD(0.2))
        found[group] = fitted(wrapped, group, mine, 6, hlb.Synchronize())
        here.identical(*found[group])
        assert distance(found[group], expected) < 1e-5, (group, distance(found[group], expected))
    assert distance(found["worker"], found["global"]) > 1e-3
