"""The stages that copy, sum along axes, or multiply two matrices: a line each."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from symconv.plan.algorithms import Cut, Matrix, Move, Product, View
from symconv.render.environment import fill
from symconv.render.syntax import progression, shape


def move(stage: Move) -> str:
    """Write an assignment, or an addition, of a part of an array to a part of another."""
    source = stage.source + _subscript(stage.taken)
    kept = [cut.index for cut in stage.taken if cut.index]
    put = [cut.index for cut in stage.put if cut.index]
    summed = tuple(at for at, name in enumerate(kept) if name not in put)
    plain_target = all(cut.whole and cut.index for cut in stage.put)
    if summed and plain_target and stage.coefficient == 1 and not stage.adds:
        left = [name for name in kept if name in put]
        if left == put:
            return fill("numpy/sum.py.j2", source=source, axes=_axes(summed), target=stage.target)
    if summed:
        source += f".sum(axis={_axes(summed)})"
        kept = [name for name in kept if name in put]
    order = [kept.index(name) for name in put if name in kept]
    if order != sorted(order):
        source += f".transpose{shape(order)}"
    present = [name in kept for name in put]
    if kept and not all(present[present.index(True) :]):
        source += f"[{', '.join(':' if p else 'None' for p in present[present.index(True) :])}]"
    target = stage.target + _subscript(stage.put)
    number = _decimal(stage.coefficient)
    if number and not summed:
        if plain_target and not stage.adds:
            return f"np.multiply({source}, {number}, out={target})\n"
        return f"{target} {'+=' if stage.adds else '='} {source} * {number}\n"
    return assignment(target, source, stage.coefficient, stage.adds) + "\n"


def _decimal(factor: Fraction) -> str:
    """Write a number that a float is exactly, but ±1; nothing for others."""
    if abs(factor) == 1 or Fraction(float(factor)) != factor:
        return ""
    return str(factor.numerator) if factor.denominator == 1 else repr(float(factor))


def assignment(target: str, source: str, coefficient: Fraction, adds: bool) -> str:
    """Write that an array becomes a number times another, or has it added."""
    factor = coefficient
    sign = "+=" if adds else "="
    if adds and factor == -1:
        sign, factor = "-=", Fraction(1)
    source = times(source, factor)
    whole = "[...]" if not adds and not target.endswith("]") else ""
    return f"{target}{whole} {sign} {source}"


def times(source: str, factor: Fraction) -> str:
    """Write a number times an array."""
    if abs(factor) == 1:
        return source if factor == 1 else f"-{source}"
    if abs(factor.numerator) == 1:
        return f"{source} / {factor.denominator * factor.numerator}"
    divided = f" / {factor.denominator}" if factor.denominator != 1 else ""
    return f"{source} * {factor.numerator}{divided}"


def _axes(summed: Sequence[int]) -> str:
    return str(summed[0]) if len(summed) == 1 else shape(summed)


def _subscript(cuts: Sequence[Cut]) -> str:
    """Write a subscript, nothing if it is all of the array."""
    if all(cut.whole and cut.index for cut in cuts):
        return ""
    slices = [
        progression(cut.start, cut.step, cut.count, cut.size) if cut.index else str(cut.start)
        for cut in cuts
    ]
    while slices[-1] == ":":
        slices.pop()
    one = all(not cut.index for cut in cuts)  # a view of one element, no number
    return f"[{', '.join([*slices, '...'] if one else slices)}]"


def view(stage: View, result: bool) -> str:
    """Write the elements in another shape: into the result, or as a name for them."""
    source = f"{stage.source}.reshape{shape(stage.shape) if stage.shape else '(())'}"
    if not result:
        return f"{stage.target} = {source}\n"
    return assignment(stage.target, source, Fraction(1), stage.adds) + "\n"


def product(stage: Product) -> str:
    """Write a matrix product; axes that are not in the sum come in one piece."""
    first, second, target = (_matrix(m) for m in (stage.first, stage.second, stage.target))
    return fill("numpy/product.py.j2", first=first, second=second, target=target)


def _matrix(m: Matrix) -> str:
    sizes = (m.columns, m.rows) if m.transposed else (m.rows, m.columns)
    array = m.name if m.plain else f"{m.name}.reshape{shape(sizes)}"
    return f"{array}.T" if m.transposed else array
