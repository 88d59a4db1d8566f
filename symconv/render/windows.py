"""The blocks of code that compute a plain correlation, from windows of its cells."""

from __future__ import annotations

from math import prod

from symconv.notation.correlation import Correlation
from symconv.plan.algorithms import Columns, Epilogue, Pointwise, Rows, Shift, Table
from symconv.render.environment import fill
from symconv.render.holes import (
    cell_text,
    column_text,
    finish_rows,
    first_read,
    position_names,
    products,
    symbol,
    window_source,
)
from symconv.render.syntax import (
    block_loop,
    block_slice,
    group,
    shape,
    shifted,
    tap_loop,
    tap_names,
    taps_view,
)


def table(stage: Table, function: str, epilogue: Epilogue) -> str:
    """Return a look-up through a constant table."""
    c = stage.correlation
    image = c.groups * c.channels * prod(a.cells for a in c.axes)
    taps, positions = prod(a.taps for a in c.axes), prod(a.positions for a in c.axes)
    windows = (c.batch, *group(c), c.channels * taps, positions)
    flat = f"{c.cells}.reshape{shape((c.batch, image))}"
    return fill(
        f"numpy/table_{c.result}.py.j2",
        prepare=(
            [
                f'flat = _zeros("{function} flat", {shape((c.batch, image + 1))})',
                f"flat[:, :{image}] = {flat}",
            ]
            if reads_outside(stage)
            else [f"flat = {flat}"]
        ),
        table=table_name(c),
        windows=shape(windows),
        **products(c, c.batch),
        **finish_rows(c, epilogue),
    )


def reads_outside(stage: Table) -> bool:
    """Whether a window reads a cell that does not exist."""
    c = stage.correlation
    image = c.groups * c.channels * prod(a.cells for a in c.axes)
    return any(cell == image for row in stage.cells for cell in row)


def table_name(c: Correlation) -> str:
    """Return the table's name in the module."""
    return f"_WINDOWS_OF_{symbol(c.cells).upper()}"


def pointwise(stage: Pointwise, epilogue: Epilogue) -> str:
    """Return a plain product."""
    c = stage.correlation
    images = stage.images if c.result == "taps" or epilogue != Epilogue() else c.batch
    n = block_slice("n", c.batch, images)
    cells = c.cells if n == ":" else f"{c.cells}[{n}]"
    positions = prod(a.positions for a in c.axes)
    return fill(
        f"numpy/pointwise_{c.result}.py.j2",
        blocks=block_loop("n", c.batch, images),
        cells=f"{cells}.reshape{shape((images, *group(c), c.channels, positions))}",
        **products(c, images),
        **finish_rows(c, epilogue),
    )


def columns(stage: Columns, function: str, epilogue: Epilogue) -> str:
    """Return windows copied side by side, and a product."""
    c, images = stage.correlation, stage.images
    taps, positions = [a.taps for a in c.axes], [a.positions for a in c.axes]
    outer = (images, *group(c), c.channels)
    return fill(
        f"numpy/columns_{c.result}.py.j2",
        blocks=block_loop("n", c.batch, images),
        columns=shape((*outer, *taps, *positions)),
        column=", ".join([":"] * len(outer) + list(tap_names(c))),
        tap_loop=tap_loop(c.axes, tap_names(c)),
        columns_matrix=shape((*outer[:-1], c.channels * prod(taps), prod(positions))),
        meaning=column_text(c, "columns", ("c", *tap_names(c), *position_names(c))),
        **window_source(c, images, function),
        **products(c, images),
        **finish_rows(c, epilogue),
    )


def rows(stage: Rows, function: str, epilogue: Epilogue) -> str:
    """Return shifted copies, and a product for each row of the filter."""
    c, images = stage.correlation, stage.images
    first, *inner = c.axes
    names = tap_names(c)
    shifts = [a.taps for a in inner]
    width = [a.positions for a in inner]
    outer = (images, *group(c))
    read = window_source(c, images, function)
    top = first.offset if first.inside and read["source"] == "cells" else 0
    around = first.span - first.positions
    ragged = first.positions % stage.rows != 0  # the last band is shorter
    height: int | str = "height" if ragged else stage.rows
    length: int | str = "length" if ragged else stage.rows + around
    span = f"{top}:{top + first.span}" if read["source"] == "cells" else ":"
    if stage.rows < first.positions:
        start = f"top + {top}" if top else "top"
        span = (
            f"{start} : {start} + length" if ragged else f"{start} : top + {top + stage.rows + around}"
        )
    slices = [shifted(n, a, first_read(c, a)) for n, a in zip(names[1:], inner, strict=True)]
    leading = [":"] * len(outer)
    low = len(group(c))
    stored = ("channels", "filters") if c.taps_transposed else ("filters", "channels")
    order = {name: low + at for at, name in enumerate(stored)}
    taps_at = [low + 2 + k for k in range(len(c.axes))]
    to_rows: tuple[int, ...] = (
        taps_at[0],
        *range(low),
        order["filters"],
        *taps_at[1:],
        order["channels"],
    )
    sizes = {"channels": c.channels, "filters": c.filters}
    stored_shape = (*group(c), sizes[stored[0]], sizes[stored[1]], *(a.taps for a in c.axes))
    row_length = prod(shifts) * c.channels
    area = f"{prod(width)} * height" if ragged else stage.rows * prod(width)
    tap = names[0] if first.dilation == 1 else f"{first.dilation} * {names[0]}"
    scratch = [f'shifted = _scratch("shifted", {shape((*outer, *shifts, c.channels, length, *width))})']
    if c.result == "positions":
        scratch.append(f'partial = _scratch("partial", {shape((*outer, c.filters, area))})')
    sizes_of_band = [
        f"height = min({stage.rows}, {first.positions} - top)",
        f"length = height + {around}",
    ]
    return fill(
        f"numpy/rows_{c.result}.py.j2",
        blocks=block_loop("n", c.batch, images),
        kernel=f"{taps_view(c, c.taps)}.reshape{shape(stored_shape)}",
        to_rows=shape(to_rows),
        stored=shape(stored_shape),
        rows=shape((first.taps, *group(c), c.filters, row_length)),
        rows_apart=shape((first.taps, *group(c), c.filters, *shifts, c.channels)),
        count=first.taps,
        before=[] if ragged else scratch,
        within=[*sizes_of_band, *scratch] if ragged else [],
        column=", ".join([*leading, *names[1:]]),
        shift_loop=tap_loop(inner, names[1:]),
        shift=", ".join(["...", span, *slices]),
        stacked=shape((*outer, row_length, length, prod(width))),
        window=f"..., {tap} : {tap} + {height}, :",
        row=names[0],
        row_matrix=shape((*outer, row_length, area)),
        bands=block_loop("top", first.positions, stage.rows),
        band=""
        if height == first.positions
        else f"[..., {prod(width)} * top : {prod(width)} * (top + {height})]",
        meaning=column_text(c, "shifted", (*names[1:], "c", "row", *position_names(c)[1:])),
        **(read | {"read": cell_text(c, first="row")}),
        **products(c, images),
        **finish_rows(c, epilogue, "total"),
    )


def shift(stage: Shift, function: str, epilogue: Epilogue) -> str:
    """Return a multiplication and addition of the shifted signal for each tap."""
    c = stage.correlation
    (axis,), (name,) = c.axes, tap_names(c)
    n = block_slice("n", c.batch, stage.images)
    whole = c.positions if n == ":" else f"{c.positions}[{n}]"
    band = stage.rows if stage.rows < axis.positions else 0
    window = f"..., {shifted(name, axis, first_read(c, axis), band)}"
    return fill(
        f"numpy/shift_{c.result}.py.j2",
        blocks=block_loop("n", c.batch, stage.images),
        bands=block_loop("top", axis.positions, stage.rows),
        positions_block=f"{whole}[..., top : top + {band}]" if band else whole,
        operand=symbol(c.positions),
        whole_taps=taps_view(c, c.taps),
        taps=c.taps,
        index=name,
        count=axis.taps,
        term=shape((stage.images, 1, stage.rows)),
        window=window,
        **window_source(c, stage.images, function),
        **finish_rows(c, epilogue, "total"),
    )


def table_constants(stage: Table) -> str:
    """Return the table of flat cells that a look-up reads."""
    c = stage.correlation
    image = c.groups * c.channels * prod(a.cells for a in c.axes)
    outside = f"; {image} is the zero behind it" if reads_outside(stage) else ""
    return fill(
        "numpy/table_constants.py.j2",
        name=table_name(c),
        cells=[", ".join(map(str, row)) for row in stage.cells],
        meaning=cell_text(c) + outside,
    )
