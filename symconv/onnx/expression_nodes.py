"""SymPy's expressions as ONNX's nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from symconv.building import NotSupportedError

if TYPE_CHECKING:
    import sympy

FUNCTIONS = {
    name: name.capitalize()
    for name in ("exp", "log", "tanh", "erf", "sin", "cos", "tan", "sinh", "cosh", "atan")
} | {"Abs": "Abs"}
RELATIONS = {
    "StrictGreaterThan": "Greater",
    "GreaterThan": "GreaterOrEqual",
    "StrictLessThan": "Less",
    "LessThan": "LessOrEqual",
    "Equality": "Equal",
}


class Writes(Protocol):
    """What nodes and constants are added to."""

    def add(self, operator: str, *inputs: str) -> str:
        """Add a node."""

    def constant(self, array: object) -> str:
        """Add a constant."""


class Expressions:
    """Expressions of named tensors, each part of which is written once."""

    def __init__(self, nodes: Writes, given: Mapping[str, str]) -> None:
        self.nodes, self.given = nodes, given
        self.known: dict[sympy.Basic, str] = {}

    def write(self, expression: sympy.Basic) -> str:
        """Return the name of an expression's value."""
        if expression not in self.known:
            self.known[expression] = self._written(expression)
        return self.known[expression]

    def _written(self, e: sympy.Basic) -> str:
        import sympy

        nodes, kind = self.nodes, type(e).__name__
        if isinstance(e, sympy.Symbol):
            return self.given[e.name]
        if isinstance(e, sympy.Expr) and e.is_number:
            return nodes.constant(float(e))
        if isinstance(e, sympy.Piecewise):
            return self._cases(e)
        if isinstance(e, sympy.Pow):
            return self._power(e)
        if kind in FUNCTIONS:
            return nodes.add(FUNCTIONS[kind], self.write(e.args[0]))
        if kind in RELATIONS:
            return nodes.add(RELATIONS[kind], *map(self.write, e.args))
        if kind == "Unequality":
            return nodes.add("Not", nodes.add("Equal", *map(self.write, e.args)))
        pairs = {"Add": "Add", "Mul": "Mul", "And": "And", "Or": "Or", "Max": "Max", "Min": "Min"}
        if kind in pairs:
            first, *rest = map(self.write, e.args)
            for each in rest:
                first = nodes.add(pairs[kind], first, each)
            return first
        one = nodes.constant(1.0)
        if kind == "erfc":
            return nodes.add("Sub", one, nodes.add("Erf", self.write(e.args[0])))
        if kind in ("log1p", "expm1"):
            return self._near_zero(kind, self.write(e.args[0]))
        raise NotSupportedError(f"{kind} is not a function of ONNX")

    def _near_zero(self, kind: str, x: str) -> str:
        """Return exp(x) − 1 or log(1 + x), which ONNX has not, also where x is small.

        There exp(x) − 1 = 2t/(1 − t) with t = tanh(x/2), and log(1 + x) = 2 artanh(x/(2 + x)).
        """
        add, one, two = self.nodes.add, self.nodes.constant(1.0), self.nodes.constant(2.0)
        small = add("Less", add("Abs", x), one)
        if kind == "expm1":
            t = add("Tanh", add("Div", x, two))
            near = add("Div", add("Mul", two, t), add("Sub", one, t))
            return add("Where", small, near, add("Sub", add("Exp", x), one))
        inner = add("Where", small, add("Div", x, add("Add", two, x)), self.nodes.constant(0.0))
        near = add("Mul", two, add("Atanh", inner))
        return add("Where", small, near, add("Log", add("Add", one, x)))

    def _power(self, e: sympy.Pow) -> str:
        import sympy

        base, exponent = e.args
        if exponent == -1:
            return self.nodes.add("Reciprocal", self.write(base))
        if exponent.is_negative:
            return self.nodes.add("Reciprocal", self.write(sympy.Pow(base, -exponent)))
        if exponent == sympy.Rational(1, 2):
            return self.nodes.add("Sqrt", self.write(base))
        if exponent == 2:
            value = self.write(base)
            return self.nodes.add("Mul", value, value)
        return self.nodes.add("Pow", self.write(base), self.write(exponent))

    def _cases(self, e: sympy.Piecewise) -> str:
        *cases, (last, always) = e.args
        if always != True:  # noqa: E712  # SymPy's own
            raise NotSupportedError("a case does not always hold")
        found = self.write(last)
        for value, condition in reversed(cases):
            found = self.nodes.add("Where", self.write(condition), self.write(value), found)
        return found
