"""The one cost model: microseconds that an algorithm is expected to take, on one core in float32.

The rates were measured with NumPy on a server core; only their ratios matter for a choice.
"""

from __future__ import annotations

import math
from dataclasses import replace
from math import prod

from symconv.lower.algorithms import Algorithm
from symconv.lower.columns import Columns
from symconv.lower.fourier import Fourier
from symconv.lower.phases import Phases
from symconv.lower.planes import Planes
from symconv.lower.pointwise import Pointwise
from symconv.lower.rows import Rows
from symconv.lower.scatter import Scatter
from symconv.lower.shift import Shift
from symconv.lower.table import Table
from symconv.lower.winograd import Winograd
from symconv.notation.correlation import Axis, Correlation

CALL = 1.0  # µs for one NumPy call on small arrays
BATCHED = 0.15  # µs for one product more in a call for many
CELL = 2.5e-4  # µs to copy, add or multiply one number in cache
FAR = 1.3  # times slower when the numbers do not fit the cache
RUN = 4e-3  # µs for each contiguous run of a strided copy
TAKE = 1.5e-3  # µs to look up one number through a table
FLOP = 1.1e-5  # µs for one multiplication and addition in a large matrix product
NARROW = 6.0  # a large product with this many rows or columns runs at half speed, a small one with half
VECTOR = 6e-5  # µs for one multiplication and addition of a vector with a large matrix
SMALL = 10**6  # multiplications of a product that OpenBLAS computes without copying its matrices
PACK = 3e-4  # µs to copy one number of a larger product's matrices
TURNED = 1.4  # times slower when a product's second matrix is a transposed view
DOT = 2e-4  # µs for one multiplication and addition of a strided inner product
STRIDED = 8e-4  # µs to copy one number of a row that is read with a stride
TRANSFORM = 3e-5  # µs for one multiplication and addition with a small matrix of numbers
FOURIER = 3.2e-4  # µs for one number of a transform, for each doubling of its length
SPECTRUM = 1.8e-3  # µs for one multiplication and addition of complex numbers
CACHE = 1 << 18  # numbers that stay in the cache between two passes


def microseconds(algorithm: Algorithm) -> float:
    """Return the expected time of one call."""
    c = algorithm.correlation
    match algorithm:
        case Table():
            looked_up = c.batch * c.groups * c.channels * prod(a.taps * a.positions for a in c.axes)
            return 3 * CALL + TAKE * looked_up + _product(c, c.axes)
        case Pointwise():
            blocks = c.batch // algorithm.images if c.result == "taps" else 1
            return blocks * CALL + _product(c, c.axes)
        case Columns():
            return _blocks(c, algorithm.images) * _columns(c, algorithm.images, c.axes)
        case Rows():
            bands = c.axes[0].positions / algorithm.rows
            whole = _pad(c, algorithm.images, c.axes)
            cut = replace(c, axes=(replace(c.axes[0], positions=algorithm.rows), *c.axes[1:]))
            return _blocks(c, algorithm.images) * (whole + bands * _rows(cut, algorithm.images))
        case Shift():
            (axis,) = c.axes
            bands = axis.positions // algorithm.rows
            band = replace(axis, positions=algorithm.rows)
            padded = _pad(c, algorithm.images, c.axes)
            return _blocks(c, algorithm.images) * (padded + bands * _shifts(c, algorithm.images, band))
        case Planes():
            return _planes(algorithm)
        case Phases():
            return _phases(algorithm)
        case Scatter():
            return _blocks(c, algorithm.images) * _scatter(c, algorithm.images)
        case Winograd():
            return c.batch * _winograd(algorithm)
        case Fourier():
            return c.batch * _fourier(algorithm)


def _blocks(c: Correlation, images: int) -> int:
    return c.batch // images


def _product(c: Correlation, axes: tuple[Axis, ...]) -> float:
    """Time of the matrix products over all images, which are slow when narrow."""
    taps, positions = prod(a.taps for a in axes), prod(a.positions for a in axes)
    m, k, n = c.filters, c.channels * taps, positions
    large = m * k * n > SMALL
    if large and m == 1:  # a vector times a matrix, which is read once
        return c.batch * c.groups * k * n * VECTOR
    narrow = NARROW if large else NARROW / 2
    slower = (1 + narrow / m) * (1 + narrow / k) * (1 + narrow / n)
    if c.result == "taps":
        slower *= TURNED
    read = (m + k) * n if c.result == "taps" else k * (m + n)
    packed = read * PACK if large else 0.0
    return c.batch * c.groups * (BATCHED + m * k * n * FLOP * slower + packed)


def _pass(cells: int, runs: int) -> float:
    """Time to copy or add numbers once."""
    return CALL + cells * CELL * (FAR if cells > CACHE else 1) + runs * RUN


def _pad(c: Correlation, images: int, axes: tuple[Axis, ...]) -> float:
    if all(axis.inside for axis in axes):
        return 0.0
    cells = images * c.groups * c.channels * prod(a.cells for a in axes)
    return _pass(cells, cells // axes[-1].cells)


def _columns(c: Correlation, images: int, axes: tuple[Axis, ...]) -> float:
    taps = prod(a.taps for a in axes)
    cells = images * c.groups * c.channels * prod(a.positions for a in axes)
    copied = taps * _pass(cells, cells // axes[-1].positions)
    far = FAR if cells * taps > CACHE else 1.0
    return _pad(c, images, axes) + far * copied + _product(c, axes) * images / c.batch


def _rows(c: Correlation, images: int) -> float:
    first, *inner = c.axes
    shifts = prod(a.taps for a in inner)
    cells = images * c.groups * c.channels * first.span * prod(a.positions for a in inner)
    copied = shifts * _pass(cells, cells // inner[-1].positions)
    far = FAR if cells * shifts > CACHE else 1.0
    results = images * c.groups * c.filters * prod(a.positions for a in c.axes)
    if c.result == "taps":
        results = c.groups * c.filters * c.channels * shifts
    added = first.taps * (CALL + _pass(results, 1))
    product = first.taps * _product(c, (replace(first, taps=1), *inner)) * images / c.batch
    return far * copied + added + product


def _shifts(c: Correlation, images: int, axis: Axis) -> float:
    cells = images * axis.positions
    if c.result == "taps":
        return axis.taps * (3 * CALL + cells * DOT + images * RUN)
    return axis.taps * (CALL + 1.2 * _pass(cells, images))


def _planes(algorithm: Planes) -> float:
    """Time of all planes: a copy in, a multiplication and an addition for each tap, and a copy out."""
    c = algorithm.correlation
    cells = algorithm.planes * prod(a.span for a in c.axes)
    taps = prod(a.taps for a in c.axes)
    blocks = c.batch * c.groups / algorithm.planes
    return blocks * (2 * _pass(cells, cells // c.axes[-1].span) + (2 * taps + 1) * _pass(cells, 1))


def _phases(algorithm: Phases) -> float:
    """Time of all phases, taken as many times an average one."""
    c = algorithm.correlation
    count = prod(map(len, algorithm.axes))
    if not count:
        return CALL
    phase = tuple(
        Axis(
            cells=axes[0].cells,
            taps=-(-sum(a.taps for a in axes) // len(axes)),
            positions=-(-sum(a.positions for a in axes) // len(axes)),
            stride=1,
            dilation=axes[0].dilation,
            offset=0,
        )
        for axes in algorithm.axes
    )
    swapped = Correlation(
        c.positions,
        c.taps,
        c.cells,
        "positions",
        c.batch,
        c.groups,
        c.filters,
        c.channels,
        not c.taps_transposed,
        phase,
    )
    blocks = _blocks(c, algorithm.images)
    once = _columns(swapped, algorithm.images, phase)
    written = algorithm.images * c.groups * c.channels * prod(a.positions for a in phase)
    strided = _pass(written, written // phase[-1].positions) + 2e-4 * written
    return blocks * count * (once + strided + 8 * CALL)


def _scatter(c: Correlation, images: int) -> float:
    taps = prod(a.taps for a in c.axes)
    cells = images * c.groups * c.channels * prod(a.positions for a in c.axes)
    far = FAR if cells * taps > CACHE else 1.0
    strided = 4 * CELL * cells if c.axes[-1].stride > 1 else 0.0
    added = taps * (
        2.2 * far * _pass(cells, cells // c.axes[-1].positions) + strided
    )  # read, add, write
    whole = images * c.groups * c.channels * prod(a.cells for a in c.axes)
    return added + 3 * _pass(whole, whole // c.axes[-1].cells) + _product(c, c.axes) * images / c.batch


def _winograd(algorithm: Winograd) -> float:
    """Time of one image: tiles cut out and transformed axis by axis, multiplied, transformed back."""
    c = algorithm.correlation
    tiles, products = prod(algorithm.tiles), prod(f.cells for f in algorithm.filtering)
    planes = c.groups * (c.channels + c.filters) * tiles
    outputs = prod(f.outputs for f in algorithm.filtering)
    cut = c.groups * c.channels * tiles * products
    written = c.groups * c.filters * tiles * outputs
    moved = _pass(cut, 1) + STRIDED * (cut + written)
    transforms = planes * products * sum(f.cells for f in algorithm.filtering) * TRANSFORM
    m, k, n = (c.filters, tiles, c.channels) if c.result == "taps" else (c.filters, c.channels, tiles)
    slower = (1 + NARROW / m) * (1 + NARROW / k) * (1 + NARROW / n)
    multiplied = products * c.groups * (BATCHED + m * k * n * FLOP * slower)
    calls = 4 * sum(f.cells for f in algorithm.filtering) * CALL
    taps = c.groups * c.filters * c.channels * products * 4 * CELL / c.batch
    return _pad(c, 1, c.axes) + moved + transforms + multiplied + calls + taps


def _fourier(algorithm: Fourier) -> float:
    """Time of one image: blocks transformed, multiplied, transformed back; the taps shared by all."""
    c = algorithm.correlation
    size = prod(algorithm.lengths)
    cells = prod(algorithm.blocks) * size
    once = size * math.log2(size) * FOURIER * c.groups * c.filters * c.channels / c.batch
    transforms = cells * math.log2(size) * FOURIER * c.groups * (c.channels + c.filters)
    multiplied = c.groups * c.filters * c.channels * cells / 2 * SPECTRUM
    copied = 3 * CELL * cells * c.groups * (c.channels + c.filters)
    slower = (1.5 if c.result == "taps" else 1.0) * (2.0 if size > CACHE else 1.0)
    return _pad(c, 1, c.axes) + 12 * CALL + slower * (once + transforms + multiplied + copied)
