"""What the templates of several algorithms have in common: sources, operands, what an index means."""

from __future__ import annotations

from math import prod

from symconv.notation.contraction import index
from symconv.notation.correlation import Axis, Correlation
from symconv.notation.names import CELLS, POSITIONS
from symconv.notation.text import subscript_text
from symconv.plan.algorithms import Apply, Epilogue, Fourier, Spread, Winograd
from symconv.render.expressions import apply
from symconv.render.syntax import (
    block_slice,
    ellipsis_slices,
    group,
    grouped,
    matrix,
    progression,
    shape,
    shifted,
    tap_names,
    taps_view,
)

SYMBOLS = {"x": "X", "extended": "X", "grad_output": "G", "gx": "∂E/∂X", "spread": "∂E/∂X", "y": "O"}
OUTPUTS = ("y", "grad_output", "ty", "ggo")  # whose channels are the output's


def symbol(array: str) -> str:
    """Return what the formulas call an array; one that they do not have keeps its name."""
    return SYMBOLS.get(array, array)


def channel(array: str) -> str:
    """Return the index of an array's channels: of the input's, or of the output's."""
    return "o" if array in OUTPUTS else "c"


def first_read(c: Correlation, axis: Axis) -> int:
    """Return where tap 0 at position 0 reads the source: the cells themselves, or their padded copy."""
    return axis.offset if all(a.inside for a in c.axes) else 0


def window_source(c: Correlation, images: int, function: str) -> dict[str, object]:
    """Return the holes for what windows are read from: a block of the cells, or its padded copy."""
    n = block_slice("n", c.batch, images)
    cells = grouped(c.cells, images, c, (c.channels, *(a.cells for a in c.axes)), n)
    outer: tuple[int, ...] = (images, *group(c), c.channels)
    slices = ", ".join(
        [
            "...",
            *(shifted(k, a, first_read(c, a)) for k, a in zip(tap_names(c), c.axes, strict=True)),
        ]
    )
    holes: dict[str, object] = {"tap": slices}
    if all(a.inside for a in c.axes):
        return holes | {
            "setup": [],
            "prepare": [f"cells = {cells}"],
            "source": "cells",
            "read": cell_text(c),
        }
    copies = [overlap(a.offset, a.offset + a.span, a.cells) for a in c.axes]
    target = ellipsis_slices([t for t, _ in copies], len(outer)) or "[...]"
    taken = cells + ellipsis_slices([s for _, s in copies], len(outer))
    return holes | {
        "setup": [f'padded = _zeros("{function} padded", {shape((*outer, *(a.span for a in c.axes)))})'],
        "prepare": [f"padded{target} = {taken}"],
        "source": "padded",
        "read": cell_text(c) + ", zero outside",
    }


def overlap(start: int, stop: int, size: int) -> tuple[str, str]:
    """Return the slices of a window start … stop, and of an axis, where the two overlap."""
    low = min(max(start, 0), size)
    high = max(min(stop, size), low)
    return (
        progression(max(low - start, 0), 1, high - low, stop - start),
        progression(low, 1, high - low, size),
    )


def products(c: Correlation, images: int) -> dict[str, object]:
    """Return the holes for a product's operands: taps and a block of positions as matrices."""
    n = block_slice("n", c.batch, images)
    positions = c.positions if n == ":" else f"{c.positions}[{n}]"
    sizes = (images, *group(c), c.filters, prod(a.positions for a in c.axes))
    return {
        "taps": c.taps,
        "summed": ".sum(axis=0)" if images > 1 else "[0]",
        "taps_stored": taps_view(c, c.taps) if c.result == "taps" else "",
        "taps_shape": shape((c.groups * c.filters, c.channels, *(a.taps for a in c.axes))),
        "matrix": matrix(c),
        "positions_block": f"{positions}.reshape{shape(sizes)}",
    }


def tile_cells(stage: Winograd | Fourier, function: str) -> tuple[str, list[str], list[str]]:
    """Return where an image's tiles are read, from its first axis on; and how zeros get around it."""
    c = stage.correlation
    if all(a.offset == 0 and size == a.cells for a, size in zip(c.axes, stage.reach, strict=True)):
        return f"{c.cells}[n]", [], []
    sizes = shape((c.groups * c.channels, *stage.reach))
    copies = [overlap(a.offset, a.offset + n, a.cells) for a, n in zip(c.axes, stage.reach, strict=True)]
    target = ellipsis_slices([t for t, _ in copies], 1) or "[...]"
    source = f"{c.cells}[n]{ellipsis_slices([s for _, s in copies], 1)}"
    return "padded", [f'padded = _zeros("{function} padded", {sizes})'], [f"padded{target} = {source}"]


def tile_positions(stage: Winograd | Fourier, function: str) -> tuple[str, list[str], list[str]]:
    """Return where an image's tiles of positions are read; zeros fill up the last ones."""
    c = stage.correlation
    if all(a.positions == size for a, size in zip(c.axes, stage.filled, strict=True)):
        return f"{c.positions}[n]", [], []
    sizes = shape((c.groups * c.filters, *stage.filled))
    target = ellipsis_slices([progression(0, 1, a.positions, -1) for a in c.axes], 1)
    zeros = f'filled = _zeros("{function} filled", {sizes})'
    return "filled", [zeros], [f"filled{target} = {c.positions}[n]"]


def finish(epilogue: Epilogue, block: str, along: str, starts: bool = False) -> dict[str, object]:
    """Return the holes for what a block ends with; with ``starts``, for what its sums start from.

    ``along`` is how a number for each channel is seen along the block's.
    """
    bias = epilogue.bias + along
    lines = [f"{block} += {bias}"] if epilogue.bias and not starts else []
    if epilogue.function is not None:
        whole = Spread(block, (0,), (1,))
        lines += apply(Apply(epilogue.function, (("x", whole),), block)).splitlines()
    return {"epilogue": lines, "first": bias if epilogue.bias and starts else "0"}


def finish_rows(c: Correlation, epilogue: Epilogue, block: str = "block") -> dict[str, object]:
    """Return the holes for the end of a block of matrices, a row for each filter."""
    along = f".reshape{shape((c.groups, c.filters, 1))}" if c.groups > 1 else "[:, None]"
    return finish(epilogue, block, along, starts=block == "total")


def finish_images(c: Correlation, epilogue: Epilogue, block: str) -> dict[str, object]:
    """Return the holes for the end of a block of channels with their spatial axes."""
    return finish(epilogue, block, f"[:, {', '.join(['None'] * len(c.axes))}]")


def position_names(c: Correlation) -> tuple[str, ...]:
    """Return the position indices: those of cells where a write was solved for them."""
    return (CELLS if c.solved else POSITIONS)[len(c.axes)]


def cell_list(c: Correlation, first: str | None = None) -> str:
    """Write which cell each axis reads; ``first`` names a row of cells in place of the first axis."""
    subscripts = [
        subscript_text(index(p) * a.stride + index(k) * a.dilation + a.offset)
        for p, k, a in zip(position_names(c), tap_names(c), c.axes, strict=True)
    ]
    if first is not None:
        subscripts[0] = subscript_text(index(first) + c.axes[0].offset)
    return ", ".join(subscripts)


def cell_text(c: Correlation, first: str | None = None) -> str:
    """Write what is read, as in the formulas: ``X[n, c, y + i, x + j]``."""
    at = index(channel(c.cells))
    if c.groups > 1:
        at = index("g") * c.channels + at
    return f"{symbol(c.cells)}[n, {subscript_text(at)}, {cell_list(c, first)}]"


def column_text(c: Correlation, name: str, indices: tuple[str, ...]) -> str:
    """Write an element of a copy of windows, whose channels are those of one group."""
    group_index = ("g",) if c.groups > 1 else ()
    at = [channel(c.cells) if i == "c" else i for i in indices]
    return f"{name}[{', '.join(('n', *group_index, *at))}]"


def index_text(c: Correlation) -> str:
    """Write the indices of taps and positions, as columns are subscripted."""
    return ", ".join((*tap_names(c), *position_names(c)))
