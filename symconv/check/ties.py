"""Ties of maxima: whoever gets the gradient, it is counted once.

The upstream gradient is zero except at windows that share no element. What comes back to the maxima
of such a window must therefore add up to what went in, and every other element must get zero.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.layers.layer import Layer
from symconv.notation.contraction import Program
from symconv.notation.graph import Graph
from symconv.notation.monomials import monomials

Array = NDArray[Any]

SMALL = 4  # elements of a window of which every subset is tried
RANDOM = 24  # subsets of a larger window
MOST = 64  # windows of one probe, and probes
LEVELS = (-2.0, 0.0, 3.0)  # of the maxima; other elements are lower
LOWER = 5.0


@dataclass(frozen=True)
class Tie:
    """Numbers with ties, and an upstream gradient that meets windows without a common element.

    ``name`` is the input whose elements are tied, ``symbol`` its tensor; ``values`` are the numbers of
    all tensors. ``windows`` are pairs of the tied elements of a window, and of the upstream gradient
    there.
    """

    name: str
    symbol: str
    values: dict[str, Array]
    cotangent: Array
    windows: tuple[tuple[NDArray[np.int64], float], ...]

    def fault(self, received: Array) -> tuple[str, bool] | None:
        """Say what is wrong with a gradient, and whether each maximum got all; None if nothing is."""
        flat = received.astype(float).ravel()
        tolerance = 1e-4 * float(np.abs(self.cotangent).max())
        inside = np.zeros(flat.size, bool)
        for cells, g in self.windows:
            inside[cells] = True
            shares = flat[cells] / g
            wrong = abs(shares.sum() - 1) > 1e-4 or (shares < -1e-4).any()
            if wrong or not np.isfinite(shares).all():
                full = bool(np.allclose(shares, 1)) and len(cells) > 1
                shown = ", ".join(f"{number:g}" for number in flat[cells])
                text = f"{len(cells)} tied maxima of a window get {shown}; together they must get {g:g}"
                return text, full
        outside = np.abs(np.where(inside, 0, flat))
        if not (outside <= tolerance).all():
            at = int(np.argmax(outside))
            place = ", ".join(map(str, np.unravel_index(at, received.shape)))
            return f"∂E/∂{self.symbol}[{place}] = {flat[at]:g}, expected 0: it is not a maximum", False
        return None

    def credited_in_full(self) -> Array:
        """Return the gradient that gives each tied maximum all."""
        gx = np.zeros(self.values[self.symbol].size)
        for cells, g in self.windows:
            gx[cells] = g
        return gx.reshape(self.values[self.symbol].shape)


def ties(case: Layer, name: str) -> Iterator[Tie]:
    """Visit inputs with ties in every subset of small windows, in random ones of larger windows.

    Parameters
    ----------
    case
        A layer that is one maximum; there is none to visit for another.
    name
        The input whose elements are tied; the others are 1, so that products are these elements.
    """
    windows = _windows(case, name)
    if not windows:
        return
    rng = np.random.default_rng(5)
    sizes = {len(cells) for _, cells in windows}
    left = {size: list(reversed(_subsets(size, rng))) for size in sizes}
    tensor = case.tensors[name]
    ones = {other.name: np.ones(other.sizes) for other in case.tensors.values()}
    for number in range(MOST):
        level = LEVELS[number % len(LEVELS)]
        x = level - LOWER - rng.permutation(int(np.prod(tensor.sizes))) / 64
        g = np.zeros(case.output_shape)
        tied = []
        for position, cells in _disjoint(windows, left, rng):
            subset = cells[left[len(cells)].pop() if left[len(cells)] else np.arange(len(cells))]
            x[subset] = level
            upstream = float(rng.integers(2, 8) * rng.choice([-1, 1]))
            g.ravel()[position] = upstream
            tied.append((subset, upstream))
        values = {**ones, tensor.name: x.reshape(tensor.sizes), case.cotangent.name: g}
        yield Tie(name, tensor.name, values, g, tuple(tied))
        if number >= len(LEVELS) and not any(left.values()):
            return


def _windows(case: Layer, name: str) -> list[tuple[int, NDArray[np.int64]]]:
    """Return the elements of an input that each output is a maximum of."""
    programs = [step for step in case.graph.steps if isinstance(step, Program)]
    maxima = [c for program in programs for c in program.contractions if c.reduce == "max"]
    if len(maxima) != 1 or len(case.graph.steps) > 1:
        return []
    (maximum,) = maxima
    own = tuple(read for read in maximum.reads if read.tensor == case.tensors[name])
    if len(own) != 1 or len(maximum.reads) != len(maximum.factors) or maximum.coefficient != 1:
        return []
    table = monomials(Graph((Program((replace(maximum, reduce="sum"),)),)))
    column = 1 + sorted(read.tensor.name for read in maximum.reads).index(case.tensors[name].name)
    starts = np.flatnonzero(np.diff(table[:, 0], prepend=-1))
    windows = np.split(table, starts[1:])
    return [(int(rows[0, 0]), np.unique(rows[:, column])) for rows in windows]


def _disjoint(
    windows: list[tuple[int, NDArray[np.int64]]],
    left: Mapping[int, list[NDArray[np.int64]]],
    rng: np.random.Generator,
) -> list[tuple[int, NDArray[np.int64]]]:
    """Return windows that share no element, first those with subsets that are not yet tried."""
    taken: set[int] = set()
    found = []
    order = sorted(rng.permutation(len(windows)), key=lambda at: not left[len(windows[at][1])])
    for at in order:
        position, cells = windows[at]
        if taken.isdisjoint(cells.tolist()):
            taken |= set(cells.tolist())
            found.append((position, cells))
        if len(found) == MOST:
            break
    return found


def _subsets(size: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Return sets of places in a window: every one of a small window, random ones of a larger one."""
    if size <= SMALL:
        every = (itertools.combinations(range(size), count) for count in range(1, size + 1))
        return [np.array(places) for places in itertools.chain(*every)]
    counts = rng.integers(2, size, RANDOM, endpoint=True)
    drawn = [np.sort(rng.choice(size, int(count), replace=False)) for count in counts]
    return [np.arange(size), *drawn]
