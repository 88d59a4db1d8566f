"""Expressions on paper and in code: one walk, with the words of a language for each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sympy

SUM, PRODUCT, POWER, ATOM = range(4)  # how tightly what is written holds together


@dataclass(frozen=True)
class Dialect:
    """The words of a language: signs, numbers, functions and cases.

    Parameters
    ----------
    times
        Between factors.
    functions
        Names of functions; a name that is missing is its own.
    cases
        Writes values with conditions, the last of which always holds.
    power
        Writes a power of a base and an exponent other than -1; holds as tightly as an atom.
    decimals
        Whether numbers are written as decimals.
    both, either
        Between conditions.
    formats
        Writes functions that are not calls, by their names.
    decimal
        How a decimal number is written.
    largest
        The largest integer that is written as such; those beyond are decimals.
    """

    times: str
    functions: Mapping[str, str]
    cases: Callable[[Sequence[tuple[str, str]]], str]
    power: Callable[[str, str], str]
    decimals: bool
    both: str = " and "
    either: str = " or "
    formats: Mapping[str, Callable[..., str]] = field(default_factory=dict)
    decimal: str = "{}"
    largest: float = math.inf


def _paper_cases(cases: Sequence[tuple[str, str]]) -> str:
    (value, condition), *others = cases
    rest = others[0][0] if len(others) == 1 else _paper_cases(others)
    return f"({value} if {condition} else {rest})"


PAPER = Dialect(" · ", {"Abs": "abs"}, _paper_cases, lambda a, n: f"{a}^{n}", decimals=False)


def _grammar_cases(cases: Sequence[tuple[str, str]]) -> str:
    (value, condition), *others = cases
    rest = others[0][0] if len(others) == 1 else _grammar_cases(others)
    return f"where({condition}, {value}, {rest})"


GRAMMAR = Dialect(
    "*",
    {"Abs": "abs", "Max": "max", "Min": "min"},
    _grammar_cases,
    lambda a, n: f"{a}^{n}",
    decimals=False,
)


def expression_text(expression: sympy.Expr, names: Mapping[str, str], dialect: Dialect) -> str:
    """Write an expression; its symbols get the names given for theirs."""
    return _written(expression, names, dialect)[0]


def _bracketed(expression: Any, names: Mapping[str, str], dialect: Dialect, least: int) -> str:
    text, tightness = _written(expression, names, dialect)
    return text if tightness >= least else f"({text})"


def _written(expression: Any, names: Mapping[str, str], dialect: Dialect) -> tuple[str, int]:
    """Return what is written for an expression, and how tightly it holds together."""
    import sympy

    if expression.is_Relational:
        return _condition(expression, names, dialect), SUM
    if expression.is_Symbol:
        return names.get(expression.name, expression.name), ATOM
    if expression.is_Rational:
        return _number(expression, dialect)
    if dialect.decimals and expression.is_number and expression.is_finite:
        return dialect.decimal.format(float(expression.evalf(20))), ATOM
    if expression.is_Add:
        return _sum(expression, names, dialect), SUM
    if expression.is_Mul:
        return _product(expression, names, dialect)
    if expression.is_Pow and expression.exp.could_extract_minus_sign():
        return _product(expression, names, dialect)
    if expression.is_Pow and expression.exp == sympy.Rational(1, 2):
        return (
            f"{dialect.functions.get('sqrt', 'sqrt')}({_written(expression.base, names, dialect)[0]})",
            ATOM,
        )
    if expression.is_Pow:
        base = _bracketed(expression.base, names, dialect, ATOM)
        return dialect.power(base, _bracketed(expression.exp, names, dialect, ATOM)), POWER
    if expression.is_Piecewise:
        cases = [
            (_written(v, names, dialect)[0], _condition(c, names, dialect)) for v, c in expression.args
        ]
        return dialect.cases(cases), ATOM
    if expression is sympy.E:
        return f"{dialect.functions.get('exp', 'exp')}(1)", ATOM
    if expression is sympy.pi:
        return dialect.functions.get("pi", "pi"), ATOM
    if expression is sympy.S.NegativeInfinity:
        return dialect.functions.get("-oo", "-∞"), SUM
    name = expression.func.__name__
    if name in dialect.formats:
        return dialect.formats[name](*(_written(a, names, dialect)[0] for a in expression.args)), SUM
    inside = ", ".join(_written(argument, names, dialect)[0] for argument in expression.args)
    return f"{dialect.functions.get(name, name)}({inside})", ATOM


def _number(value: Any, dialect: Dialect) -> tuple[str, int]:
    if value.is_Integer and abs(int(value)) <= dialect.largest:
        return str(value), ATOM if value >= 0 else SUM
    if dialect.decimals:
        return dialect.decimal.format(float(value)), ATOM if value >= 0 else SUM
    return f"{value.p}/{value.q}", PRODUCT


def _sum(expression: Any, names: Mapping[str, str], dialect: Dialect) -> str:
    """Write terms, those without a minus first."""
    text = ""
    for term in sorted(expression.as_ordered_terms(), key=lambda t: t.could_extract_minus_sign()):
        negative = term.could_extract_minus_sign()
        shown = _bracketed(-term if negative else term, names, dialect, PRODUCT)
        sign = "-" if negative else "+"
        text += f" {sign} {shown}" if text else f"-{shown}" if negative else shown
    return text


def _product(expression: Any, names: Mapping[str, str], dialect: Dialect) -> tuple[str, int]:
    """Write factors, then what they are divided by."""
    import sympy

    if expression.could_extract_minus_sign() and expression.is_Mul:
        return f"-{_bracketed(-expression, names, dialect, PRODUCT)}", SUM
    above, below = [], []
    for factor in sympy.Mul.make_args(expression):
        if factor.is_Rational and factor.q != 1 and (factor.p == 1 or not dialect.decimals):
            above += [sympy.Integer(factor.p)] if factor.p != 1 else []
            below.append(sympy.Integer(factor.q))
        elif factor.is_Pow and factor.exp.could_extract_minus_sign():
            below.append(1 / factor)
        else:
            above.append(factor)
    over = dialect.times.join(_bracketed(f, names, dialect, POWER) for f in above) or "1"
    if not below:
        return over, PRODUCT
    under = dialect.times.join(_bracketed(f, names, dialect, POWER) for f in below)
    divide = "/" if dialect.times == "*" else " / "
    return f"{over}{divide}{under if len(below) == 1 else f'({under})'}", PRODUCT


def _condition(condition: Any, names: Mapping[str, str], dialect: Dialect) -> str:
    import sympy

    if condition is sympy.true:
        return "True"
    if condition.is_Symbol:  # a name for a condition
        return names.get(condition.name, condition.name)
    if isinstance(condition, sympy.And | sympy.Or):
        sign = dialect.both if isinstance(condition, sympy.And) else dialect.either
        parts = sorted(_condition(part, names, dialect) for part in condition.args)
        return sign.join(f"({part})" for part in parts)
    left, right = (_written(side, names, dialect)[0] for side in condition.args)
    return f"{left} {condition.rel_op} {right}"
