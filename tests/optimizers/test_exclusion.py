"""Which variables are left out, by rank, layer type and path; and that configurations hold all of it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from steps import distance, problem, run

from horovod_lb.optimizers import LAMB, LARS, LayerWise, MomentumSGD, variables_of
from horovod_lb.optimizers.exclusion import excluded


def network() -> Any:
    """With what parts of names would get wrong: a layer bias_net, and a kernel inside a Normalization."""
    keras.utils.set_random_seed(3)
    image = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(3, 3, name="bias_net")(image)
    x = keras.layers.BatchNormalization(name="first")(x)
    x = keras.layers.SpectralNormalization(keras.layers.Conv2D(2, 1, name="inner"), name="spectral")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.LayerNormalization(name="second")(x)
    x = keras.layers.Reshape((1, 2))(x)
    x = keras.layers.LSTM(2, name="recurrent")(x)
    return keras.Model(image, keras.layers.Dense(2, use_bias=False, name="out")(x))


BIAS = {"bias_net/bias", "inner/bias", "lstm_cell/bias"}
NORMALIZATION = {"first/gamma", "first/beta", "second/gamma", "second/beta"}
KERNELS = {"bias_net/kernel", "inner/kernel", "lstm_cell/kernel", "lstm_cell/recurrent_kernel", "out/kernel"}


def named(variables: list[Any]) -> set[str]:
    return {"/".join(variable.path.split("/")[-2:]) for variable in variables}


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([], set()),
        (["bias"], BIAS),
        (["normalization"], NORMALIZATION),
        (["bias", "normalization"], BIAS | NORMALIZATION),
        (["vectors"], BIAS | NORMALIZATION),
    ],
)
def test_kinds_of_variables(kinds: list[str], expected: set[str]) -> None:
    model = network()
    assert named(model.trainable_variables) == BIAS | NORMALIZATION | KERNELS
    assert named(variables_of(model, kinds)) == expected


def test_frozen_layers_have_none() -> None:
    model = network()
    model.get_layer("first").trainable = False
    assert named(variables_of(model, ["normalization"])) == {"second/gamma", "second/beta"}


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="bias, normalization, vectors, not gamma"):
        variables_of(network(), ["gamma"])


@pytest.mark.parametrize("make", [LARS, LAMB])
def test_decay_and_adaptation_are_excluded_apart(make: Any) -> None:
    """An excluded variable goes as if the option were off; the others as if nothing were excluded."""
    weights, gradients, _ = problem()
    both = run(make(0.1, weight_decay=0.2), weights, gradients)[-1]
    undecayed = run(make(0.1), weights, gradients)[-1]
    plain = run(make(0.1, weight_decay=0.2, min_ratio=1.0, max_ratio=1.0), weights, gradients)[-1]
    decay_only = make(0.1, weight_decay=0.2, exclude_from_decay=["kernel", "vectors"])
    found = run(decay_only, weights, gradients)[-1]
    for name in weights:
        without = name in ("kernel", "vector", "scalar", "zero")
        np.testing.assert_array_equal(found[name], (undecayed if without else both)[name])
    found = run(make(0.1, weight_decay=0.2, exclude_from_adaptation=["filters"]), weights, gradients)[-1]
    for name in weights:
        np.testing.assert_allclose(found[name], (plain if name == "filters" else both)[name], rtol=2e-6)
    assert distance(plain, both) > 0.1 and distance(undecayed, both) > 0.01


def test_exclusion_by_variables_of_a_model() -> None:
    model = network()
    optimizer = LARS(0.1, weight_decay=0.1, exclude_from_adaptation=variables_of(model, ["bias"]))
    optimizer.exclude_from_weight_decay(variables_of(model, ["normalization"]))
    optimizer.exclude(from_decay=variables_of(model, ["bias"]))
    assert {"/".join(path.split("/")[-2:]) for path in optimizer.exclude_from_adaptation} == BIAS
    optimizer.build(model.trainable_variables)
    again = LARS.from_config(optimizer.get_config())
    assert set(again.exclude_from_decay) == set(optimizer.exclude_from_decay)
    assert len(again.exclude_from_decay) == len(BIAS | NORMALIZATION)
    optimizer.exclude(from_decay=variables_of(model, ["bias"]))  # nothing new
    with pytest.raises(ValueError, match="before the optimizer is built"):
        optimizer.exclude(from_adaptation=variables_of(model, ["normalization"]))


@pytest.mark.parametrize("make", [LARS, LAMB, lambda *a, **o: LayerWise("adam", **o)])
@pytest.mark.parametrize(
    ("excluded", "message"),
    [
        (["bias"], "exclude_from_adaptation: 'bias' depends on layers"),
        ("vectors", "exclude_from_adaptation is a list of variables, not 'vectors'"),
        (["kernle"], "exclude_from_adaptation: none of the 6 variables has the path 'kernle'"),
    ],
)
def test_what_cannot_be_excluded(make: Any, excluded: Any, message: str) -> None:
    weights, gradients, _ = problem(steps=1)
    with pytest.raises(ValueError, match=message):
        run(make(0.1, exclude_from_adaptation=excluded), weights, gradients)


def test_two_variables_of_one_path_are_told() -> None:
    two = [keras.Variable([1.0], name="kernel"), keras.Variable([1.0], name="kernel")]
    with pytest.raises(ValueError, match="2 of the 2 variables has the path"):
        LARS(0.1, exclude_from_decay=["kernel"]).build(two)


@pytest.mark.parametrize("entry", ["net/one/kernel", "one/kernel", "outer/net/one/kernel"])
def test_paths_with_and_without_the_names_of_models(entry: str) -> None:
    """Components as a whole: `one/kernel` is not `another_one/kernel`."""
    variables = [Path("net/one/kernel"), Path("net/another_one/kernel")]
    assert excluded(variables, [entry], "option") == [True, False]
    with pytest.raises(ValueError, match="2 of the 2 variables has the path 'kernel'"):
        excluded(variables, ["kernel"], "option")


class Path:
    """A variable as far as exclusion looks at it."""

    def __init__(self, path: str) -> None:
        self.path, self.shape = path, (2, 2)


def test_parts_of_names_are_refused() -> None:
    with pytest.raises(ValueError, match="not parts of names"):
        LAMB(0.1).exclude_from_weight_decay(var_names=["bias"])


WRONG = [
    (LARS, {"momentum": 1.0}, r"momentum must be in \[0, 1\), not 1.0"),
    (LARS, {"coefficient": 0.0}, "coefficient must be a number > 0, not 0.0"),
    (LARS, {"epsilon": -1e-9}, "epsilon must be a number >= 0, not -1e-09"),
    (LARS, {"weight_decay": float("nan")}, "weight_decay must be a number >= 0, not nan"),
    (LARS, {"norm": "max"}, "norm is one of sum, joint, not 'max'"),
    (LARS, {"min_ratio": -1.0}, "min_ratio must be a number >= 0, not -1.0"),
    (LARS, {"max_ratio": 0.0}, "max_ratio must be a number > 0, not 0.0"),
    (LARS, {"min_ratio": 2.0, "max_ratio": 1.0}, "max_ratio 1.0 is below min_ratio 2.0"),
    (LAMB, {"beta_1": -0.1}, r"beta_1 must be in \[0, 1\), not -0.1"),
    (LAMB, {"beta_2": 1.0}, r"beta_2 must be in \[0, 1\), not 1.0"),
    (LAMB, {"epsilon": 0.0}, "epsilon must be a number > 0, not 0.0"),
    (LAMB, {"min_norm": 2.0, "max_norm": 1.0}, "max_norm 1.0 is below min_norm 2.0"),
    (LayerWise, {"on": "weights"}, "on is one of gradient, update, not 'weights'"),
    (LayerWise, {"max_ratio": -1.0}, "max_ratio must be a number > 0, not -1.0"),
]


@pytest.mark.parametrize(("make", "options", "message"), WRONG)
def test_bad_options_are_refused_by_name_and_range(make: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(*(["adam"] if make is LayerWise else []), **options)


SAVED = [
    lambda: LARS(
        0.1,
        momentum=0.7,
        weight_decay=0.01,
        coefficient=0.5,
        norm="joint",
        epsilon=1e-3,
        nesterov=True,
        correction=True,
        min_ratio=0.01,
        max_ratio=3.0,
        exclude_from_adaptation=["vectors"],
        exclude_from_decay=["net/one/kernel"],
        record_ratios=True,
        global_clipnorm=5.0,
        use_ema=True,
    ),
    lambda: LAMB(
        0.02,
        beta_1=0.8,
        beta_2=0.9,
        epsilon=1e-4,
        weight_decay=0.01,
        bias_correction=False,
        min_norm=0.1,
        max_norm=4.0,
        min_ratio=0.01,
        max_ratio=3.0,
        exclude_from_adaptation=["vectors"],
        exclude_from_decay=["net/one/kernel"],
    ),
    lambda: LayerWise(
        MomentumSGD(0.1, nesterov=True, clipnorm=2.0),
        0.1,
        2.0,
        on="gradient",
        coefficient=0.5,
        epsilon=1e-3,
        exclude_from_adaptation=["net/two/bias"],
        record_ratios=True,
    ),
    lambda: LayerWise(keras.optimizers.AdamW(0.01, weight_decay=0.02), max_ratio=2.0),
]


@pytest.mark.parametrize("make", SAVED, ids=["lars", "lamb", "gradient", "update"])
def test_saving_and_loading_goes_on_exactly(make: Any, tmp_path: Any) -> None:
    layers = [keras.layers.Dense(4, "relu", name="one"), keras.layers.Dense(2, name="two")]
    model = keras.Sequential([keras.Input((3,)), *layers], name="net")
    model.compile(make(), "mse")
    x, y = np.random.default_rng(0).normal(size=(8, 3)), np.random.default_rng(1).normal(size=(8, 2))
    model.fit(x, y, shuffle=False, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again.optimizer) is type(model.optimizer)
    config, expected = again.optimizer.get_config(), model.optimizer.get_config()
    if isinstance(again.optimizer, LayerWise):
        config["optimizer"].pop("build_config", None), expected["optimizer"].pop("build_config", None)
    assert config == expected
    for other in (model, again):
        other.fit(x, y, epochs=3, shuffle=False, verbose=0)
    both = [[*one.variables, *one.optimizer.variables] for one in (again, model)]
    for found, wanted in zip(*both, strict=True):
        np.testing.assert_array_equal(found.numpy(), wanted.numpy())


def test_the_default_configuration_is_what_was_left_out() -> None:
    """Not one option of a default optimizer differs after a round trip, nor is one missing."""
    for optimizer in (LARS(0.1), LAMB(0.1), LayerWise("sgd")):
        config = optimizer.get_config()
        again = type(optimizer).from_config(config).get_config()
        assert again == config
