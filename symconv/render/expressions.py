"""Expressions as NumPy code: common parts named first, then the value."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from symconv.notation.expression_text import Dialect, expression_text
from symconv.plan.algorithms import Apply, Spread
from symconv.render.syntax import JOINER, WIDTH

if TYPE_CHECKING:
    import sympy


def _cases(cases: Sequence[tuple[str, str]]) -> str:
    (value, condition), *others = cases
    rest = others[0][0] if len(others) == 1 else _cases(others)
    if condition in (f"{rest} <= {value}", f"{rest} < {value}", f"{value} > {rest}"):
        return f"np.maximum({rest}, {value})"
    if condition in (f"{rest} >= {value}", f"{rest} > {value}", f"{value} < {rest}"):
        return f"np.minimum({rest}, {value})"
    return f"np.where({condition}, {value}, {rest})"


def _power(base: str, exponent: str) -> str:
    if exponent != "2":
        return f"{base}**{exponent}"
    return f"np.square{base}" if base.startswith("(") else f"np.square({base})"


_SAME = ("sign", "exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "log1p", "expm1")
NUMPY = Dialect(
    " * ",
    {name: f"np.{name}" for name in _SAME}
    | {"Abs": "np.abs", "atan": "np.arctan", "pi": "np.pi", "erf": "_erf", "erfc": "_erfc"},
    _cases,
    _power,
    decimals=True,
    both=" & ",
    either=" | ",
)


ERFC = (
    1.1775789345674017,
    -0.004590054580646478,
    -0.08424913336651792,
    0.05920993999819189,
    -0.026658668435305753,
    0.009074997670705265,
    -0.002413163540417608,
    0.0004907758365258086,
    -6.916973302501207e-05,
    4.13902798607301e-06,
    7.740383066198491e-07,
    -2.1886401049234386e-07,
    1.0764999465671004e-08,
    4.521959811218372e-09,
    -7.754400208830589e-10,
    -6.31808834088002e-11,
    2.8687950109363422e-11,
    1.945586855042697e-13,
    -9.654696748073274e-13,
    3.2525481506828756e-14,
    3.347811949739705e-14,
    -1.8645628767814072e-15,
    -1.2507950603417642e-15,
    7.418233442194908e-17,
    5.068146013060458e-17,
)  # a test computes them anew


def _spread(spread: Spread) -> str:
    """Write an array, new axes where it has none of the box's behind its first; or an index's values."""
    array = spread.array or f"np.arange({spread.box[spread.axes[0]]})"
    if not spread.axes:
        return array
    places = [":" if at in spread.axes else "None" for at in range(spread.axes[0], len(spread.box))]
    return array if "None" not in places else f"{array}[{', '.join(places)}]"


def common_parts(expression: sympy.Expr) -> tuple[list[tuple[sympy.Symbol, sympy.Expr]], sympy.Expr]:
    """Return what an expression needs more than once, by name, and the expression in these names."""
    import sympy

    fresh = sympy.numbered_symbols("t", real=True)
    parts, (result,) = sympy.cse([expression], fresh, order="canonical")
    return parts, result


def apply(stage: Apply) -> str:
    """Return the code of an expression of arrays' elements."""
    names = {symbol: _spread(spread) for symbol, spread in stage.arrays}
    parts, result = common_parts(stage.expression)
    lines = [_assigned(symbol.name, expression_text(part, names, NUMPY)) for symbol, part in parts]
    lines.append(_stored(stage.target, expression_text(result, names, NUMPY)))
    return "".join(line + "\n" for line in lines)


_INTO = re.compile(r"np\.(?:maximum|minimum|square|(?!where|sign)[a-z0-9]+)\(((?:[^()]|\([^()]*\))*)\)")


def _stored(target: str, value: str) -> str:
    """Write a value into an array: a single function's without a copy on the way."""
    if _INTO.fullmatch(value) and len(value) + len(target) + 6 <= WIDTH:
        return f"{value[:-1]}, out={target})"
    return _assigned(f"{target}[...]", value)


def _assigned(name: str, value: str) -> str:
    """Write an assignment; a long one in brackets, folded before operators, the outermost first."""
    if len(name) + len(value) + 3 <= WIDTH:
        return f"{name} = {value}"
    for depth, signs in itertools.product(range(value.count("(") + 1), ("+-", "+-*/,")):
        lines = textwrap.wrap(_joined(value, depth, signs), WIDTH - 4, break_long_words=False)
        if max(map(len, lines)) <= WIDTH - 4:
            break
    inside = textwrap.indent("\n".join(lines).replace(JOINER, " "), "    ")
    return f"{name} = (\n{inside}\n)"


def _joined(value: str, depth: int, signs: str) -> str:
    """Join at every space but those before some signs, in at most so many brackets."""
    text, inside = "", 0
    for before, here, after in zip(" " + value, value, value[1:] + " ", strict=False):
        inside += (here in "([") - (here in ")]")
        folds = after in signs or (before in signs and before == ",")
        text += JOINER if here == " " and not (folds and inside <= depth) else here
    return text
