"""Convolutions and their gradients in plain loops over raw arguments, independent of symconv."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Cell = tuple[int, ...]


def padding_pairs(
    padding: Any, sizes: Cell, kernel: Cell, stride: Cell, dilation: Cell
) -> list[tuple[int, int]]:
    """Spell padding out as (before, after) along each axis."""
    pairs = []
    for axis, (h, k, s, d) in enumerate(zip(sizes, kernel, stride, dilation, strict=True)):
        if padding == "valid":
            pairs.append((0, 0))
        elif padding == "full":
            pairs.append((d * (k - 1), d * (k - 1)))
        elif padding in ("same", "same_lower"):
            outputs = (h + s - 1) // s
            total = max(0, (outputs - 1) * s + d * (k - 1) + 1 - h)
            less, more = total // 2, total - total // 2
            pairs.append((less, more) if padding == "same" else (more, less))
        elif isinstance(padding, int):
            pairs.append((padding, padding))
        elif isinstance(padding[axis], int):
            pairs.append((padding[axis], padding[axis]))
        else:
            pairs.append(tuple(padding[axis]))
    return pairs


def convolution_sizes(
    sizes: Cell, kernel: Cell, stride: Cell, dilation: Cell, pads: list[tuple[int, int]]
) -> Cell:
    """Count the windows along each axis by sliding one."""
    counts = []
    for h, k, s, d, (lo, hi) in zip(sizes, kernel, stride, dilation, pads, strict=True):
        count = 0
        while s * count + d * (k - 1) < lo + h + hi:
            count += 1
        counts.append(count)
    return tuple(counts)


def transposed_sizes(
    sizes: Cell,
    kernel: Cell,
    stride: Cell,
    dilation: Cell,
    pads: list[tuple[int, int]],
    added: Cell,
) -> Cell:
    """Return the sizes that PyTorch documents for ConvTranspose, with padding on either side."""
    return tuple(
        (h - 1) * s - lo - hi + d * (k - 1) + extra + 1
        for h, k, s, d, (lo, hi), extra in zip(sizes, kernel, stride, dilation, pads, added, strict=True)
    )


def source_cell(cell: int, size: int, mode: str) -> int | None:
    """Return which cell of an axis a padding mode shows at a cell outside; None for a zero."""
    if 0 <= cell < size:
        return cell
    if mode == "reflect":
        return -cell if cell < 0 else 2 * (size - 1) - cell
    if mode == "replicate":
        return 0 if cell < 0 else size - 1
    if mode == "circular":
        return cell % size
    return None


def convolution_terms(
    x_shape: Cell,
    w_shape: Cell,
    stride: Cell,
    dilation: Cell,
    pads: list[tuple[int, int]],
    groups: int,
    mode: str,
    flip: bool,
) -> Iterator[tuple[Cell, Cell, Cell]]:
    """Visit every product of the convolution: the cells of its input, filter and output."""
    batch, channels, *sizes = x_shape
    filters, _, *kernel = w_shape
    outputs = [
        (h + lo + hi - d * (k - 1) - 1) // s + 1
        for h, (lo, hi), k, s, d in zip(sizes, pads, kernel, stride, dilation, strict=True)
    ]
    for n, o in product(range(batch), range(filters)):
        block = o // (filters // groups)
        for c in range(channels // groups):
            for p in product(*map(range, outputs)):
                for k in product(*map(range, kernel)):
                    cell = [
                        source_cell(s * q + d * t - lo, h, mode)
                        for q, t, s, d, (lo, _), h in zip(
                            p, k, stride, dilation, pads, sizes, strict=True
                        )
                    ]
                    if None in cell:
                        continue
                    taps = tuple(m - 1 - t for m, t in zip(kernel, k, strict=True)) if flip else k
                    x_cell = (
                        n,
                        block * (channels // groups) + c,
                        *(i for i in cell if i is not None),
                    )
                    yield x_cell, (o, c, *taps), (n, o, *p)


def convolution(
    x: Array, w: Array, b: Array | None, y_shape: Cell, terms: list[tuple[Cell, Cell, Cell]]
) -> Array:
    """Return the convolution's output."""
    y = np.zeros(y_shape)
    for x_cell, w_cell, y_cell in terms:
        y[y_cell] += x[x_cell] * w[w_cell]
    return _biased(y, b)


def convolution_gradients(
    g: Array, x: Array, w: Array, terms: list[tuple[Cell, Cell, Cell]]
) -> tuple[Array, Array, Array]:
    """Return the gradients by input, filter and bias of Σ g·y."""
    gx, gw = np.zeros(x.shape), np.zeros(w.shape)
    for x_cell, w_cell, y_cell in terms:
        gx[x_cell] += g[y_cell] * w[w_cell]
        gw[w_cell] += g[y_cell] * x[x_cell]
    return gx, gw, _bias_gradient(g)


def transposed_terms(
    x_shape: Cell,
    w_shape: Cell,
    y_shape: Cell,
    stride: Cell,
    dilation: Cell,
    pads: list[tuple[int, int]],
    groups: int,
    flip: bool,
) -> Iterator[tuple[Cell, Cell, Cell]]:
    """Visit every product of the transposed convolution: the cells of its input, filter and output."""
    batch, channels, *sizes = x_shape
    _, filters, *kernel = w_shape
    for n, c in product(range(batch), range(channels)):
        block = c // (channels // groups)
        for o in range(filters):
            for p in product(*map(range, sizes)):
                for k in product(*map(range, kernel)):
                    cell = tuple(
                        s * q + d * t - lo
                        for q, t, s, d, (lo, _) in zip(p, k, stride, dilation, pads, strict=True)
                    )
                    if all(0 <= i < h for i, h in zip(cell, y_shape[2:], strict=True)):
                        taps = tuple(m - 1 - t for m, t in zip(kernel, k, strict=True))
                        yield (
                            (n, c, *p),
                            (c, o, *(taps if flip else k)),
                            (n, block * filters + o, *cell),
                        )


def _biased(y: Array, b: Array | None) -> Array:
    if b is not None:
        for cell in np.ndindex(y.shape):
            y[cell] += b[cell[1]]
    return y


def _bias_gradient(g: Array) -> Array:
    gb = np.zeros(g.shape[1])
    for cell in np.ndindex(g.shape):
        gb[cell[1]] += g[cell]
    return gb
