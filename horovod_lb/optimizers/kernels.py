"""TensorFlow's fused kernels for the passes that cost time; on other backends the same by `keras.ops`.

An update is bound by memory: each operation reads and writes whole variables. Every function here has both
forms, and the caller need not know which one runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


def norm(tensor: Any) -> Any:
    """‖x‖₂ over all elements as a scalar, in float32 or wider."""
    tensor = ops.convert_to_tensor(tensor)
    if keras.backend.standardize_dtype(tensor.dtype) in ("float16", "bfloat16"):
        tensor = ops.cast(tensor, "float32")
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.sqrt(2 * tf.nn.l2_loss(tensor))  # one pass, where square and sum are two
    return ops.sqrt(ops.sum(ops.square(tensor)))


def dense(gradients: Sequence[Any]) -> list[Any]:
    """Gradients as dense tensors; None stays None.

    TensorFlow's are slices for embeddings, and may hold a row several times, each with a part of its
    gradient. They are added up before clipping, a norm or anything else takes squares; norms are over all
    rows.
    """
    return [None if gradient is None else _dense(gradient) for gradient in gradients]


def _dense(gradient: Any) -> Any:
    if hasattr(gradient, "dense_shape"):  # which `keras.ops.convert_to_tensor` would leave as they are
        import tensorflow as tf

        return tf.convert_to_tensor(gradient)
    return ops.convert_to_tensor(gradient)


def momentum_step(
    variable: Any, buffer: Any, gradient: Any, factor: Any, momentum: float, nesterov: bool
) -> None:
    """b ← m·b − factor·g, then w ← w + b, or with Nesterov w ← w + m·b − factor·g.

    Args:
        variable: w.
        buffer: b, the velocity with the sign of the update, as in Keras' SGD.
        gradient: g, dense, of the variable's shape and dtype.
        factor: scalar of that dtype.
        momentum: m.
        nesterov: look ahead.
    """
    if fuses(variable):
        import tensorflow as tf

        tf.raw_ops.ResourceApplyKerasMomentum(
            var=_handle(variable),
            accum=_handle(buffer),
            lr=factor,
            grad=gradient,
            momentum=tf.constant(momentum, gradient.dtype),
            use_nesterov=nesterov,
        )
        return
    scaled = ops.multiply(factor, gradient)
    buffer.assign(ops.subtract(ops.multiply(momentum, buffer), scaled))
    change = ops.subtract(ops.multiply(momentum, buffer), scaled) if nesterov else buffer
    variable.assign(ops.add(variable, change))


def adam_step(
    first: Any,
    second: Any,
    gradient: Any,
    decayed: Any,
    betas: tuple[float, float],
    scale: Any,
    epsilon: Any,
    scratch: Any = None,
) -> Any:
    """The moments m ← β₁·m + (1 − β₁)·g and v ← β₂·v + (1 − β₂)·g²; returns scale·m/(√v + ε) + decayed.

    Args:
        first, second: m and v.
        gradient: g, dense, of their shape and dtype.
        decayed: a tensor of that shape, or None for 0.
        betas: β₁ and β₂.
        scale, epsilon: scalars of that dtype.
        scratch: from `scratch`; where there is one, the fused kernel works in it.
    """
    if scratch is not None:
        import tensorflow as tf

        scratch.assign(tf.zeros_like(gradient) if decayed is None else decayed)
        none = tf.zeros((), gradient.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=scratch.handle,
            m=_handle(first),
            v=_handle(second),
            beta1_power=none,  # the correction of the bias is in scale and epsilon
            beta2_power=none,
            lr=-scale,
            beta1=tf.constant(betas[0], gradient.dtype),
            beta2=tf.constant(betas[1], gradient.dtype),
            epsilon=epsilon,
            grad=gradient,
        )
        return scratch.read_value()
    first.assign_add(ops.multiply(ops.subtract(gradient, first), _rest(betas[0])))
    second.assign_add(ops.multiply(ops.subtract(ops.square(gradient), second), _rest(betas[1])))
    step = ops.multiply(scale, ops.divide(first, ops.add(ops.sqrt(second), epsilon)))
    return step if decayed is None else ops.add(step, decayed)


def scratch(variable: Any) -> Any:
    """Room for the fused step of one variable, no part of the optimizer's state; None where none is used."""
    if not fuses(variable):
        return None
    import tensorflow as tf

    with tf.init_scope():
        return tf.Variable(tf.zeros(variable.shape, variable.dtype), trainable=False)


def descend(variable: Any, factor: Any, step: Any) -> None:
    """w ← w − factor·step."""
    if fuses(variable):
        import tensorflow as tf

        tf.raw_ops.ResourceApplyGradientDescent(var=_handle(variable), alpha=factor, delta=step)
        return
    variable.assign(ops.subtract(variable, ops.multiply(factor, step)))


def fuses(variable: Any) -> bool:
    """Whether fused kernels are used: with TensorFlow, outside of its own distribution strategies.

    Not in half precision, where their 1 − β₂ would be 0.
    """
    full = keras.backend.standardize_dtype(variable.dtype) in ("float32", "float64")
    if keras.backend.backend() != "tensorflow" or not full:
        return False
    import tensorflow as tf

    return not tf.distribute.has_strategy()


def _rest(beta: float) -> float:
    """1 − β as the fused kernel has it, with β in float32."""
    return 1 - float(np.float32(beta))


def _handle(variable: Any) -> Any:
    """Of a Keras variable or a `tf.Variable`."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
