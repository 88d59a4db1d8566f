"""A buffer, read or written affinely, as NumPy writes it: slices, new shapes, other orders of axes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from symconv.kernel.language import at, product
from symconv.notation.contraction import Access, Size
from symconv.notation.polynomial import Polynomial
from symconv.targets.numpy.syntax import (
    arguments_text,
    number_text,
    slice_text,
    subscript,
    tuple_text,
)

Sizes = Mapping[str, Size]  # of indices
MANY = 1 << 40  # of what a letter counts; what holds for 1 and for these, and is affine, holds between
Groups = Sequence[Sequence[str]]  # axis by axis, the indices that it counts through


@dataclass(frozen=True)
class Sliced:
    """An access as slices of its buffer.

    Parameters
    ----------
    text
        The buffer with its subscript.
    axes
        Axis by axis, the indices that it counts through, outermost first.
    strides
        How many elements of a contiguous buffer each index moves by.
    """

    text: str
    axes: tuple[tuple[str, ...], ...]
    strides: Mapping[str, Polynomial]

    @property
    def order(self) -> tuple[str, ...]:
        """The indices in their order."""
        return tuple(name for axis in self.axes for name in axis)


def sliced(access: Access, sizes: Sizes) -> Sliced | None:
    """Return an access as slices; None if they cannot say it: windows, diagonals."""
    whole = _with_rows(access, sizes)
    if whole is not access:
        text = f"{access.tensor.name}.reshape({arguments_text(whole.tensor.shape)})"
        access = replace(whole, tensor=replace(whole.tensor, name=text))
    parts: list[str] = []
    axes: list[tuple[str, ...]] = []
    strides: dict[str, Polynomial] = {}
    turned: list[int] = []  # axes that are read backwards from a place that depends on a loop
    shape = access.tensor.shape
    for place, (subscript_, size) in enumerate(zip(access.subscripts, shape, strict=True)):
        own = [name for name in subscript_.variables if name in sizes]
        start = subscript_.substitute(dict.fromkeys(own, 0))
        stride = Polynomial.lift(product(shape[place + 1 :]))
        if any(name in strides for name in own):
            return None
        if not own:
            parts.append(number_text(start))
            continue
        names = sorted(own, key=lambda name: -abs(int(subscript_.coefficient(name))))
        step = int(subscript_.coefficient(names[-1]))
        if not _nested(names, subscript_, sizes):
            return None
        count = product([sizes[name] for name in names])
        if step < 0 and not (isinstance(count, int) and not start.variables):
            start, step = start + (Polynomial.lift(count) - 1) * step, -step  # and turned around below
            turned.append(len(axes))
        parts.append(slice_text(start, step, count, size))
        axes.append(tuple(names))
        for name in names:
            strides[name] = stride * subscript_.coefficient(name)
    text = access.tensor.name + subscript(parts)
    if turned:
        text += subscript(["::-1" if at_ in turned else ":" for at_ in range(len(axes))])
    return Sliced(text, tuple(axes), strides)


def _with_rows(access: Access, sizes: Sizes) -> Access:
    """Split axes that are addressed row by row, with gaps between the rows, into rows and columns."""
    subscripts: list[Polynomial] = []
    shape: list[Size] = []
    for subscript_, size in zip(access.subscripts, access.tensor.shape, strict=True):
        parts = _rows(subscript_, size, sizes)
        for part, length in parts:
            subscripts.append(part)
            shape.append(length)
    if len(shape) == len(access.subscripts):
        return access
    return Access(replace(access.tensor, shape=tuple(shape)), tuple(subscripts))


def _rows(subscript_: Polynomial, size: Size, sizes: Sizes) -> list[tuple[Polynomial, Size]]:
    """Return an axis as rows of a length that the outermost index moves by; or as it is."""
    alone: list[tuple[Polynomial, Size]] = [(subscript_, size)]
    own = [name for name in subscript_.variables if name in sizes]
    names = sorted(own, key=lambda name: -abs(int(subscript_.coefficient(name))))
    if len(names) < 2 or _nested(names, subscript_, sizes) or set(own) != set(subscript_.variables):
        return alone
    length, start = int(subscript_.coefficient(names[0])), int(subscript_.constant)
    inner = [int(subscript_.coefficient(n)) * (int(sizes[n]) - 1) for n in names[1:]]
    low = start % length if length > 0 else 0
    if length <= 1 or min(inner) < 0 or low + sum(inner) >= length or int(size) % length:
        return alone
    row = Polynomial.variable(names[0]) + start // length
    rest = subscript_ - Polynomial.variable(names[0]) * length - start + low
    return [(row, int(size) // length), *_rows(rest, length, sizes)]


def _nested(names: Sequence[str], subscript_: Polynomial, sizes: Sizes) -> bool:
    """Whether each index moves by as much as the ones inside it together: digits of one count."""
    for outer, inner in pairwise(names):
        moves = Polynomial.lift(subscript_.coefficient(inner)) * sizes[inner]
        if moves != Polynomial.lift(subscript_.coefficient(outer)):
            return False
    return True


def merges(view: Sliced, group: Sequence[str], sizes: Sizes) -> bool:
    """Whether these indices are one axis of a contiguous buffer, without a copy."""
    return all(
        view.strides[outer] == view.strides[inner] * sizes[inner] for outer, inner in pairwise(group)
    )


def view_text(access: Access, sizes: Sizes, groups: Groups) -> str | None:
    """Write an access as an array with these axes; axes that it does not have are new ones.

    Returns None where slices cannot say it, or where it has only some of an axis's indices.
    """
    view = sliced(access, sizes)
    if view is None:
        return None
    present = [[name for name in group if name in view.strides] for group in groups]
    for group, own in zip(groups, present, strict=True):
        if own and len(own) < len(group):
            return None
    wanted = [group for group in present if group]
    if whole := _spread_over_units(access, view, present):
        return whole
    text = _arranged(view, wanted, sizes)
    if len(wanted) < len(groups):
        text += _new_axes([bool(group) for group in present])
    return text


def _spread_over_units(access: Access, view: Sliced, present: Groups) -> str:
    """Return the whole buffer if its own axes of length 1 stand where it has none of the axes."""
    axes = iter(view.axes)
    found: list[list[str]] = []
    for subscript_, size in zip(access.subscripts, access.tensor.shape, strict=True):
        if size == 1 and subscript_ == 0:
            found.append([])
        elif subscript_.variables:
            found.append(list(next(axes, ())))
        else:
            return ""
    missing = len(present) - len(found)  # in front: NumPy adds them
    same = any(found) and missing >= 0 and [[]] * missing + found == [list(g) for g in present]
    return access.tensor.name if same and "[" not in _without_units(view.text) else ""


def _without_units(text: str) -> str:
    """Drop a subscript that only takes whole axes and first elements."""
    return re.sub(r"\[[:0, ]*\]$", "", text)


def _arranged(view: Sliced, wanted: Groups, sizes: Sizes) -> str:
    """Write a view in another shape, or another order of its axes."""
    axes = [list(axis) for axis in view.axes]
    if axes == [list(group) for group in wanted]:
        return view.text
    flat = [name for group in wanted for name in group]
    if flat == list(view.order):
        return view.text + _reshaped(wanted, sizes)
    runs = _runs(view.order, wanted)
    if runs is None:
        alone = [[name] for name in view.order]
        text = view.text if axes == alone else view.text + _reshaped(alone, sizes)
        text += _transposed([view.order.index(name) for name in flat])
        return text if all(len(g) == 1 for g in wanted) else text + _reshaped(wanted, sizes)
    text = view.text if axes == runs else view.text + _reshaped(runs, sizes)
    return text + _transposed([runs.index(list(group)) for group in wanted])


def _runs(order: Sequence[str], wanted: Groups) -> list[list[str]] | None:
    """Return the wanted axes in the order in which they are; None if their indices are apart."""
    found: list[list[str]] = []
    rest = list(order)
    while rest:
        group = next((list(g) for g in wanted if list(g) == rest[: len(g)]), None)
        if group is None:
            return None
        found.append(group)
        rest = rest[len(group) :]
    return found


def _reshaped(groups: Groups, sizes: Sizes) -> str:
    return f".reshape({arguments_text([product([sizes[n] for n in group]) for group in groups])})"


def _transposed(order: Sequence[int]) -> str:
    """Write a transposition, in the shortest way."""
    rank = len(order)
    if list(order) == list(range(rank)):
        return ""
    if rank == 2:
        return ".T"
    moved = [at_ for at_ in range(rank) if order[at_] != at_]
    if len(moved) == 2:
        first, second = moved if moved[0] < rank - 2 else (-2, -1)
        return f".swapaxes({first}, {second})"
    return f".transpose({', '.join(map(str, order))})"


def _new_axes(present: Sequence[bool]) -> str:
    """Write new axes behind the first one that is there; those before it are not needed."""
    if True not in present:
        return ""
    behind = present[present.index(True) :]
    if all(behind):
        return ""
    return f"[{', '.join(_without_end([':' if here else 'None' for here in behind]))}]"


def _without_end(parts: list[str]) -> list[str]:
    while parts and parts[-1] == ":":
        parts.pop()
    return parts


def are_apart(access: Access, sizes: Sizes) -> bool:
    """Whether each index moves past all that smaller ones reach: no element is addressed twice."""
    shape = [s for s in access.tensor.shape if not isinstance(s, int)]
    letters = {
        x for size in (*shape, *sizes.values()) if not isinstance(size, int) for x in size.variables
    }
    return all(
        _apart(access, sizes, dict.fromkeys(letters, n)) for n in ((1, MANY) if letters else (1,))
    )


def _apart(access: Access, sizes: Sizes, letters: Mapping[str, int]) -> bool:
    """Whether no element is addressed twice, where letters have these values."""
    address = access.address.substitute(letters)
    numbers = {name: int(at(size, letters)) for name, size in sizes.items()}
    moves = ((abs(int(address.coefficient(n))), size) for n, size in numbers.items() if size != 1)
    reach = 0
    for step, size in sorted(move for move in moves if move[0]):
        if step <= reach:
            return False
        reach += step * (size - 1)
    return True


def strided_parts(access: Access, sizes: Sizes, order: Sequence[str]) -> tuple[str, str, str]:
    """Write a view along indices: its first element, how far each index moves, and its shape."""
    first = [at(s.substitute(dict.fromkeys(order, 0)), {}) for s in access.subscripts]
    steps = [
        tuple_text([int(subscript_.coefficient(name)) for subscript_ in access.subscripts])
        for name in order
    ]
    along = f"({steps[0]},)" if len(steps) == 1 else f"({', '.join(steps)})"
    return tuple_text(first), along, tuple_text([sizes[name] for name in order])
