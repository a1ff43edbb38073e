"""The perturbation ε of sharpness-aware minimization, on `keras.ops`: any Keras backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from keras import ops

from horovod_lb.optimizers.kernels import dense


class Ascent(NamedTuple):
    """`perturbation`: ε for every variable, in its shape and dtype. `finite`: whether the gradient is."""

    perturbation: list[Any]
    finite: Any


def perturbation(
    gradients: Sequence[Any], variables: Sequence[Any], rho: float, adaptive: bool = False
) -> list[Any]:
    """ε = ρ·g/‖g‖₂ over all variables together (Foret et al. 2021, eq. 2, p = 2).

    `adaptive`: ε = ρ·T²g/‖T·g‖₂ with T = |w| element by element (ASAM, Kwon et al. 2021, eq. 9): the ball is
    wide where the weights are large, and a rescaling of the layers changes nothing.

    Args:
        gradients: of the plain loss, without a loss scale: dense, slices, or None where there is none.
        variables: the weights w at which they were taken.
        rho: radius of the ball, >= 0.
        adaptive: see above.

    Returns:
        ε for every variable, in its shape and dtype. Zeros for a gradient that is None, and zeros everywhere
        for one whose norm is 0 or not finite.
    """
    return ascent(gradients, variables, rho, adaptive).perturbation


def ascent(gradients: Sequence[Any], variables: Sequence[Any], rho: float, adaptive: bool = False) -> Ascent:
    """`perturbation`, and whether the gradient (times |w| where `adaptive`) is finite, a bool scalar."""
    known = {index: gradient for index, gradient in enumerate(wide(gradients)) if gradient is not None}
    scales = {index: ops.abs(ops.cast(variables[index], "float32")) if adaptive else 1.0 for index in known}
    directions = {index: scales[index] * gradient for index, gradient in known.items()}
    length = global_norm(list(directions.values()))
    finite = ops.isfinite(length)
    climbs = ops.logical_and(finite, length > 0)
    unit = ops.where(climbs, length, 1.0)
    found = []
    for index, variable in enumerate(variables):
        if index not in known:
            found.append(ops.zeros(variable.shape, variable.dtype))
            continue
        # Divided first: ρ over the length of a very small gradient may not be a float32 number.
        step = rho * (scales[index] * (directions[index] / unit))
        found.append(ops.cast(ops.where(climbs, step, 0.0), variable.dtype))
    return Ascent(found, finite)


def wide(gradients: Sequence[Any]) -> list[Any]:
    """Gradients as dense float32 tensors; None stays None."""
    return [None if gradient is None else ops.cast(gradient, "float32") for gradient in dense(gradients)]


def global_norm(tensors: Sequence[Any]) -> Any:
    """The Euclidean norm of all tensors together, a float32 scalar; not finite if one of them is not.

    Squared in units of the largest entry, so that neither small nor large numbers leave float32's range.
    """
    tensors = [tensor for tensor in tensors if 0 not in tensor.shape]
    if not tensors:
        return ops.zeros((), "float32")
    largest = ops.max(ops.stack([ops.max(ops.abs(tensor)) for tensor in tensors]))
    unit = ops.where(largest > 0, largest, 1.0)
    squares = [ops.sum(ops.square(tensor / unit)) for tensor in tensors]
    return unit * ops.sqrt(ops.sum(ops.stack(squares))) * ops.cast(largest > 0, "float32")
