"""Which variables are left out: by rank, by the type of their layer, or by path; never by parts of names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

VECTORS = "vectors"
LAYER_KINDS = ("bias", "normalization")
KINDS = (*LAYER_KINDS, VECTORS)


def variables_of(model: Any, kinds: Iterable[str]) -> list[Any]:
    """The trainable variables of `model` that are of one of `kinds`, in the model's order.

    `bias`: what a layer holds as its `bias`. `normalization`: the own variables of layers of a type called
    ...Normalization (not those of layers that such a wrapper holds). `vectors`: rank 0 and 1, which takes in
    both in the usual networks.

    ValueError: an unknown kind.
    """
    kinds = set(kinds)
    if unknown := sorted(kinds - set(KINDS)):
        raise ValueError(f"kinds of variables are {', '.join(KINDS)}, not {', '.join(unknown)}")
    chosen: set[int] = set()
    for layer in model._flatten_layers(include_self=False, recursive=True):
        if "bias" in kinds:
            chosen.add(id(getattr(layer, "bias", None)))
        if "normalization" in kinds and _normalizes(layer):
            inner = {id(v) for part in layer._flatten_layers(include_self=False) for v in part.variables}
            chosen |= {id(v) for v in layer.trainable_variables} - inner
    return [
        v for v in model.trainable_variables if id(v) in chosen or (VECTORS in kinds and len(v.shape) <= 1)
    ]


def entries(exclude: Iterable[Any], option: str) -> tuple[str, ...]:
    """`exclude` as it stands in a configuration: the word `vectors`, and paths of variables.

    ValueError: no list, no variable, or a kind of layer, which only the model can tell.
    """
    if isinstance(exclude, str) or not isinstance(exclude, Iterable):
        raise ValueError(f"{option} is a list of variables, not {exclude!r}")
    found = tuple(entry if isinstance(entry, str) else path(entry, option) for entry in exclude)
    for entry in found:
        if entry in LAYER_KINDS:
            raise ValueError(
                f"{option}: {entry!r} depends on layers, which an optimizer does not see; pass "
                f"horovod_lb.optimizers.variables_of(model, [{entry!r}]), or 'vectors' for all of rank <= 1"
            )
    return tuple(dict.fromkeys(found))


def joined(optimizer: Any, option: str, more: Iterable[Any]) -> tuple[str, ...]:
    """What `optimizer` has for `option`, and `more`. ValueError: it is built, and would not take notice."""
    before = getattr(optimizer, option)
    after = tuple(dict.fromkeys((*before, *entries(more, option))))
    if optimizer.built and after != before:
        raise ValueError(f"{option}: variables are excluded before the optimizer is built")
    return after


def excluded(variables: Sequence[Any], exclude: Sequence[str], option: str) -> list[bool]:
    """For each of `variables`, whether `exclude` (see `entries`) leaves it out.

    A path may lack components at its left, or have more of them, where one variable alone fits: Keras puts
    the name of a `Sequential` before the paths of its variables, and loads the model without it.

    ValueError: a path that no variable has, or that several have.
    """
    paths = [path(variable) for variable in variables]
    out = [VECTORS in exclude and len(variable.shape) <= 1 for variable in variables]
    for entry in exclude:
        if entry == VECTORS:
            continue
        fitting = [i for i, known in enumerate(paths) if known == entry] or [
            i for i, known in enumerate(paths) if known.endswith(f"/{entry}") or entry.endswith(f"/{known}")
        ]
        if len(fitting) != 1:
            number = len(fitting) or "none"
            raise ValueError(f"{option}: {number} of the {len(paths)} variables has the path {entry!r}")
        out[fitting[0]] = True
    return out


def path(variable: Any, option: str = "variable") -> str:
    """The path of a variable, such as `dense/kernel`. ValueError: it is none."""
    name = getattr(variable, "path", None) or getattr(variable, "name", None)
    if not isinstance(name, str):
        raise ValueError(f"{option}: {variable!r} is no variable")
    return name


def _normalizes(layer: Any) -> bool:
    return any(kind.__name__.endswith("Normalization") for kind in type(layer).__mro__)
