"""Any sum of products, or maximum of them: tensors seen along the sum's indices, without a copy."""

from __future__ import annotations

import string
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction

from symconv.errors import NotRecognisedError
from symconv.notation.contraction import Access, Contraction
from symconv.plan.algorithms import Contract, Strided


def contract(contraction: Contraction, names: Mapping[str, str], adds: bool) -> Contract:
    """Return the stage that computes a contraction of affine reads and an affine write.

    Raises
    ------
    NotRecognisedError
        If it has a factor that is no tensor, or more indices than there are letters.
    """
    if len(contraction.reads) < len(contraction.factors):
        raise NotRecognisedError("a factor is no tensor")
    looped = _looped(contraction)
    letters = _letters(contraction, set(looped) & set(names.values()))
    return Contract(
        sources=tuple(_strided(read, names, letters, contraction) for read in contraction.reads),
        target=_strided(contraction.target, names, letters, contraction),
        looped="".join(letters[name] for name in looped),
        coefficient=Fraction(contraction.coefficient),
        reduce=contraction.reduce,
        adds=adds,
    )


def _letters(contraction: Contraction, taken: Collection[str]) -> dict[str, str]:
    """Return a letter for each index: its name, if that is one and not taken by an array."""
    names = [name for name, _ in contraction.extents]
    own = [name for name in names if name in string.ascii_letters and name not in taken]
    free = [letter for letter in string.ascii_uppercase + string.ascii_lowercase if letter not in names]
    if len(names) - len(own) > len(free):
        raise NotRecognisedError("more indices than letters")
    return {name: name if name in own else free.pop(0) for name in names}


def _looped(contraction: Contraction) -> list[str]:
    """Return the indices to loop over, so that no two points left write to the same cell.

    Of those that a subscript of the target adds up, all but the longest.
    """
    looped: list[str] = []
    for subscript in contraction.target.subscripts:
        left = [name for name in subscript.variables if name not in looped]
        looped += sorted(left, key=lambda name: contraction.ranges[name])[:-1]
    return looped


def _strided(
    access: Access, names: Mapping[str, str], letters: Mapping[str, str], contraction: Contraction
) -> Strided:
    """Return how a tensor is seen along the indices that it is addressed by, in their order."""
    used = dict.fromkeys(name for s in access.subscripts for name in s.variables)
    ranges = {name: contraction.ranges[name] for name in used}
    pads, first = [], []
    for subscript, size in zip(access.subscripts, access.tensor.sizes, strict=True):
        reach = [int(subscript.coefficient(name)) * (ranges[name] - 1) for name in subscript.variables]
        start = int(subscript.constant)
        low, high = start + sum(r for r in reach if r < 0), start + sum(r for r in reach if r > 0)
        before = max(0, -low)
        pads.append((before, max(0, high - size + 1)))
        first.append(start + before)
    return Strided(
        array=names[access.tensor.name],
        sizes=access.tensor.sizes,
        pads=tuple(pads),
        letters="".join(letters[name] for name in used),
        shape=tuple(ranges.values()),
        first=tuple(first),
        steps=tuple(_steps(access, name) for name in used),
    )


def _steps(access: Access, name: str) -> tuple[int, ...]:
    """Return how far along each axis an index moves."""
    return tuple(int(s.coefficient(name)) if name in s.variables else 0 for s in access.subscripts)


def spread_axes(access: Access, box: Sequence[str]) -> tuple[int, ...]:
    """Return which indices of a box address a whole tensor, axis by axis.

    Raises
    ------
    NotRecognisedError
        If it is addressed in another way.
    """
    found = []
    for subscript in access.subscripts:
        if len(subscript.variables) != 1 or str(subscript) != subscript.variables[0]:
            raise NotRecognisedError(f"no whole axis: {subscript}")
        found.append(box.index(subscript.variables[0]))
    if found != sorted(found):
        raise NotRecognisedError("axes in another order")
    return tuple(found)
