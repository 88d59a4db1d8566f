"""Correlations as ONNX's Conv and ConvTranspose: forward, and both gradients of a convolution.

The weight gradient is a correlation of the input with the upstream gradient, where stride and dilation
change places (theorem T1); the input gradient is the transposed convolution (T4′).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from symconv.errors import NotRecognisedError
from symconv.notation.contraction import Contraction
from symconv.notation.correlation import Axis, Correlation, recognise

if TYPE_CHECKING:
    from symconv.onnx.graph_nodes import Nodes


def write_correlation(c: Contraction, nodes: Nodes, known: Mapping[str, str]) -> str:
    """Return the result of a contraction that is a correlation; empty for any other."""
    try:
        found = recognise(c)
    except NotRecognisedError:
        return ""
    plain = all(
        (a.tap_start, a.tap_step, a.position_start, a.position_step) == (0, 1, 0, 1) for a in found.axes
    )
    if not plain or found.taps_transposed:
        return ""
    match found.result:
        case "positions":
            return _forward(found, nodes, known[found.cells], known[found.taps])
        case "taps":
            return _by_taps(found, nodes, known[found.cells], known[found.positions])
        case "cells":
            return _by_cells(found, nodes, known[found.positions], known[found.taps])


def _forward(c: Correlation, nodes: Nodes, cells: str, taps: str) -> str:
    return nodes.add("Conv", _padded(c.axes, nodes, cells), taps, group=c.groups, **_window(c))


def _padded(axes: Sequence[Axis], nodes: Nodes, cells: str) -> str:
    """Return the cells with as many before and behind as are read, or without those that are not."""
    behind = [a.span + a.offset - a.cells for a in axes]
    return _bordered(nodes, cells, [-a.offset for a in axes], behind)


def _bordered(nodes: Nodes, name: str, before: Sequence[int], behind: Sequence[int]) -> str:
    """Return a tensor with zeros before and behind along its last axes; negative numbers crop."""
    for cropped in (True, False):
        widths = [[w for w in side if (w < 0) == cropped] for side in (before, behind)]
        if not any(map(any, widths)):
            continue
        lo, hi = ([w if (w < 0) == cropped else 0 for w in side] for side in (before, behind))
        if cropped:
            starts = nodes.constant([-w for w in lo], "int64")
            ends = nodes.constant([w if w else 1 << 31 for w in hi], "int64")
            axes = nodes.constant(range(2, 2 + len(lo)), "int64")
            name = nodes.add("Slice", name, starts, ends, axes)
        else:
            name = nodes.add("Pad", name, nodes.constant([0, 0, *lo, 0, 0, *hi], "int64"))
    return name


def _by_taps(c: Correlation, nodes: Nodes, cells: str, positions: str) -> str:
    """Add the correlation of cells with positions, in which samples are summed over as channels."""
    axes = range(2, 2 + len(c.axes))
    sizes = [a.span for a in c.axes]
    read = _padded(c.axes, nodes, cells)
    if c.groups > 1:
        shape = [c.batch, c.groups, c.channels, *sizes]
        read = nodes.add("Reshape", read, nodes.constant(shape, "int64"))
        read = nodes.add("Transpose", read, perm=[2, 1, 0, *(axis + 1 for axis in axes)])
        shape = [c.channels, c.groups * c.batch, *sizes]
        read = nodes.add("Reshape", read, nodes.constant(shape, "int64"))
    else:
        read = nodes.add("Transpose", read, perm=[1, 0, *axes])
    filters = nodes.add("Transpose", positions, perm=[1, 0, *axes])
    stride, dilation = [a.dilation for a in c.axes], [a.stride for a in c.axes]
    found = nodes.add("Conv", read, filters, group=c.groups, strides=stride, dilations=dilation)
    return nodes.add("Transpose", found, perm=[1, 0, *axes])


def _by_cells(c: Correlation, nodes: Nodes, positions: str, taps: str) -> str:
    """Add the transposed convolution, with the border that nothing reaches, without what is outside."""
    whole = nodes.add("ConvTranspose", positions, taps, group=c.groups, **_window(c))
    behind = [a.cells - a.offset - a.span for a in c.axes]
    return _bordered(nodes, whole, [a.offset for a in c.axes], behind)


def _window(c: Correlation) -> dict[str, Any]:
    return {"strides": [a.stride for a in c.axes], "dilations": [a.dilation for a in c.axes]}
