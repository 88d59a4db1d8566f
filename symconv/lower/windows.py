"""Windows of a tensor along positions and filter elements, recognised."""

from __future__ import annotations

from collections.abc import Mapping

from symconv.errors import NotRecognisedError
from symconv.notation.contraction import Access, Contraction, index
from symconv.notation.correlation import Axis
from symconv.notation.graph import Constant


def one_read(contraction: Contraction, constants: Mapping[str, Constant]) -> bool:
    """Whether a contraction reads one tensor, besides constants that divide it."""
    return len([r for r in contraction.reads if r.tensor.name not in constants]) == 1


def is_window(access: Access) -> bool:
    """Whether a tensor is addressed along a position and a tap."""
    return any(len(s.variables) > 1 for s in access.subscripts)


def is_pool(maximum: Contraction) -> bool:
    """Whether a maximum is that of each window of one tensor, each with a cell inside."""
    if len(maximum.factors) != 1 or maximum.coefficient != 1 or not is_window(maximum.reads[0]):
        return False
    try:
        axes = window_axes(maximum.reads[0], maximum.target, maximum.ranges)
    except NotRecognisedError:
        return False
    return all(axis.meets for axis in axes)


def window_axes(cells: Access, positions: Access, ranges: Mapping[str, int]) -> tuple[Axis, ...]:
    """Return the windows along each axis that cells and positions share, in order.

    Images and channels, the first two axes, have no windows; taps are in the order of the axes.

    Raises
    ------
    NotRecognisedError
        If the cells are not addressed by windows of whole positions, axis by axis.
    """
    axes: list[Axis] = []
    order: list[str] = []
    one_each = all(len(position.variables) == 1 for position in positions.subscripts)
    if len(cells.subscripts) != len(positions.subscripts) or not one_each:
        raise NotRecognisedError("positions have other axes than the cells")
    for cell, position, size in zip(
        cells.subscripts, positions.subscripts, cells.tensor.sizes, strict=True
    ):
        (p,) = position.variables
        if position != index(p) or p not in cell.variables or len(cell.variables) > 2:
            raise NotRecognisedError(f"no window of positions: {cell} for {position}")
        taps = [name for name in cell.variables if name != p]
        k = taps[0] if taps else None
        order += taps
        if min(map(int, (cell.coefficient(name) for name in cell.variables))) < 1:
            raise NotRecognisedError(f"goes backwards: {cell}")
        axes.append(
            Axis(
                cells=size,
                taps=ranges[k] if k else 1,
                positions=ranges[p],
                stride=int(cell.coefficient(p)),
                dilation=int(cell.coefficient(k)) if k else 1,
                offset=int(cell.constant),
            )
        )
    whole = tuple(axis.positions for axis in axes) == positions.tensor.sizes
    alone = all((a.taps, a.stride, a.offset, a.cells) == (1, 1, 0, a.positions) for a in axes[:2])
    if len(axes) < 3 or not whole or not alone or order != [n for n in ranges if n in order]:
        raise NotRecognisedError("no windows of images")
    if set(order) | {v for s in positions.subscripts for v in s.variables} != set(ranges):
        raise NotRecognisedError("another index is summed over")
    return tuple(axes)
