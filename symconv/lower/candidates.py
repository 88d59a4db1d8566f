"""Which algorithms compute a correlation at these sizes, fastest first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import prod

from symconv.errors import NotRecognisedError
from symconv.lower.algorithms import Algorithm, Candidate
from symconv.lower.columns import Columns
from symconv.lower.direct import Direct
from symconv.lower.fourier import Fourier
from symconv.lower.joined import Joined
from symconv.lower.joined_filters import JoinedFilters
from symconv.lower.joined_phases import JoinedPhases
from symconv.lower.joined_taps import JoinedTaps
from symconv.lower.joined_winograd import JoinedWinograd
from symconv.lower.options import Options
from symconv.lower.phases import Phases
from symconv.lower.planes import Planes
from symconv.lower.pointwise import Pointwise
from symconv.lower.rounding import integer_growth
from symconv.lower.rows import Rows
from symconv.lower.runs import (
    LANES,
    MOST_GROUPS,
    block_of,
    layout_of,
    taps_by_phase,
    vectors_of,
)
from symconv.lower.scatter import Scatter
from symconv.lower.shift import Shift
from symconv.lower.table import Table
from symconv.lower.winograd import Winograd
from symconv.notation.contraction import Contraction
from symconv.notation.cook_toom import CELLS, cook_toom, outputs_by_taps
from symconv.notation.correlation import Correlation, phase_count, polyphase, recognise

LARGEST_TABLE = 256  # entries: a table is a constant that is printed
LONGEST_ROW = 18  # entries of one of its rows: it is a line
LARGEST_GROWTH = 1 << 50  # of integers in a Winograd algorithm, for float64 to hold them
MOST_PHASES = 64  # phases that are looped over, their tables printed
LEAST_TAPS = 8  # along an axis, for transforms to be worth a thought
LEAST_BAND = 8  # rows of a band, for its halo not to be most of it
SMALL = 10**6  # multiplications of a product that OpenBLAS computes without copying its matrices
LEAST_PRODUCTS = 1 << 10  # of an image, for sums in registers to pay for the copies
BLOCK = 1 << 18  # numbers of scratch that a block of images may need


def rank_candidates(
    contraction: Contraction, names: Mapping[str, str], options: Options
) -> tuple[Candidate, ...]:
    """Return every algorithm that computes a contraction, fastest first.

    With accuracy ``"fast"``, also those that round more than a plain sum.

    Raises
    ------
    NotRecognisedError
        If it is no correlation of whole tensors.
    """
    whole = recognise(contraction)
    sizes = {a.tensor.name: a.tensor.sizes[2:] for a in (contraction.target, *contraction.reads)}
    if sizes[whole.taps] != tuple(a.taps for a in whole.axes):
        raise NotRecognisedError("not every tap is read")
    if sizes[whole.positions] != tuple(a.positions for a in whole.axes):
        raise NotRecognisedError("not every position has a window")
    if any((a.position_start, a.position_step) != (0, 1) for a in whole.axes):
        raise NotRecognisedError("positions are counted in another way")
    if any((a.tap_start, a.tap_step) not in ((0, 1), (a.taps - 1, -1)) for a in whole.axes):
        raise NotRecognisedError("taps are counted in another way")
    if whole.result == "taps" and whole.taps_transposed:
        raise NotRecognisedError("taps are computed filter by filter")
    correlation = _named(whole, names)
    chosen_for = replace(correlation, batch=options.batch or correlation.batch)
    fast = options.accuracy == "fast"
    applicable = (_in_loops if options.compiled else _applicable)(chosen_for, fast)
    found = [Candidate(algorithm, options.cost(algorithm.lower())) for algorithm in applicable]
    ranked = sorted(found, key=lambda candidate: candidate.microseconds)
    return tuple(replace(c, algorithm=_for_batch(c.algorithm, correlation.batch)) for c in ranked)


def _for_batch(algorithm: Algorithm, batch: int) -> Algorithm:
    """Return an algorithm for another number of samples, in the same blocks."""
    return replace(algorithm, correlation=replace(algorithm.correlation, batch=batch))


def _in_loops(c: Correlation, fast: bool) -> Iterable[Algorithm]:
    """Algorithms for a language with fast loops: sums in registers where they are long."""
    if c.result == "cells" and any(axis.stride > 1 for axis in c.axes):
        axes = tuple(map(polyphase, c.axes))
        count = prod(map(len, axes))
        if not 0 < count <= MOST_GROUPS:
            yield Scatter(c, 1)
            return
        covered = all(
            sum(p.positions for p in phases) == a.cells for phases, a in zip(axes, c.axes, strict=True)
        )
        yield JoinedPhases(c, axes, covered, 1)
        return
    if c.result == "cells":
        c = _solved(c)
    groups = prod(len(taps_by_phase(axis)) for axis in c.axes)
    products = c.filters * c.channels * prod(axis.taps * axis.positions for axis in c.axes)
    if products < LEAST_PRODUCTS or groups > MOST_GROUPS:
        yield Direct(c)
        return
    if c.result == "positions":
        yield Joined(c, _images(c), block_of(c.filters))
        yield JoinedFilters(c)
    else:
        yield JoinedTaps(c, _images(c))
    if fast and len(c.axes) == 2:
        for plain in _winograd(c):
            for images in {1, _images(c)}:
                yield JoinedWinograd(c, plain.filtering, images)


def _images(c: Correlation) -> int:
    """Return how many images are computed together: the number with the shortest run for each."""
    multiple = LANES * vectors_of(block_of(c.filters))
    positions = [axis.positions for axis in c.axes]

    def length(images: int) -> float:
        return layout_of(c, images).run(positions, multiple) / images

    numbers = c.channels * prod(axis.span for axis in c.axes)
    sizes = [size for size in range(1, c.batch + 1) if c.batch % size == 0]
    return min((size for size in sizes if size == 1 or size * numbers <= BLOCK), key=length)


def _applicable(c: Correlation, fast: bool) -> Iterable[Algorithm]:
    if c.result == "cells":
        yield from _solved_algorithms(c, fast)
        return
    if fast:
        yield from _winograd(c)
        yield from _fourier(c)
    taps, positions = prod(a.taps for a in c.axes), prod(a.positions for a in c.axes)
    channels = c.groups * c.channels
    spans = prod(a.span for a in c.axes)
    if all(a.taps == a.stride == 1 and a.inside and a.cells == a.positions for a in c.axes):
        yield Pointwise(c, _block(c.batch, channels * positions))
    if channels * taps * positions <= LARGEST_TABLE and positions <= LONGEST_ROW:
        yield Table(c)
    yield Columns(c, _block(c.batch, channels * (taps * positions + spans)))
    if len(c.axes) > 1 and c.axes[0].stride == 1:
        first, *inner = c.axes
        row = channels * prod(a.taps * a.positions for a in inner)
        images = _block(c.batch, first.span * row + channels * spans)
        products = c.filters * c.channels * prod(a.taps * a.positions for a in inner)
        yield Rows(c, images, _band(c, row, products) if images == 1 else first.positions)
    yield from _planes(c)
    if c.groups == c.channels == c.filters == len(c.axes) == c.axes[0].stride == 1:
        images = _block(c.batch, (spans + positions) * 4)
        yield Shift(c, images, _block(positions, 4) if images == 1 else positions)


def _planes(c: Correlation) -> Iterable[Algorithm]:
    """Visit flattened planes, as many at a time as stay in the cache, where a group has one channel."""
    if c.result != "positions" or c.groups == 1 or not c.channels == c.filters == 1:
        return
    if all(a.stride == 1 for a in c.axes):
        yield Planes(c, _block(c.groups, 3 * prod(a.span for a in c.axes)))


def _winograd(c: Correlation) -> Iterable[Winograd]:
    """Winograd's algorithms for strides of 1, as long as integers can be checked with exact sums."""
    if any(a.stride > 1 or a.dilation > 1 for a in c.axes):
        return
    for cells in CELLS:
        along = outputs_by_taps(cells)
        if all(a.taps in along and along[a.taps] <= a.positions for a in c.axes):
            found = Winograd(c, tuple(cook_toom(along[a.taps], a.taps) for a in c.axes))
            if integer_growth(found) <= LARGEST_GROWTH:
                yield found


def _fourier(c: Correlation) -> Iterable[Algorithm]:
    """Visit transforms of whole images, and of blocks of long signals, where taps are many.

    (Blocks of images lost to one or the other on all shapes that were measured.)
    """
    if any(a.stride > 1 or a.dilation > 1 for a in c.axes) or max(a.taps for a in c.axes) < LEAST_TAPS:
        return
    whole = tuple(_smooth(a.positions + a.taps - 1) for a in c.axes)
    yield Fourier(c, whole)
    block = _smooth(8 * c.axes[0].taps)
    if len(c.axes) == 1 and block < whole[0]:
        yield Fourier(c, (block,))


def _smooth(least: int) -> int:
    """Return the least even number from some on that has no prime factor above 5."""
    number = least + least % 2
    while True:
        rest = number
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return number
        number += 2


def _solved_algorithms(c: Correlation, fast: bool) -> Iterable[Algorithm]:
    """Algorithms for the cells: those of the plain correlation if there is one phase, else phases."""
    phases = math.prod(map(phase_count, c.axes))
    if phases <= MOST_PHASES:
        yield from _by_phases(c, fast)
    taps = prod(a.taps for a in c.axes)
    positions = prod(a.positions for a in c.axes)
    yield Scatter(c, _block(c.batch, c.groups * c.channels * taps * positions))


def _solved(c: Correlation) -> Correlation:
    """Return the correlation that gives the cells, where each axis has one phase."""
    return Correlation(
        cells=c.positions,
        taps=c.taps,
        positions=c.cells,
        result="positions",
        batch=c.batch,
        groups=c.groups,
        channels=c.filters,
        filters=c.channels,
        taps_transposed=not c.taps_transposed,
        solved=True,
        axes=tuple(polyphase(axis)[0] for axis in c.axes),
    )


def _by_phases(c: Correlation, fast: bool) -> Iterable[Algorithm]:
    axes = tuple(map(polyphase, c.axes))
    positions = prod(a.positions for a in c.axes)
    if all(a.stride == 1 for a in c.axes):
        yield from _applicable(_solved(c), fast)
        return
    covered = all(
        sum(p.positions for p in phases) == a.cells for phases, a in zip(axes, c.axes, strict=True)
    )
    taps = prod(max((p.taps for p in phases), default=0) for phases in axes)
    each = prod(max((p.positions for p in phases), default=0) for phases in axes)
    images = _block(c.batch, c.groups * c.filters * (taps * each + positions))
    yield Phases(c, axes, covered, images)


def _band(c: Correlation, numbers: int, products: int) -> int:
    """Return how many positions a band has, each row of which needs so much scratch and products.

    The most whose copies fit the memory; of these the most whose products OpenBLAS does not pack, and
    that make up the axis, if those are not far fewer.
    """
    axis = c.axes[0]
    around = axis.span - axis.positions
    most = max(LEAST_BAND, _memory(c) // numbers - around)
    if SMALL // products >= LEAST_BAND:
        most = min(most, SMALL // products)
    if most >= axis.positions:
        return axis.positions
    return max((n for n in range(most // 2, most + 1) if axis.positions % n == 0), default=most)


def _memory(c: Correlation) -> int:
    """Return to how many numbers an image's windows may be copied: 1 MB, or more where that is little.

    Most of what a call takes and returns, less what a padded image needs.
    """
    cells, positions = prod(a.cells for a in c.axes), prod(a.positions for a in c.axes)
    whole = c.batch * c.groups * (c.channels * cells + c.filters * positions)
    return max(BLOCK, (whole - c.groups * c.channels * prod(a.span for a in c.axes)) * 3 // 4)


def _block(count: int, numbers: int) -> int:
    """Return the largest divisor of a count whose scratch stays in the cache; at least 1."""
    small = [size for size in range(1, math.isqrt(count) + 1) if count % size == 0]
    fitting = (s for s in (*small, *(count // s for s in small)) if s * numbers <= BLOCK)
    return max(fitting, default=1)


def _named(c: Correlation, names: Mapping[str, str]) -> Correlation:
    return replace(c, cells=names[c.cells], taps=names[c.taps], positions=names[c.positions])
