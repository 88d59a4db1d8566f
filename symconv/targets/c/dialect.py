"""Expressions as C: type-generic functions, numbers of the file's own type."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from symconv.notation.expression_text import Dialect


def _cases(cases: Sequence[tuple[str, str]]) -> str:
    (value, condition), *others = cases
    rest = others[0][0] if len(others) == 1 else _cases(others)
    return f"({condition} ? {value} : {rest})"


def _power(base: str, exponent: str) -> str:
    inner = base.removeprefix("(").removesuffix(")") if base.startswith("(") else base
    return f"square({inner})" if exponent == "2" else f"pow({inner}, {exponent})"


FORMATS: dict[str, Callable[..., str]] = {
    "first_attaining": lambda waiting, element, greatest: (
        f"{waiting} != 0 && ({element} == {greatest} || is_nan({element}))"
    ),
    "still_waiting": lambda waiting, first: f"{waiting} != 0 && {first} == 0",
    "where_true": lambda condition, value: f"({condition} != 0 ? {value} : 0)",
}
C99 = Dialect(
    " * ",
    {"Abs": "fabs", "pi": "(real)3.141592653589793", "-oo": "-INFINITY"},
    _cases,
    _power,
    decimals=True,
    both=" && ",
    either=" || ",
    formats=FORMATS,
    decimal="(real){}",
)
