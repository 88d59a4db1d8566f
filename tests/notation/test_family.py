"""What values for several sizes have in common, and what they must not differ in."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from symconv.errors import KernelError
from symconv.notation.contraction import Access, Contraction, Tensor, index
from symconv.notation.family import common
from symconv.notation.graph import Elementwise
from symconv.notation.polynomial import Polynomial
from symconv.notation.ratio import Ratio


def member(value: Any, letter: str, size: int) -> Any:
    """Return the value for one size: what ``common`` was given for it."""
    at = {letter: size}
    match value:
        case Polynomial():
            found = value.substitute(at)
            return found if found.variables else int(found)
        case Ratio():
            return value.substitute(at)
        case sympy.Basic():
            return value.subs({s: size for s in value.free_symbols if s.name == letter})
        case tuple():
            return tuple(member(each, letter, size) for each in value)
        case Access():
            return Access(member(value.tensor, letter, size), value.substitute(at).subscripts)
        case Elementwise():
            given = tuple(pair for pair in value.arguments if pair[0] != letter)
            return _member(dataclasses.replace(value, arguments=given), letter, size)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _member(value, letter, size)
    return value


def _member(value: Any, letter: str, size: int) -> Any:
    fields = dataclasses.fields(value)
    return type(value)(*(member(getattr(value, field.name), letter, size) for field in fields))


SIZES = (37, 41, 43, 47)
small = st.integers(-9, 9)


def _mean(n: int, above: int = 1, below: int = 6) -> Contraction:
    """Return the sum over n samples of a column, times a quotient."""
    x, y = Tensor("x", (n, 3)), Tensor("y", (3,))
    coefficient = Fraction(above, below * n)
    return Contraction(y[index("c")], (x[index("n"), index("c")],), (("c", 3), ("n", n)), coefficient)


@given(small, small, small, small)
def test_affine_numbers_are_found(a: int, b: int, c: int, d: int) -> None:
    def at(n: int) -> tuple[object, ...]:
        return (a * n + b, "word", (c * n + d, 5), Polynomial({("i",): a * n + b, (): c}))

    found = common({n: at(n) for n in SIZES}, "N")
    for n in (*SIZES, 1, 2, 100):
        assert member(found, "N", n) == at(n)


@given(st.integers(1, 9), st.integers(1, 9))
def test_means_are_found(above: int, below: int) -> None:
    found = common({n: _mean(n, above, below) for n in SIZES}, "N")
    assert isinstance(found.coefficient, Ratio)
    for n in (*SIZES, 1, 2, 100):
        assert member(found, "N", n) == _mean(n, above, below)


@given(st.integers(1, 9), st.integers(2, 9), st.integers(1, 9))
def test_expressions_are_found(a: int, b: int, c: int) -> None:
    """Such as the factor of an unbiased variance, N / (N - 1)."""
    x = sympy.Symbol("x", real=True)
    place = Tensor("y", (3,))[index("i")]

    def at(n: int) -> Elementwise:
        number = sympy.Rational(a * n, b * n - c)
        return Elementwise(place, 2 * x + number * x**2, (("x", place),), (("i", 3),))

    found = common({n: at(n) for n in SIZES}, "N")
    for n in (*SIZES, 100):
        assert member(found, "N", n) == at(n)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda n: n * n,
        lambda n: n // 2,
        lambda n: n + (n == 47),
        lambda n: (1,) * n,
        lambda n: f"block {n}",
        lambda n: "images" if n > 40 else 8,
        lambda n: Polynomial({("i",): n * n}),
        lambda n: _mean(n, 1, n),
        lambda n: {n: 1},
        lambda n: n > 40,
    ],
)
def test_other_differences_are_refused(wrong: Any) -> None:
    with pytest.raises(KernelError):
        common({n: wrong(n) for n in SIZES}, "N")
