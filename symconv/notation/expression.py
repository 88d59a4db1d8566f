"""Expressions in variables: a small grammar, read into SymPy objects without evaluating any text.

sum      = product { ("+" | "-") product }
product  = signed { ("*" | "/") signed }
signed   = ("-" | "+") signed | power
power    = atom [ ("^" | "**") signed ]
atom     = number | name | function "(" argument { "," argument } ")" | "(" sum ")"
argument = sum [ ("<" | "<=" | ">" | ">=") sum ]
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from symconv.notation.cases import choose
from symconv.notation.tokens import Reader

if TYPE_CHECKING:
    import sympy

DEEPEST, GREATEST = 60, 64  # brackets in brackets; an exponent
RELATIONS = ("<=", ">=", "<", ">")
NOT_DIFFERENTIABLE = ("floor", "ceil", "round", "sign", "heaviside", "mod", "rand", "argmax")


@dataclass(frozen=True)
class _Function:
    """A function of the grammar: how many arguments it takes, and what it is in SymPy."""

    arguments: int
    make: Callable[..., Any]


@cache
def _functions() -> dict[str, _Function]:
    import sympy
    from sympy.codegen.cfunctions import expm1, log1p

    one = {
        name: _Function(1, getattr(sympy, name))
        for name in ("exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "atan")
    }
    return one | {
        "erf": _Function(1, sympy.erf),
        "erfc": _Function(1, sympy.erfc),
        "abs": _Function(1, sympy.Abs),
        "log1p": _Function(1, log1p),
        "expm1": _Function(1, expm1),
        "max": _Function(2, partial(choose, larger=True)),
        "min": _Function(2, partial(choose, larger=False)),
        "where": _Function(3, lambda c, a, b: sympy.Piecewise((a, c), (b, True))),
    }


def parse_expression(
    text: str,
    variables: Sequence[str],
    constants: Mapping[str, float],
    named: Mapping[str, str] = MappingProxyType({}),
) -> sympy.Expr:
    """Read an expression in real variables and named constants.

    ``named`` are further functions of one argument, by name: expressions in x.

    Raises
    ------
    SymconvError
        If the text does not follow the grammar, or has an unknown name or function.
    """
    return _parsed(text, tuple(variables), tuple(constants.items()), tuple(named.items()))


@cache
def _parsed(
    text: str,
    variables: tuple[str, ...],
    constants: tuple[tuple[str, float], ...],
    named: tuple[tuple[str, str], ...],
) -> sympy.Expr:
    return _Parser(text, variables, dict(constants), dict(named)).whole()


@cache
def derivative(expression: sympy.Expr, by: sympy.Symbol) -> sympy.Expr:
    """Return the derivative, case by case: away from kinks, where a step's own derivative is 0."""
    import sympy

    return expression.diff(by).replace(sympy.DiracDelta, lambda *_: sympy.Integer(0))


class _Parser(Reader):
    """Reads tokens from left to right; each method reads one rule of the grammar."""

    def __init__(
        self,
        text: str,
        variables: Sequence[str],
        constants: Mapping[str, float],
        named: Mapping[str, str],
    ) -> None:
        self.variables, self.constants, self.named = variables, constants, named
        self.depth = 0
        super().__init__("expression", text)

    def whole(self) -> sympy.Expr:
        import sympy

        found = self._sum()
        self.end()
        if found.has(sympy.zoo, sympy.nan, sympy.oo, -sympy.oo, sympy.I):
            raise self.refuse("is no real number anywhere")
        return found

    def _sum(self) -> Any:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.refuse(f"has more than {DEEPEST} brackets in brackets")
        total = self._product()
        while self.token in ("+", "-"):
            total = total + self._product() if self.next() == "+" else total - self._product()
        self.depth -= 1
        return total

    def _product(self) -> Any:
        product = self._signed()
        while self.token in ("*", "/"):
            product = product * self._signed() if self.next() == "*" else product / self._signed()
        return product

    def _signed(self) -> Any:
        signs = 0
        while self.token in ("-", "+"):
            signs += self.next() == "-"
        value = self._power()
        return -value if signs % 2 else value

    def _power(self) -> Any:
        base = self._atom()
        if self.token not in ("^", "**"):
            return base
        self.next()
        exponent = self._signed()
        if not exponent.is_Rational or abs(exponent) > GREATEST:
            raise self.refuse(f"an exponent must be a number of at most {GREATEST}")
        return base**exponent

    def _atom(self) -> Any:
        import sympy

        if self.kind == "number":
            return sympy.Rational(self.next())
        if self.kind == "name":
            return self._named()
        self.expect("(")
        value = self._sum()
        self.expect(")")
        return value

    def _named(self) -> Any:
        import sympy

        name = self.next()
        if self.token == "(":
            return self._call(name)
        if name in self.variables:
            return sympy.Symbol(name, real=True)
        if name in self.constants:
            return sympy.Rational(repr(float(self.constants[name])))
        if name == "pi":
            return sympy.pi
        known = [*self.variables, *self.constants, "pi"]
        near = difflib.get_close_matches(name.lower(), [*known, *self.named], 1)
        meant = f"did you mean {near[0]!r}? The" if near else "the"
        raise self.refuse(
            f"{name!r} is unknown: {meant} names are {', '.join(known)}, and those given as constants"
        )

    def _call(self, name: str) -> Any:
        functions = _functions()
        if name in NOT_DIFFERENTIABLE:
            raise self.refuse(f"{name!r} is not differentiable")
        if name in self.named:
            return self._of_named(name)
        if name not in functions:
            known = list(dict.fromkeys([*functions, *self.named]))
            near = difflib.get_close_matches(name.lower(), known, 1)
            meant = f"did you mean {near[0]!r}? There are" if near else "there are"
            raise self.refuse(f"{name!r} is not a function here; {meant} {', '.join(known)}")
        function = functions[name]
        self.expect("(")
        arguments = [self._argument(name == "where")]
        while self.token == ",":
            self.next()
            arguments.append(self._sum())
        self.expect(")")
        if len(arguments) != function.arguments:
            raise self.refuse(f"{name!r} takes {function.arguments}, not {len(arguments)} arguments")
        return function.make(*arguments)

    def _of_named(self, name: str) -> Any:
        """Put an argument for x in a named function's expression."""
        import sympy

        self.expect("(")
        argument = self._sum()
        self.expect(")")
        x = sympy.Symbol("x", real=True)
        found = parse_expression(self.named[name], ["x"], {})
        if argument != x and found.has(sympy.Piecewise) and argument.has(sympy.Piecewise):
            raise self.refuse(f"{name!r} has cases, and so its argument must have none")
        return found.subs(x, argument)

    def _argument(self, condition: bool) -> Any:
        import sympy

        left = self._sum()
        if not condition:
            return left
        if self.token not in RELATIONS:
            signs = ", ".join(RELATIONS)
            raise self.refuse(f"'where' needs a condition first, with {signs}: where(x > 0, x, 0)")
        relation = self.next()
        right = self._sum()
        if left.has(sympy.Piecewise) or right.has(sympy.Piecewise):
            raise self.refuse("a condition must have no cases in it")
        return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[relation]
