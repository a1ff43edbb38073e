"""`model.fit` with the wrapped optimizer and `Synchronize`, against one process on the whole data."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
import pytest
from points import distance
from rank_checks import Here, ranks

import horovod_lb as hlb
from horovod_lb.errors import DistributedError

STEPS, BATCH = 7, 24


def _model(seed: int, optimizer: Any, **options: Any) -> Any:
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], **options)
    return model


def _data(examples: int = STEPS * BATCH) -> tuple[np.ndarray, np.ndarray]:
    stream = np.random.default_rng(8)
    x = stream.normal(size=(examples, 5)).astype("float32")
    return x, (x @ stream.normal(size=(5, 3))).argmax(1)


def _part(here: Here, array: np.ndarray) -> np.ndarray:
    """This rank's examples of every global batch, joined."""
    batches = array.reshape(STEPS, here.size, BATCH // here.size, *array.shape[1:])
    return batches[:, here.rank].reshape(-1, *array.shape[1:])


def _fit(here: Here, model: Any, x: np.ndarray, y: np.ndarray, **options: Any) -> Any:
    callbacks = [hlb.Synchronize(), *options.pop("callbacks", [])]
    given = {"batch_size": BATCH // here.size, "epochs": 2, "verbose": 0, "shuffle": False, **options}
    return model.fit(_part(here, x), _part(here, y), callbacks=callbacks, **given)


@ranks(1, 2, 3)
def check_fit_is_the_single_process(here: Here) -> None:
    """Weights, training metrics and validation metrics; the ranks validate on unequal parts."""
    x, y = _data()
    held, answers = _data(31)
    adam = keras.optimizers.Adam
    plain = _model(0, adam(0.02))
    expected = plain.fit(
        x, y, batch_size=BATCH, epochs=2, verbose=0, shuffle=False, validation_data=(held, answers)
    )
    model = _model(here.rank, hlb.DistributedOptimizer(adam(0.02)))
    mine = hlb.shard(31, here.rank, here.size)
    found = _fit(here, model, x, y, validation_data=(held[mine], answers[mine]))
    assert found.history.keys() == expected.history.keys()
    for name, values in expected.history.items():
        np.testing.assert_allclose(found.history[name], values, rtol=2e-4, err_msg=name)
    assert distance([v.numpy() for v in model.variables[:4]], [v.numpy() for v in plain.variables[:4]]) < 1e-4
    here.identical(*(v.numpy() for v in model.trainable_variables))


@ranks(2)
def check_several_steps_per_execution(here: Here) -> None:
    x, y = _data()
    plain = _model(0, keras.optimizers.SGD(0.1, momentum=0.9))
    plain.fit(x, y, batch_size=BATCH, epochs=2, verbose=0, shuffle=False)
    wrapped = hlb.DistributedOptimizer(keras.optimizers.SGD(0.1, momentum=0.9))
    model = _model(here.rank, wrapped, steps_per_execution=3)
    _fit(here, model, x, y)
    assert int(model.optimizer.iterations) == 2 * STEPS
    found, expected = ([v.numpy() for v in m.trainable_variables] for m in (model, plain))
    here.identical(*found)
    assert distance(found, expected) < 1e-5


@ranks(2, 3)
def check_steps_that_differ_are_refused(here: Here) -> None:
    x, y = _data()
    model = _model(0, hlb.DistributedOptimizer(keras.optimizers.SGD(0.1)))
    rows = slice(0, 24 + 8 * here.rank)
    with pytest.raises(DistributedError, match=r"different numbers of steps an epoch \(\[3, 4"):
        model.fit(x[rows], y[rows], batch_size=8, verbose=0, callbacks=[hlb.Synchronize()])


@ranks(2)
def check_steps_that_are_not_known_are_refused(here: Here) -> None:
    """A generator's length is not known before it ends; ranks of unequal length would hang."""
    import tensorflow as tf

    x, y = _data()
    signature = (tf.TensorSpec((None, 5), tf.float32), tf.TensorSpec((None,), tf.int64))
    data = tf.data.Dataset.from_generator(
        lambda: iter([(x[:8], y[:8])] * (2 + here.rank)), output_signature=signature
    )
    model = _model(0, hlb.DistributedOptimizer(keras.optimizers.SGD(0.1)))
    with pytest.raises(DistributedError, match="steps_per_epoch"):
        model.fit(data, verbose=0, callbacks=[hlb.Synchronize()])
    model.fit(data.repeat(), steps_per_epoch=3, epochs=2, verbose=0, callbacks=[hlb.Synchronize()])
    here.identical(*(v.numpy() for v in model.trainable_variables))


@ranks(2)
def check_examples_that_differ_are_refused(here: Here) -> None:
    """The same number of steps, but a smaller last batch on rank 1."""
    x, y = _data()
    model = _model(0, hlb.DistributedOptimizer(keras.optimizers.SGD(0.1)))
    rows = slice(0, 24 - here.rank)
    with pytest.raises(DistributedError, match=r"different numbers of examples.*\[24, 23\]"):
        model.fit(x[rows], y[rows], batch_size=8, verbose=0, callbacks=[hlb.Synchronize()])


class _Part(keras.callbacks.Callback):
    """Changes one weight of one rank at a step."""

    def __init__(self, rank: int, step: int) -> None:
        super().__init__()
        self.rank, self.step = rank, step

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if hlb.rank() == self.rank and batch == self.step:
            bias = self.model.layers[1].bias
            bias.assign(bias.numpy() + np.array([0, 0, 1e-6], "float32"))


@ranks(2, 3)
def check_weights_that_part_stop_the_training(here: Here) -> None:
    x, y = _data()
    model = _model(0, hlb.DistributedOptimizer(keras.optimizers.SGD(0.1)))
    callbacks = [hlb.Synchronize(check_every=4), _Part(here.size - 1, step=5)]
    with pytest.raises(DistributedError, match=rf"after step 8.*on rank {here.size - 1} against"):
        model.fit(
            _part(here, x),
            _part(here, y),
            batch_size=BATCH // here.size,
            epochs=3,
            verbose=0,
            callbacks=callbacks,
        )
    assert int(model.optimizer.iterations) == 8


@ranks(1, 2)
def check_an_optimizer_that_is_not_wrapped_is_refused(here: Here) -> None:
    x, y = _data()
    with pytest.raises(DistributedError, match=r"compiled with SGD.*hlb\.DistributedOptimizer"):
        _model(0, keras.optimizers.SGD(0.1)).fit(x, y, verbose=0, callbacks=[hlb.Synchronize()])


@ranks(2)
def check_xla_is_switched_off_with_a_warning(here: Here) -> None:
    x, y = _data()
    model = _model(0, hlb.DistributedOptimizer(keras.optimizers.SGD(0.1)), jit_compile=True)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        _fit(here, model, x, y, epochs=1)
    assert any("jit_compile is switched off" in str(warning.message) for warning in seen)
    here.identical(*(v.numpy() for v in model.trainable_variables))


@ranks(2)
def check_half_precision_in_fit(here: Here) -> None:
    """compile must not put a loss scale around the wrapper, where ranks would decide for themselves."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        x, y = _data()
        model = _model(here.rank, hlb.DistributedOptimizer(keras.optimizers.SGD(0.1)))
        assert isinstance(model.optimizer, hlb.DistributedOptimizer)
        first = model.evaluate(x, y, verbose=0)[0]
        _fit(here, model, x, y, epochs=3)
        scale = model.optimizer.inner_optimizer.dynamic_scale
        here.identical(
            scale.numpy(), model.optimizer.iterations.numpy(), *(v.numpy() for v in model.trainable_variables)
        )
        assert int(model.optimizer.iterations) > 0
        assert model.evaluate(x, y, verbose=0)[0] < first
    finally:
        keras.config.set_dtype_policy("float32")


@ranks(2)
def check_resume_from_a_saved_model(here: Here) -> None:
    """Rank 0 alone has the file's state; training goes on as if never interrupted."""
    x, y = _data()
    adam = keras.optimizers.Adam
    whole = _model(0, hlb.DistributedOptimizer(adam(0.02)))
    _fit(here, whole, x, y, epochs=3)
    part = _model(0, hlb.DistributedOptimizer(adam(0.02)))
    _fit(here, part, x, y, epochs=1)
    path = here.out / "half.keras"
    if here.rank == 0:
        part.save(path)
        resumed = keras.saving.load_model(path)
    else:
        resumed = _model(99, hlb.DistributedOptimizer(adam(0.02)))
    assert isinstance(resumed.optimizer, hlb.DistributedOptimizer)
    _fit(here, resumed, x, y, initial_epoch=1, epochs=3)
    assert int(resumed.optimizer.iterations) == 3 * STEPS
    for a, b in zip(resumed.trainable_variables, whole.trainable_variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
