"""Probes of a logistic regression, in `model.fit` and alone, against NumPy's eigenvalues and projections."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from scipy.optimize import minimize

from horovod_lb.data.order import Order
from horovod_lb.measure import Hessian, Sharpness, SignalToNoise


def measured(probe: Any, softmax: Any) -> dict[str, Any]:
    probe.set_model(softmax.model)
    return probe.measure(1)


def weights(softmax: Any) -> np.ndarray:
    return np.concatenate([np.array(v.numpy(), "float64").ravel() for v in softmax.model.trainable_variables])


@pytest.mark.parametrize("method", ["lanczos", "power"])
def test_hessian(softmax: Any, method: str) -> None:
    hessian = softmax.hessian(weights(softmax))
    values = np.linalg.eigvalsh(hessian)
    probe = Hessian(softmax.data, softmax.loss, method=method, iterations=60, tolerance=1e-4, probes=200)
    found = measured(probe, softmax)
    assert found["hessian_max"] == pytest.approx(values[-1], rel=1e-4)
    assert found["hessian_max_residual"] <= 1.1e-4 * values[-1]
    assert abs(found["hessian_trace"] - values.sum()) < 4 * found["hessian_trace_error"] < 0.2 * values.sum()
    if method == "lanczos":
        # Adding a constant to all logits changes nothing: the least eigenvalue is 0.
        assert abs(found["hessian_min"]) < 0.01 * values[-1]
    else:
        assert "hessian_min" not in found


def test_sharpness(softmax: Any) -> None:
    """The loss is convex: SciPy finds the corner of the box where it is highest from many starts."""
    w, epsilon = weights(softmax), 0.05
    probe = Sharpness(softmax.data, softmax.loss, epsilon=epsilon, iterations=50, rho=0.3)
    found = measured(probe, softmax)
    bound = epsilon * (np.abs(w) + 1)
    highest = softmax.value(w)
    for start in np.random.default_rng(0).uniform(-1, 1, (20, w.size)):
        result = minimize(
            lambda z: -softmax.value(w + z), start * bound, bounds=list(zip(-bound, bound, strict=True))
        )
        highest = max(highest, -result.fun)
    assert found["sharpness_loss"] == pytest.approx(softmax.value(w), rel=1e-6)
    phi = 100 * (highest - softmax.value(w)) / (1 + softmax.value(w))
    assert found["sharpness"] == pytest.approx(phi, rel=1e-3)
    gradient = softmax.gradients(w).mean(0)
    step = 0.3 * gradient / np.linalg.norm(gradient)
    assert found["sharpness_sam"] == pytest.approx(softmax.value(w + step) - softmax.value(w), rel=1e-3)
    assert np.array_equal(weights(softmax), w)


def test_sharpness_in_a_subspace_is_at_most_that_of_the_directions_it_holds(softmax: Any) -> None:
    found = measured(Sharpness(softmax.data, softmax.loss, subspace=2, epsilon=0.01), softmax)
    assert found["sharpness"] > 0


def test_signal_to_noise(softmax: Any) -> None:
    w, batch = weights(softmax), 5
    each = softmax.gradients(w)
    full = each.mean(0) / np.linalg.norm(each.mean(0))
    order = Order(len(softmax.data), batch, "continuous", 0)
    gradients = [each[order.step_indices(t)].mean(0) for t in range(4)]
    along = np.mean([abs(g @ full) for g in gradients])
    across = np.mean([np.linalg.norm(g - (g @ full) * full) for g in gradients])
    found = measured(SignalToNoise(softmax.data, softmax.loss, batch_size=batch, batches=4), softmax)
    assert found["signal_norm"] == pytest.approx(along, rel=1e-5)
    assert found["noise_norm"] == pytest.approx(across, rel=1e-5)
    assert found["signal_to_noise"] == pytest.approx(along / across, rel=1e-5)


def test_in_fit_every_so_many_epochs_and_at_the_last(softmax: Any) -> None:
    """Columns stand in the history, and training goes on as if nothing had been measured."""
    start = softmax.model.get_weights()
    ends = []
    for probes in ([], [Hessian(softmax.data, softmax.loss, examples=20, every_epochs=2, probes=2)]):
        softmax.model.set_weights(start)
        keras.utils.set_random_seed(1)
        softmax.model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        history = softmax.model.fit(
            softmax.data.x, softmax.data.y, epochs=5, batch_size=20, verbose=0, callbacks=probes
        )
        ends.append(weights(softmax))
    assert len(history.history["hessian_max"]) == 3  # after epochs 2, 4 and 5
    assert len(probes[0].rows) == 20 == len(set(probes[0].rows))
    assert np.array_equal(*ends)


def test_bad_options_are_refused(softmax: Any) -> None:
    for make, message in (
        (
            lambda: Hessian(softmax.data, softmax.loss, method="qr"),
            "method is one of lanczos, power, not 'qr'",
        ),
        (
            lambda: Hessian(softmax.data, softmax.loss, every_epochs=0),
            "every_epochs must be at least 1, not 0",
        ),
        (
            lambda: SignalToNoise(softmax.data, softmax.loss, batch_size=2, batches=0),
            "batches must be at least 1",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            make()
