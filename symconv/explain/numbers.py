"""Numbers in worked examples: what is given, checked and drawn, and how it is written as matrices."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.derive.matrices import grid, matrix_latex
from symconv.errors import SymconvError
from symconv.notation.layout import beside
from symconv.notation.text import name_latex

LARGEST = 400  # numbers or terms of an example that one wants to see
DRAWN = (-3, 4)  # whole numbers that are drawn, the last one excluded

Given = Mapping[str, object] | int  # arrays by name, or a seed
Array = NDArray[np.float64]
Texts = NDArray[np.str_]


def named_arrays(given: Given, names: Collection[str]) -> tuple[dict[str, object], np.random.Generator]:
    """Return the arrays that are given by name, and what draws the others.

    Raises
    ------
    SymconvError
        If a name is not one of ``names``.
    """
    if isinstance(given, int):
        return {}, np.random.default_rng(given)
    for name in given:
        if name not in names:
            raise SymconvError(f"numbers: {name} is not one of {', '.join(names)}")
    return dict(given), np.random.default_rng(0)


def checked_array(name: str, value: object, sizes: Sequence[int]) -> Array:
    """Return an array of these sizes; axes of size 1 may be left out.

    Raises
    ------
    SymconvError
        If the value is not an array of numbers, or has another shape.
    """
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise SymconvError(f"numbers: {name} must be an array of numbers") from None
    same = [n for n in array.shape if n != 1] == [n for n in sizes if n != 1]
    if not same or not np.isfinite(array).all():
        shape = f"{tuple(sizes)}, of finite numbers"
        raise SymconvError(f"numbers: {name} must have shape {shape}; received {array.shape}")
    return array.reshape(tuple(sizes))


def written(array: NDArray[Any], write: Callable[[Any], str]) -> Texts:
    """Return the texts of an array's numbers."""
    return np.array([write(number) for number in array.ravel().tolist()], str).reshape(array.shape)


def matrices_text(name: str, texts: Texts) -> list[str]:
    """Write an array as matrices of its last two axes, in lines."""
    lines: list[str] = []
    for index, rows in _planes(texts):
        lines += beside(f"{name}{index} = ", grid(rows)).splitlines()
    return lines


def matrices_latex(name: str, texts: Texts) -> list[str]:
    """Write an array as matrices of its last two axes, as rows of an ``align`` environment."""
    return [f"{name_latex(name)}{index} &= {matrix_latex(rows)}" for index, rows in _planes(texts)]


def _planes(texts: Texts) -> list[tuple[str, list[list[str]]]]:
    """Return each plane's index, if there are several, and its rows."""
    shape = texts.shape if texts.ndim > 1 else (1, texts.size)
    array, outer = texts.reshape(shape), shape[:-2]
    several = math.prod(outer) > 1
    return [
        (f"[{', '.join(str(i + 1) for i in at)}]" if several else "", array[at].tolist())
        for at in np.ndindex(*outer)
    ]
