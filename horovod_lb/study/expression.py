"""The expressions of `exclude` and `--where`: comparisons and arithmetic over names, and nothing else.

The text is parsed to Python's syntax tree and evaluated node by node from a list of what is allowed; there is
no call, index, attribute or power in the language, so an expression can neither reach the program nor run
away.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from horovod_lb.errors import StudyError
from horovod_lb.study.keys import known_keys
from horovod_lb.study.nearest import nearest

MAX_LENGTH = 1000
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_ORDER: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_WORDS = {"true": True, "false": False, "null": None}
_GRAMMAR = "allowed are names, numbers, 'text', lists, + - * / // %, < <= > >= == !=, in, and, or, not, ( )"


class Expression:
    """A condition over names, as in "recipe.batch_size < 10000 and recipe.warmup.epochs > 10".

    `names` are the dotted names it uses. StudyError, starting with `source`: no such language.
    """

    def __init__(self, text: str, source: str = "--where"):
        self.text = text
        self.source = source
        if not isinstance(text, str) or len(text) > MAX_LENGTH:
            raise StudyError(f"{source}: an expression is a text of at most {MAX_LENGTH} characters")
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            raise StudyError(f"{source}: {text!r} is not an expression; {_GRAMMAR}") from None
        self.names = frozenset(self._check(self._tree))

    def __call__(self, values: Mapping[str, Any]) -> bool:
        """Whether the condition holds. A dotted name is looked up as it is, else section by section.

        StudyError: a name that `values` does not have, or two values that do not compare.
        """
        return bool(self._evaluate(self._tree, values))

    def _check(self, node: ast.AST) -> list[str]:
        """Every name below `node`; refuses what is not in the language."""
        match node:
            case ast.Name() | ast.Attribute():
                name = _dotted(node)
                if name is not None:
                    return [] if name in _WORDS else [name]
            case ast.Constant(value=bool() | int() | float() | str() | None):
                return []
            case ast.BoolOp(values=parts) | ast.List(elts=parts) | ast.Tuple(elts=parts):
                return [name for part in parts for name in self._check(part)]
            case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd(), operand=operand):
                return self._check(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return self._check(left) + self._check(right)
            case ast.Compare(left=left, ops=ops, comparators=others) if not any(
                isinstance(op, ast.Is | ast.IsNot) for op in ops
            ):
                return [name for part in (left, *others) for name in self._check(part)]
        raise StudyError(f"{self.source}: {ast.unparse(node)!r} is not allowed in an expression; {_GRAMMAR}")

    def _evaluate(self, node: ast.AST, values: Mapping[str, Any]) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name() | ast.Attribute():
                return self._look_up(str(_dotted(node)), values)
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                return [self._evaluate(part, values) for part in parts]
            case ast.BoolOp(op=ast.And(), values=parts):
                return all(self._evaluate(part, values) for part in parts)
            case ast.BoolOp(values=parts):
                return any(self._evaluate(part, values) for part in parts)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not self._evaluate(operand, values)
            case ast.UnaryOp(op=op, operand=operand):
                value = self._number(self._evaluate(operand, values), node)
                return -value if isinstance(op, ast.USub) else value
            case ast.BinOp(left=left, op=op, right=right):
                return self._calculate(op, left, right, values, node)
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._compare(left, ops, others, values)
        raise AssertionError(f"unchecked node {ast.dump(node)}")

    def _compare(
        self, left: ast.expr, ops: list[ast.cmpop], others: list[ast.expr], values: Mapping[str, Any]
    ) -> bool:
        # Whether an optional section is there may be asked: `recipe.sam == null`.
        null = any(_dotted(part) == "null" for part in (left, *others))
        asked = null and all(isinstance(op, ast.Eq | ast.NotEq) for op in ops)

        def value(node: ast.expr) -> Any:
            name = _dotted(node)
            return self._find(name, values) if asked and name else self._evaluate(node, values)

        first = value(left)
        for op, other in zip(ops, others, strict=True):
            second = value(other)
            if not self._holds(op, first, second):
                return False
            first = second
        return True

    def _holds(self, op: ast.cmpop, first: Any, second: Any) -> bool:
        if isinstance(op, ast.Eq):
            return bool(first == second)
        if isinstance(op, ast.NotEq):
            return bool(first != second)
        try:
            if isinstance(op, ast.In):
                return first in second
            if isinstance(op, ast.NotIn):
                return first not in second
            return bool(_ORDER[type(op)](first, second))
        except TypeError:
            raise StudyError(
                f"{self.source}: {self.text!r} compares {_shown(first)} with {_shown(second)}, which have "
                "no order"
            ) from None

    def _calculate(
        self, op: ast.operator, left: ast.expr, right: ast.expr, values: Mapping[str, Any], node: ast.AST
    ) -> Any:
        first = self._number(self._evaluate(left, values), node)
        second = self._number(self._evaluate(right, values), node)
        try:
            return _ARITHMETIC[type(op)](first, second)
        except ArithmeticError as error:
            raise StudyError(f"{self.source}: {ast.unparse(node)!r}: {error}") from None

    def _number(self, value: Any, node: ast.AST) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise StudyError(
                f"{self.source}: {ast.unparse(node)!r} calculates with {_shown(value)}, not a number"
            )
        return value

    def _look_up(self, name: str, values: Mapping[str, Any]) -> Any:
        found = self._find(name, values)
        if isinstance(found, Mapping):
            raise StudyError(f"{self.source}: {name} is a section; name one of {', '.join(found)} in it")
        return found

    def _find(self, name: str, values: Mapping[str, Any]) -> Any:
        if name in _WORDS:
            return _WORDS[name]
        if name in values:
            found = values[name]
        else:
            found = values
            for part in name.split("."):
                if found is None and name in known_keys():
                    return None  # an optional section that is not there
                if not isinstance(found, Mapping) or part not in found:
                    raise StudyError(f"{self.source}: there is no {name!r}{_hint(name, values)}")
                found = found[part]
        return found


def _dotted(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value)
        return None if before is None else f"{before}.{node.attr}"
    return None


def _shown(value: Any) -> str:
    return "null" if value is None else repr(value)


def _hint(name: str, values: Mapping[str, Any]) -> str:
    known = flat_names(values)
    section = name.rpartition(".")[0]
    beside = [key for key in known_keys() if section and key.rpartition(".")[0] == section]
    meant = nearest(name, known) or nearest(name, beside)  # `beside`: in a section that is not there
    return f"; did you mean {meant}?" if meant else f"; there are {', '.join(known)}"


def flat_names(values: Mapping[str, Any], before: str = "") -> list[str]:
    """The dotted names of all values in nested mappings."""
    names: list[str] = []
    for key, value in values.items():
        names += flat_names(value, f"{before}{key}.") if isinstance(value, Mapping) else [f"{before}{key}"]
    return names
