"""Contractions of two tensors that are products of matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from symconv.notation.contraction import Access, Contraction
from symconv.targets.numpy.views import Sizes, Sliced, merges, sliced


@dataclass(frozen=True)
class Product:
    """``target[outer, rows, columns] = Σ first[outer, rows, summed] · second[outer, summed, columns]``.

    Where an operand lacks an outer index, it is the same for each of its values. An operand without
    rows, or columns, is a vector.
    """

    first: Access
    second: Access
    outer: tuple[str, ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    summed: tuple[str, ...]


def summed_indices(contraction: Contraction) -> tuple[str, ...]:
    """Return the indices that are summed over, with the sizes of loops left out."""
    shown = {name for subscript in contraction.target.subscripts for name in subscript.variables}
    return tuple(name for name, _ in contraction.extents if name not in shown)


def matrix_product(contraction: Contraction) -> Product | None:
    """Return the product of matrices that a contraction is, without copies of its operands; or None."""
    if len(contraction.factors) != 2 or contraction.reduce != "sum" or contraction.coefficient != 1:
        return None
    sizes = dict(contraction.extents)
    target = sliced(contraction.target, sizes)
    reads = contraction.reads
    if target is None or len(reads) != 2:
        return None
    for first, second in (reads, reads[::-1]):
        one, other = sliced(first, sizes), sliced(second, sizes)
        if one is None or other is None:
            return None
        found = _divided(target, one, other, sizes, summed_indices(contraction))
        if found is not None:
            return Product(first, second, *found)
    return None


def _divided(
    target: Sliced, one: Sliced, other: Sliced, sizes: Sizes, summed: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]] | None:
    """Divide the indices into outer ones, rows, columns and those that are summed."""
    in_one, in_other = set(one.strides), set(other.strides)
    if not summed or any(name not in in_one or name not in in_other for name in summed):
        return None
    order = list(target.order)
    if any(name not in in_one | in_other for name in order):
        return None
    columns = _run_at_end(order, in_other - in_one)
    rows = _run_at_end(order[: len(order) - len(columns)], in_one - in_other)
    while rows and not (merges(target, rows, sizes) and _in_one_run(one, rows, sizes)):
        rows = rows[1:]
    if not rows and not columns:
        return None
    if not (merges(target, columns, sizes) and _in_one_run(other, columns, sizes)):
        if rows:
            return None
        while not (merges(target, columns, sizes) and _in_one_run(other, columns, sizes)):
            columns = columns[1:]
    outer = order[: len(order) - len(rows) - len(columns)]
    if (not rows and in_one & set(outer)) or (not columns and in_other & set(outer)):
        return None  # a vector for each value of an outer index
    inside = next(
        (
            run
            for run in ([n for n in view.order if n in summed] for view in (other, one))
            if _in_one_run(one, run, sizes) and _in_one_run(other, run, sizes)
        ),
        None,
    )
    if inside is None:
        return None
    return tuple(outer), tuple(rows), tuple(columns), tuple(inside)


def _run_at_end(order: Sequence[str], names: set[str]) -> list[str]:
    """Return the indices at the end of an order that are all among some."""
    start = len(order)
    while start and order[start - 1] in names:
        start -= 1
    return list(order[start:])


def _in_one_run(view: Sliced, group: Sequence[str], sizes: Sizes) -> bool:
    """Whether indices are next to each other, in this order, and one axis without a copy."""
    order = list(view.order)
    places = [order.index(name) for name in group]
    apart = any(b != a + 1 for a, b in pairwise(places))
    return not apart and merges(view, group, sizes)
