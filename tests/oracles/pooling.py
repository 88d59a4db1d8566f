"""Pooling and its gradient in plain loops over raw arguments, independent of symconv."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Cell = tuple[int, ...]


def pooled_sizes(
    sizes: Cell,
    kernel: Cell,
    stride: Cell,
    dilation: Cell,
    pads: list[tuple[int, int]],
    ceil_mode: bool,
) -> Cell:
    """Count the windows along each axis by sliding one."""
    counts = []
    for h, k, s, d, (lo, hi) in zip(sizes, kernel, stride, dilation, pads, strict=True):
        start, count = -lo, 0
        while start + d * (k - 1) < h + hi:
            start, count = start + s, count + 1
        left_over = count == 0 or start - s + d * (k - 1) < h + hi - 1
        if ceil_mode and left_over and start < h:  # not one that begins in the padding at the end
            count += 1
        counts.append(count)
    return tuple(counts)


def windows(
    shape: Cell, outputs: Cell, kernel: Cell, stride: Cell, dilation: Cell, pads: list[tuple[int, int]]
) -> Iterator[tuple[Cell, list[Cell], int]]:
    """Visit each output's cell: its window's cells in row-major order, and how many it has with pads."""
    for place in np.ndindex(*shape[:2], *outputs):
        cells, padded = [], 0
        for tap in np.ndindex(*kernel):
            along = zip(place[2:], stride, tap, dilation, pads, strict=True)
            cell = tuple(p * s + k * d - lo for p, s, k, d, (lo, _) in along)
            if all(0 <= u < h for u, h in zip(cell, shape[2:], strict=True)):
                cells.append((*place[:2], *cell))
            bounds = zip(cell, shape[2:], pads, strict=True)
            padded += all(-lo <= u < h + hi for u, h, (lo, hi) in bounds)
        yield place, cells, padded


def maxima(x: Array, outputs: Cell, cotangent: Array, *geometry: Any) -> tuple[Array, Array]:
    """Return the maximum of each window, and the gradient: to the first maximum."""
    output, gradient = np.zeros((*x.shape[:2], *outputs)), np.zeros(x.shape)
    for place, cells, _ in windows(x.shape, outputs, *geometry):
        best = cells[0]
        for cell in cells:
            if x[cell] > x[best]:
                best = cell
        output[place] = x[best]
        gradient[best] += cotangent[place]
    return output, gradient


def averages(
    x: Array, outputs: Cell, cotangent: Array, count_include_pad: bool, *geometry: Any
) -> tuple[Array, Array]:
    """Return the average of each window, and the gradient: a share to each cell."""
    output, gradient = np.zeros((*x.shape[:2], *outputs)), np.zeros(x.shape)
    for place, cells, padded in windows(x.shape, outputs, *geometry):
        divisor = padded if count_include_pad else len(cells)
        output[place] = sum(x[cell] for cell in cells) / divisor
        for cell in cells:
            gradient[cell] += cotangent[place] / divisor
    return output, gradient
