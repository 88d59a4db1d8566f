"""Expressions in variables: a small grammar, read into SymPy objects without evaluating any text.

sum      = product { ("+" | "-") product }
product  = signed { ("*" | "/") signed }
signed   = ("-" | "+") signed | power
power    = atom [ ("^" | "**") signed ]
atom     = number | name | function "(" argument { "," argument } ")" | "(" sum ")"
argument = sum [ ("<" | "<=" | ">" | ">=") sum ]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from symconv.errors import SymconvError

if TYPE_CHECKING:
    import sympy

LONGEST, DEEPEST, GREATEST = 2000, 60, 64  # characters; brackets in brackets; an exponent
RELATIONS = ("<=", ">=", "<", ">")
NOT_DIFFERENTIABLE = ("floor", "ceil", "round", "sign", "heaviside", "mod", "rand", "argmax")

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign>\*\*|<=|>=|[-+*/^(),<>]))",
    re.ASCII,
)


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
        "max": _Function(2, lambda a, b: sympy.Piecewise((a, a > b), (b, True))),
        "min": _Function(2, lambda a, b: sympy.Piecewise((a, a < b), (b, True))),
        "where": _Function(3, lambda c, a, b: sympy.Piecewise((a, c), (b, True))),
    }


def parse_expression(text: str, variables: Sequence[str], constants: Mapping[str, float]) -> sympy.Expr:
    """Read an expression in real variables and named constants.

    Raises
    ------
    SymconvError
        If the text does not follow the grammar, or has an unknown name or function.
    """
    if len(text) > LONGEST:
        raise SymconvError(f"expression of {len(text)} characters: must have at most {LONGEST}")
    return _Parser(text, variables, constants).whole()


def derivative(expression: sympy.Expr, by: sympy.Symbol) -> sympy.Expr:
    """Return the derivative, case by case: away from kinks, where a step's own derivative is 0."""
    import sympy

    return expression.diff(by).replace(sympy.DiracDelta, lambda *_: sympy.Integer(0))


class _Parser:
    """Reads tokens from left to right; each method reads one rule of the grammar."""

    def __init__(self, text: str, variables: Sequence[str], constants: Mapping[str, float]) -> None:
        self.text, self.variables, self.constants = text, variables, constants
        self.at, self.depth = 0, 0
        self.token = self.kind = ""
        self._next()

    def _next(self) -> str:
        """Return the current token, and go to the next one."""
        before = self.token
        found = _TOKEN.match(self.text, self.at)
        rest = self.text[self.at :].strip()
        if found is None and rest:
            raise self._refuse(f"{rest[:20]!r} is no number, name or operator")
        self.kind = found.lastgroup or "" if found else ""
        self.token = found[self.kind] if found else ""
        self.at = found.end() if found else len(self.text)
        return before

    def _refuse(self, why: str) -> SymconvError:
        shown = self.text if len(self.text) <= 60 else self.text[:57] + "..."
        return SymconvError(f"expression {shown!r}: {why}")

    def _expect(self, sign: str) -> None:
        if self.token != sign:
            raise self._refuse(f"expected {sign!r}, found {self.token or 'the end'!r}")
        self._next()

    def whole(self) -> sympy.Expr:
        import sympy

        found = self._sum()
        if self.token:
            raise self._refuse(f"unexpected {self.token!r}")
        if found.has(sympy.zoo, sympy.nan, sympy.oo, -sympy.oo, sympy.I):
            raise self._refuse("is no real number anywhere")
        return found

    def _sum(self) -> Any:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self._refuse(f"has more than {DEEPEST} brackets in brackets")
        total = self._product()
        while self.token in ("+", "-"):
            total = total + self._product() if self._next() == "+" else total - self._product()
        self.depth -= 1
        return total

    def _product(self) -> Any:
        product = self._signed()
        while self.token in ("*", "/"):
            product = product * self._signed() if self._next() == "*" else product / self._signed()
        return product

    def _signed(self) -> Any:
        signs = 0
        while self.token in ("-", "+"):
            signs += self._next() == "-"
        value = self._power()
        return -value if signs % 2 else value

    def _power(self) -> Any:
        base = self._atom()
        if self.token not in ("^", "**"):
            return base
        self._next()
        exponent = self._signed()
        if not exponent.is_Rational or abs(exponent) > GREATEST:
            raise self._refuse(f"an exponent must be a number of at most {GREATEST}")
        return base**exponent

    def _atom(self) -> Any:
        import sympy

        if self.kind == "number":
            return sympy.Rational(self._next())
        if self.kind == "name":
            return self._named()
        self._expect("(")
        value = self._sum()
        self._expect(")")
        return value

    def _named(self) -> Any:
        import sympy

        name = self._next()
        if self.token == "(":
            return self._call(name)
        if name in self.variables:
            return sympy.Symbol(name, real=True)
        if name in self.constants:
            return sympy.Rational(repr(float(self.constants[name])))
        if name == "pi":
            return sympy.pi
        known = ", ".join([*self.variables, *self.constants, "pi"])
        raise self._refuse(f"{name!r} is unknown: the names are {known}")

    def _call(self, name: str) -> Any:
        functions = _functions()
        if name in NOT_DIFFERENTIABLE:
            raise self._refuse(f"{name!r} is not differentiable")
        if name not in functions:
            raise self._refuse(f"{name!r} is no function: these are {', '.join(functions)}")
        function = functions[name]
        self._expect("(")
        arguments = [self._argument(name == "where")]
        while self.token == ",":
            self._next()
            arguments.append(self._sum())
        self._expect(")")
        if len(arguments) != function.arguments:
            raise self._refuse(f"{name!r} takes {function.arguments}, not {len(arguments)} arguments")
        return function.make(*arguments)

    def _argument(self, condition: bool) -> Any:
        import sympy

        left = self._sum()
        if not condition:
            return left
        if self.token not in RELATIONS:
            raise self._refuse("'where' needs a condition first: where(x > 0, x, 0)")
        relation = self._next()
        right = self._sum()
        if left.has(sympy.Piecewise) or right.has(sympy.Piecewise):
            raise self._refuse("a condition must have no cases in it")
        return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[relation]
