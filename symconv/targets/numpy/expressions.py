"""Expressions as NumPy code: common parts named first, then the value."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from symconv.kernel.language import Buffer, Do
from symconv.notation.contraction import Access
from symconv.notation.expression_text import Dialect, expression_text
from symconv.notation.graph import Elementwise
from symconv.notation.polynomial import Polynomial
from symconv.targets.numpy.code import Code, new_axes, own_indices, syntax
from symconv.targets.numpy.contractions import as_array, shared_axes, store, whole
from symconv.targets.numpy.syntax import number_text, tuple_text
from symconv.targets.numpy.views import Groups, Sizes

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
        plain = re.fullmatch(r"[\w.]+", base) and re.fullmatch(r"[\w.-]+", exponent)
        return f"{base}**{exponent}" if plain else f"{base} ** {exponent}"
    return f"np.square{base}" if base.startswith("(") else f"np.square({base})"


_SAME = ("sign", "exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "log1p", "expm1")
FORMATS: dict[str, Callable[..., str]] = {
    "first_attaining": lambda waiting, element, greatest: (
        f"{waiting} & (({element} == {greatest}) | np.isnan({element}))"
    ),
    "still_waiting": lambda waiting, first: f"{waiting} & ~{first}",
    "where_true": lambda condition, value: f"np.where({condition}, {value}, 0)",
}
NUMPY = Dialect(
    " * ",
    {name: f"np.{name}" for name in _SAME}
    | {
        "Abs": "np.abs",
        "atan": "np.arctan",
        "pi": "np.pi",
        "erf": "_erf",
        "erfc": "_erfc",
        "-oo": "-np.inf",
    },
    _cases,
    _power,
    decimals=True,
    both=" & ",
    either=" | ",
    formats=FORMATS,
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


def common_parts(expression: sympy.Expr) -> tuple[list[tuple[sympy.Symbol, sympy.Expr]], sympy.Expr]:
    """Return what an expression needs more than once, by name, and the expression in these names."""
    import sympy

    fresh = sympy.numbered_symbols("t", real=True)
    parts, (result,) = sympy.cse([expression], fresh, order="canonical")
    return parts, result


def write_elementwise(code: Code, do: Do, meaning: Elementwise) -> None:
    """Write an expression at every place of a box: its common parts first."""
    sizes = dict(meaning.extents)
    target = meaning.target
    buffer = code.buffer(target)
    if not meaning.arguments and buffer.kind == "truth":
        shape = tuple_text(buffer.tensor.shape)
        code.allocated.add(target.tensor.name)
        code.add(syntax("assign", target=target.tensor.name, source=f"np.ones({shape}, bool)"))
        return
    reads = [argument for _, argument in meaning.arguments if isinstance(argument, Access)]
    groups = shared_axes(code.axes(target, sizes), reads, sizes)
    names = {}
    wishes = iter((*do.names[1:], *("" for _ in meaning.arguments)))
    for symbol, argument in meaning.arguments:
        if isinstance(argument, Access):
            names[symbol] = code.bound(_argument(code, argument, sizes, groups), next(wishes))
        else:
            names[symbol] = _places(argument, sizes, groups)
    parts, result = common_parts(meaning.expression)
    if not parts:
        _name_arguments(code, meaning, names, code.target(target, sizes, groups))
    fresh = (f"t{number}" for number in itertools.count(len(parts)))
    for symbol_, part in parts:
        value = _in_lines(code, part, names, symbol_.name, fresh)
        code.add(syntax("assign", target=symbol_.name, source=value))
    name = target.tensor.name
    into = code.target(target, sizes, groups)
    value = _in_lines(code, result, names, whole(into), fresh)
    if (
        do.how == "assign"
        and name not in code.fresh
        and _INTO.fullmatch(value)
        and code.fits(f"{value}, out={into}")
    ):
        code.add(f"{value[:-1]}, out={as_array(into, groups)})")
        return
    store(code, do, target, sizes, value, groups)


def _name_arguments(code: Code, meaning: Elementwise, names: dict[str, str], target: str) -> None:
    """Give views that an expression reads names, the longest first, until it is short enough."""
    reads = [(s, a) for s, a in meaning.arguments if isinstance(a, Access) and "[" in names[s]]
    for symbol, access in sorted(reads, key=lambda pair: -len(names[pair[0]])):
        if code.fits(f"{target} += {expression_text(meaning.expression, names, NUMPY)}"):
            return
        if ":" in names[symbol]:  # more than new axes, or one element
            names[symbol] = code.bound(names[symbol], f"{access.tensor.name}_part")


def _in_lines(
    code: Code,
    expression: sympy.Expr,
    names: Mapping[str, str],
    target: str,
    fresh: Iterator[str],
) -> str:
    """Write an expression on one line; its longest parts get names until it fits."""
    import sympy

    text = expression_text(expression, names, NUMPY)
    while not code.fits(f"{target} += {text}"):
        inner = [pair[0] for pair in expression.args] if expression.is_Piecewise else expression.args
        parts = [part for part in inner if part.args and not part.is_number]
        if not parts:
            break
        longest = max(parts, key=lambda part: len(expression_text(part, names, NUMPY)))
        name = next(fresh)
        value = _in_lines(code, longest, names, name, fresh)
        code.add(syntax("assign", target=name, source=value))
        expression = expression.xreplace({longest: sympy.Symbol(name, real=True)})
        text = expression_text(expression, names, NUMPY)
    return text


def _argument(code: Code, access: Access, sizes: Sizes, groups: Groups) -> str:
    buffer = code.buffer(access)
    if buffer.role == "constant" and not buffer.given:
        shape = [bool(set(group) & set(own_indices(access, sizes))) for group in groups]
        return code.constant(buffer.tensor.name, nested_rows(buffer), buffer.note) + new_axes(shape)
    return code.read(access, sizes, groups)


def nested_rows(buffer: Buffer) -> object:
    """Return a constant's values as nested lists."""
    rows: list[object] = list(buffer.values)
    for size in reversed(buffer.tensor.sizes[1:]):
        rows = [rows[at : at + size] for at in range(0, len(rows), size)]
    return rows


def _places(subscript: Polynomial, sizes: Sizes, groups: Groups) -> str:
    """Write the values of a subscript: those of its indices along their axes."""
    text = ""
    for name in subscript.variables:
        if name not in sizes:
            continue
        values = f"np.arange({number_text(sizes[name])})" + new_axes([name in g for g in groups])
        factor = int(subscript.coefficient(name))
        term = values if abs(factor) == 1 else f"{abs(factor)} * {values}"
        text += f"{' - ' if factor < 0 else ' + '}{term}"
    rest = subscript.substitute({name: 0 for name in subscript.variables if name in sizes})
    if not text:
        return number_text(rest)
    text = text.removeprefix(" + ")
    if rest == 0:
        return text if " " not in text else f"({text})"
    constant = number_text(rest)
    return f"({text} - {constant[1:]})" if constant.startswith("-") else f"({text} + {constant})"


_INTO = re.compile(r"np\.(?:maximum|minimum|square|(?!where|sign)[a-z0-9]+)\(((?:[^()]|\([^()]*\))*)\)")
