"""The optimizers by the formulas of their papers, in NumPy and float64, one variable at a time.

Each is a generator: it is sent (weights, gradient, rate) and gives back the new weights.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np

Rule = Generator[Any, Any, None]


def ratio(
    weights: float, moved: float, zero: bool, low: float = 0.0, high: float = np.inf, factor: float = 1.0
) -> float:
    """1 where there is none; within the bounds in any case."""
    return min(max(1.0 if zero else factor * weights / moved, low), high)


def lars(
    momentum: float = 0.9,
    decay: float = 0.0,
    coefficient: float = 1.0,
    norm: str = "sum",
    epsilon: float = 0.0,
    nesterov: bool = False,
    outside: bool = False,
    low: float = 0.0,
    high: float = np.inf,
    adapted: bool = True,
) -> Rule:
    """You, Gitman and Ginsburg 2017, Algorithm 1; `outside`: the rate is multiplied in after the buffer."""
    w = g = buffer = None
    while True:
        w, g, rate = yield w
        buffer = np.zeros_like(w) if buffer is None else buffer
        size, slope = np.linalg.norm(w), np.linalg.norm(g)
        down = slope + decay * size if norm == "sum" else np.linalg.norm(g + decay * w)
        nothing = size == 0 or (slope if norm == "sum" else down) == 0
        local = ratio(size, down + epsilon, nothing, low, high, coefficient) if adapted else 1.0
        step = local * (g + decay * w)
        inner, outer = (1.0, rate) if outside else (rate, 1.0)
        buffer = momentum * buffer + inner * step
        w = w - outer * (momentum * buffer + inner * step if nesterov else buffer)


def lamb(
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-6,
    decay: float = 0.0,
    correct: bool = True,
    phi: Callable[[float], float] = lambda z: z,
    low: float = 0.0,
    high: float = np.inf,
    adapted: bool = True,
) -> Rule:
    """You et al. 2020 (LAMB), Algorithm 2."""
    w, t = None, 0
    while True:
        w, g, rate = yield w
        t += 1
        if t == 1:
            m, v = np.zeros_like(w), np.zeros_like(w)
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        m_hat, v_hat = (m / (1 - beta_1**t), v / (1 - beta_2**t)) if correct else (m, v)
        update = m_hat / (np.sqrt(v_hat) + epsilon) + decay * w
        size, length = phi(float(np.linalg.norm(w))), np.linalg.norm(update)
        trust = ratio(size, length, size == 0 or length == 0, low, high) if adapted else 1.0
        w = w - rate * trust * update


def sgd(momentum: float = 0.0) -> Rule:
    """Keras' SGD: the update of one step, by which the weights fall; u-form at a constant rate."""
    buffer, update = 0.0, None
    while True:
        _, g, _ = yield update
        buffer = momentum * buffer + g
        update = buffer


def adam(beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7) -> Rule:
    """Kingma and Ba 2015 with ε after the correction, as Keras has it: α_t · m/(√v + ε)."""
    m = v = t = 0.0
    update = None
    while True:
        _, g, _ = yield update
        t += 1
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        update = np.sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (np.sqrt(v) + epsilon)


def rmsprop(rho: float = 0.9, epsilon: float = 1e-7) -> Rule:
    """Tieleman and Hinton 2012, as Keras has it: g/√(v + ε)."""
    v, update = 0.0, None
    while True:
        _, g, _ = yield update
        v = rho * v + (1 - rho) * g**2
        update = g / np.sqrt(v + epsilon)


def adagrad(start: float = 0.1, epsilon: float = 1e-7) -> Rule:
    """Duchi et al. 2011, as Keras has it: g/√(Σg² + ε), the sum from `start`."""
    v, update = start, None
    while True:
        _, g, _ = yield update
        v = v + g**2
        update = g / np.sqrt(v + epsilon)


def layerwise(rule: Rule, on: str, low: float = 0.0, high: float = np.inf, adapted: bool = True) -> Rule:
    """You et al. 2020 (The Limit of the Batch Size), Table 3: the rate of a layer times a bounded ratio."""
    w = None
    next(rule)
    while True:
        w, g, rate = yield w
        size = np.linalg.norm(w)

        def scaled(x: Any, size: float = float(size)) -> Any:
            length = np.linalg.norm(x)
            return x * ratio(size, length, size == 0 or length == 0, low, high) if adapted else x

        w = w - rate * (
            rule.send((w, scaled(g), rate)) if on == "gradient" else scaled(rule.send((w, g, rate)))
        )


def path(
    rules: dict[str, Rule], weights: dict[str, Any], gradients: Sequence[dict[str, Any]], rates: Any
) -> list[dict[str, np.ndarray]]:
    """The weights after every step."""
    now, found = {name: np.asarray(value, "float64") for name, value in weights.items()}, []
    for rule in rules.values():
        next(rule)
    for gradient, rate in zip(gradients, np.asarray(rates, "float64"), strict=True):
        now = {
            name: rules[name].send((now[name], np.asarray(gradient[name], "float64"), rate)) for name in now
        }
        found.append(now)
    return found
