"""A Keras model that `fit` trains by sharpness-aware minimization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from horovod_lb.parameters import flag, not_negative, one_of
from horovod_lb.sam.perturbation import ascent, wide

GROUPS = ("worker", "global")


@keras.saving.register_keras_serializable(package="horovod_lb")
class SAM(keras.Model):
    """`model`, trained by sharpness-aware minimization (Foret et al. 2021) around any optimizer.

        model = hlb.SAM(keras.Sequential([...]), rho=0.05)
        model.compile(optimizer, loss, metrics=["accuracy"])
        model.fit(x, y)

    Each step computes the gradient twice: g at the weights w, then, on the same examples with the same random
    masks, the one at w + ε that the optimizer gets, ε = ρ·g/‖g‖. The weights are put back by their saved
    values before the step. Loss, metrics and moving statistics are those of the first pass. A step whose
    gradient is not finite is skipped. `sam.model` is the model itself, with the trained weights.

    With `hlb.DistributedOptimizer` every rank perturbs by the gradient of its own part of the batch (m-SAM,
    the form that the paper recommends), or by that of all ranks. `gradient_accumulation_steps` of the
    optimizer makes the parts smaller: each micro-batch has an ε of its own.

    Runs on the TensorFlow backend; the mathematics, `sam.perturbation`, on any.

    Args:
        model: any Keras model.
        rho: ρ, the length of ε, >= 0.
        adaptive: scale ε by the weights, element by element (ASAM, Kwon et al. 2021).
        group: `worker`: ε from this rank's gradient; `global`: from the mean over the ranks, one more
            all-reduce a step, through the `reducer` of the `DistributedOptimizer`.

    Raises:
        ValueError: a parameter out of range.
    """

    def __init__(
        self,
        model: keras.Model,
        rho: float = 0.05,
        *,
        adaptive: bool = False,
        group: str = "worker",
        name: str | None = None,
    ) -> None:
        if not isinstance(model, keras.Model):
            raise ValueError(f"model must be a Keras model, not {model!r}")
        super().__init__(name=name or f"sam_{model.name}", dtype=model.dtype_policy)
        self.model = model
        self.rho = not_negative("rho", rho)
        self.adaptive = flag("adaptive", adaptive)
        self.group = one_of("group", group, GROUPS)

    def build(self, input_shape: Any) -> None:
        """Build the model inside."""
        if not self.model.built:
            self.model.build(input_shape)

    def call(self, inputs: Any) -> Any:
        """What the model inside makes of `inputs`; it is told of training by Keras."""
        return self.model(inputs)

    def train_step(self, data: Any) -> dict[str, Any]:
        """One batch: both passes, the optimizer's step, and the metrics of the first pass."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        variables, state = self.trainable_variables, self.non_trainable_variables
        before = _values(state)
        loss, outputs, gradients = self._pass(x, y, sample_weight)
        after, weights = _values(state), _values(variables)
        finite = self._climb(gradients)
        _assign(state, before)
        _, _, gradients = self._pass(x, y, sample_weight)
        _assign(state, after)
        _assign(variables, weights)
        self._apply(gradients, finite)
        examples = ops.shape(next(leaf for leaf in keras.tree.flatten(x) if leaf is not None))[0]
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss, sample_weight=examples)
        return self.compute_metrics(x, y, outputs, sample_weight)

    def _pass(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, list[Any]]:
        """Loss, outputs, and gradients times the loss scale, at the weights as they are now."""
        if keras.backend.backend() != "tensorflow":
            raise NotImplementedError(
                f"hlb.SAM trains on the TensorFlow backend, not on {keras.backend.backend()}: use "
                "horovod_lb.sam.perturbation in a train_step of your own"
            )
        import tensorflow as tf

        with tf.GradientTape() as tape:
            outputs = self(x, training=True)
            loss = self.compute_loss(x, y, outputs, sample_weight, training=True)
            scaled = self.optimizer.scale_loss(loss)
        return loss, outputs, tape.gradient(scaled, self.trainable_variables)

    def _climb(self, gradients: Sequence[Any]) -> Any:
        """To w + ε; whether the gradients, times the loss scale, are finite. If not, the weights stay."""
        reducer = getattr(self.optimizer, "reducer", None)
        variables = self.trainable_variables
        found = wide(gradients)
        if self.group == "global" and reducer is not None:
            found = reducer.reduce(found)
        # Unscaled first: the norm of scaled gradients may leave float32's range where their own does not.
        unit = 1.0 / self.optimizer.scale_loss(ops.ones((), "float32"))
        plain = [None if g is None else g * unit for g in found]
        up = ascent(plain, variables, self.rho, self.adaptive)
        for variable, step in zip(variables, up.perturbation, strict=True):
            variable.assign_add(step)
        return up.finite

    def _apply(self, gradients: Sequence[Any], finite: Any) -> None:
        """The optimizer's step, unless a gradient of either pass is not finite, on this rank or another."""
        optimizer, variables = self.optimizer, self.trainable_variables
        if not optimizer.built:
            optimizer.build(variables)
        # Ranks learn of it from each other's gradients: what is not finite stays so in their mean.
        spoiled = ops.where(finite, 0.0, float("nan"))
        gradients = [None if g is None else g + spoiled for g in wide(gradients)]
        if hasattr(optimizer, "apply_finite"):
            optimizer.apply_finite(gradients, variables)
        elif isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            optimizer.apply(gradients, variables)
        else:
            known = [ops.all(ops.isfinite(g)) for g in gradients if g is not None]
            ops.cond(ops.all(ops.stack(known)), lambda: optimizer.apply(gradients, variables), lambda: None)

    def get_config(self) -> dict[str, Any]:
        """Everything `from_config` needs, the model inside included."""
        return {
            "name": self.name,
            "model": keras.saving.serialize_keras_object(self.model),
            "rho": self.rho,
            "adaptive": self.adaptive,
            "group": self.group,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> SAM:
        """Rebuild the wrapper and the model inside."""
        config = dict(config)
        inner = keras.saving.deserialize_keras_object(config.pop("model"), custom_objects=custom_objects)
        return cls(inner, **config)


def _values(variables: Sequence[Any]) -> list[Any]:
    # Copies: on TensorFlow, `convert_to_tensor` gives the variable itself, which is about to change.
    return [ops.copy(variable) for variable in variables]


def _assign(variables: Sequence[Any], values: Sequence[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
