"""Each algorithm's block of code: its numbers become holes, its template becomes text."""

from __future__ import annotations

from math import prod

from symconv.notation.contraction import index
from symconv.notation.correlation import Axis, Correlation
from symconv.notation.names import CELLS, POSITIONS
from symconv.notation.text import subscript_text
from symconv.plan.algorithms import (
    AddBias,
    Columns,
    Extend,
    FoldBack,
    Intermediate,
    Phases,
    Pointwise,
    Rows,
    Scatter,
    Shift,
    Stage,
    SumBias,
    Table,
)
from symconv.render.environment import fill
from symconv.render.syntax import (
    block_loop,
    block_slice,
    ellipsis_slices,
    group,
    grouped,
    matrix,
    progression,
    shape,
    shifted,
    tap_loop,
    tap_names,
    taps_view,
)

_RESULTS = {"gx": "∂E/∂X[n, c", "spread": "∂E/∂X[n, c", "y": "O[n, o"}
_SYMBOLS = {"x": "X", "extended": "X", "grad_output": "G"}


def render_stage(stage: Stage, function: str) -> str:
    """Return the code of one stage of a function."""
    match stage:
        case Table():
            return _table(stage, function)
        case Pointwise():
            return _pointwise(stage)
        case Columns():
            return _columns(stage, function)
        case Rows():
            return _rows(stage, function)
        case Shift():
            return _shift(stage, function)
        case Phases():
            return _phases(stage, function)
        case Scatter():
            return _scatter(stage)
        case Intermediate(name=name, shape=sizes):
            return f'{name} = _scratch("{name}", {shape(sizes)})\n'
        case Extend():
            return _extend(stage)
        case FoldBack():
            return _fold_back(stage)
        case AddBias():
            news = ", ".join(["None"] * stage.axes)
            return fill("numpy/add_bias.py.j2", stage=stage, news=news)
        case SumBias():
            axes = shape((0, *range(2, 2 + stage.axes)))
            return fill("numpy/sum_bias.py.j2", stage=stage, axes=axes)


def render_constants(stage: Stage) -> str:
    """Return the constants that a stage reads: its table of cells, or of phases; most have none."""
    match stage:
        case Table(correlation=c, cells=cells):
            image = c.groups * c.channels * prod(a.cells for a in c.axes)
            return fill(
                "numpy/table_constants.py.j2",
                name=_table_name(c),
                cells=[", ".join(map(str, row)) for row in cells],
                meaning=_cell_text(c)
                + (f"; {image} is the zero behind it" if _reads_outside(stage) else ""),
            )
        case Phases(correlation=c, axes=axes):
            first = [min((p.offset for p in phases), default=0) for phases in axes]
            return fill(
                "numpy/phase_constants.py.j2",
                tables=[
                    {
                        "name": f"_PHASES_{name.upper()}",
                        "stride": axis.stride,
                        "cell": subscript_text(index(u) - axis.offset),
                        "rows": [_phase(p, axis, start) for p in phases],
                    }
                    for name, u, axis, phases, start in zip(
                        POSITIONS[len(axes)], CELLS[len(axes)], c.axes, axes, first, strict=True
                    )
                ],
            )
        case _:
            return ""


def _phase(phase: Axis, axis: Axis, start: int) -> str:
    """Write (cells, taps, first cell read, count): what one phase is along one axis."""
    cells = _slice(phase.position_start, phase.position_step, phase.positions)
    taps = _slice(phase.tap_start, phase.tap_step, phase.taps)
    return f"({cells}, {taps}, {phase.offset - start}, {phase.positions})"


def _slice(start: int, step: int, count: int) -> str:
    stop = start + step * (count - 1) + (1 if step > 0 else -1)
    return f"slice({start}, {stop if stop >= 0 else None}, {step})"


def _table_name(c: Correlation) -> str:
    return f"_WINDOWS_OF_{_SYMBOLS[c.cells]}"


def _reads_outside(stage: Table) -> bool:
    c = stage.correlation
    image = c.groups * c.channels * prod(a.cells for a in c.axes)
    return any(cell == image for row in stage.cells for cell in row)


def _table(stage: Table, function: str) -> str:
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
            if _reads_outside(stage)
            else [f"flat = {flat}"]
        ),
        table=_table_name(c),
        windows=shape(windows),
        **_products(c, c.batch),
    )


def _pointwise(stage: Pointwise) -> str:
    c = stage.correlation
    n = block_slice("n", c.batch, stage.images)
    cells = c.cells if n == ":" or c.result == "positions" else f"{c.cells}[{n}]"
    images = c.batch if c.result == "positions" else stage.images
    positions = prod(a.positions for a in c.axes)
    return fill(
        f"numpy/pointwise_{c.result}.py.j2",
        blocks=block_loop("n", c.batch, stage.images),
        cells=f"{cells}.reshape{shape((images, *group(c), c.channels, positions))}",
        **_products(c, images),
    )


def _columns(stage: Columns, function: str) -> str:
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
        meaning=f"columns[n, c, {_index_text(c)}]",
        **_source(c, images, function),
        **_products(c, images),
    )


def _rows(stage: Rows, function: str) -> str:
    c, images = stage.correlation, stage.images
    first, *inner = c.axes
    names = tap_names(c)
    shifts = [a.taps for a in inner]
    width = [a.positions for a in inner]
    outer = (images, *group(c))
    source = _source(c, images, function)
    top = first.offset if first.inside and source["source"] == "cells" else 0
    span = f"{top}:{top + first.span}" if source["source"] == "cells" else ":"
    slices = [shifted(n, a, _start(c, a)) for n, a in zip(names[1:], inner, strict=True)]
    leading = [":"] * len(outer)
    low = len(group(c))
    stored = ("channels", "filters") if c.taps_transposed else ("filters", "channels")
    order = {name: low + at for at, name in enumerate(stored)}
    taps_at = [low + 2 + k for k in range(len(c.axes))]
    to_rows = (taps_at[0], *range(low), order["filters"], *taps_at[1:], order["channels"])
    sizes = {"channels": c.channels, "filters": c.filters}
    stored_shape = (*group(c), sizes[stored[0]], sizes[stored[1]], *(a.taps for a in c.axes))
    row_length = prod(shifts) * c.channels
    return fill(
        f"numpy/rows_{c.result}.py.j2",
        blocks=block_loop("n", c.batch, images),
        kernel=f"{taps_view(c, c.taps)}.reshape{shape(stored_shape)}",
        to_rows=shape(to_rows),
        from_rows=shape(tuple(sorted(range(len(to_rows)), key=lambda at: to_rows[at]))),
        rows=shape((first.taps, *group(c), c.filters, row_length)),
        rows_apart=shape((first.taps, *group(c), c.filters, *shifts, c.channels)),
        count=first.taps,
        shifted=shape((*outer, *shifts, c.channels, first.span, *width)),
        column=", ".join([*leading, *names[1:]]),
        shift_loop=tap_loop(inner, names[1:]),
        shift=", ".join(["...", span, *slices]),
        stacked=shape((*outer, row_length, first.span, prod(width))),
        window=f"..., {shifted('i' if names[0] == 'i' else names[0], first, 0)}, :",
        row=names[0],
        row_matrix=shape((*outer, row_length, first.positions * prod(width))),
        partial=shape((*outer, c.filters, first.positions * prod(width))),
        meaning=f"shifted[n, {', '.join((*names[1:], 'c', 'row', *_position_names(c)[1:]))}]",
        **{k: v for k, v in source.items() if k not in ("read",)},
        read=_cell_text(c, first="row"),
        **_products(c, images),
    )


def _shift(stage: Shift, function: str) -> str:
    c = stage.correlation
    names = tap_names(c)
    positions = [a.positions for a in c.axes]
    n, g = (
        block_slice("n", c.batch, stage.images),
        block_slice("g", c.groups, stage.planes),
    )
    block = "" if n == g == ":" else f"[{n}]" if g == ":" else f"[{n}, {g}]"
    planes = min(stage.planes, c.groups)
    source = _source(c, stage.images, function, block=block, planes=planes)
    letters = "ng" + "zyx"[-len(c.axes) :]
    return fill(
        f"numpy/shift_{c.result}.py.j2",
        blocks=block_loop("n", c.batch, stage.images),
        plane_blocks=block_loop("g", c.groups, stage.planes),
        positions_block=f"{c.positions}{block}",
        taps_shape=shape((c.groups, *(a.taps for a in c.axes))),
        whole_taps=taps_view(c, c.taps),
        taps=c.taps,
        tap=", ".join([g, *names]),
        news=", ".join(["None"] * len(c.axes)),
        term=shape((stage.images, planes, *positions)),
        tap_loop=tap_loop(c.axes, names),
        einsum=f"{letters},{letters}->g",
        planes_read=f"{_SYMBOLS[c.cells]}[n, g, {_cell_list(c)}]",
        **source,
    )


def _phases(stage: Phases, function: str) -> str:
    c, images = stage.correlation, stage.images
    rank = len(c.axes)
    names = POSITIONS[rank]
    taps = tap_names(c)
    first = [min((p.offset for p in phases), default=0) for phases in stage.axes]
    last = [
        max((p.offset + p.span for p in phases), default=first[at] + 1)
        for at, phases in enumerate(stage.axes)
    ]
    dilations = [phases[0].dilation if phases else 1 for phases in stage.axes]
    n = block_slice("n", c.batch, images)
    read = grouped(c.positions, images, c, (c.filters, *(a.positions for a in c.axes)), n)
    lead: tuple[int, ...] = (images, *group(c), c.filters)
    if stage.by_shifts:
        read, lead = c.positions + ("" if n == ":" else f"[{n}]"), (images, c.groups)
    padded = (*lead, *(e - s for s, e in zip(first, last, strict=True)))
    copies = [
        _overlap(s, e, a.positions) for s, e, a in zip(first, last, c.axes, strict=True)
    ]
    leading = len(lead)
    windows = [
        f"{name}0 + {k if d == 1 else f'{d} * {k}'} : {name}0 + {k if d == 1 else f'{d} * {k}'} + {name}n"
        for name, k, d in zip(names, taps, dilations, strict=True)
    ]
    counts = [f"taps_{k}" for k in taps]
    sizes = [f"{name}n" for name in names]
    outer = (images, *group(c))
    return fill(
        "numpy/phases_shift.py.j2" if stage.by_shifts else "numpy/phases_columns.py.j2",
        clear=[] if stage.covered else [f"{c.cells}[...] = 0"],
        blocks=block_loop("n", c.batch, images),
        padded_name=f"{function} padded",
        padded=shape(padded),
        padded_target=ellipsis_slices([t for t, _ in copies], leading) or "[...]",
        padded_source=read + ellipsis_slices([s for _, s in copies], leading),
        phase_loop=(
            f"for {', '.join(f'({name}_cells, {name}_taps, {name}0, {name}n)' for name in names)} in "
            f"product({', '.join(f'_PHASES_{name.upper()}' for name in names)}):"
            if rank > 1
            else f"for {names[0]}_cells, {names[0]}_taps, {names[0]}0, {names[0]}n"
            f" in _PHASES_{names[0].upper()}:"
        ),
        kernel=f"{c.taps}[:, :, {', '.join(f'{name}_taps' for name in names)}]",
        counts=", ".join(counts) if rank > 1 else f"({counts[0]},)",
        columns=shape((*outer, c.filters, *counts, *sizes)),
        column=", ".join([":"] * leading + list(taps)),
        tap_loop=f"for {', '.join(taps)} in np.ndindex({', '.join(counts)}):"
        if rank > 1
        else f"for {taps[0]} in range({counts[0]}):",
        window=", ".join(["...", *windows]),
        matrix=_phase_matrix(c),
        columns_matrix=shape((*outer, f"{c.filters} * {' * '.join(counts)}", " * ".join(sizes))),
        channels_in=c.filters,
        tap=", ".join([":", "0", *taps]),
        news=", ".join(["None"] * rank),
        total=shape((images, c.groups, *sizes)),
        result_sizes=shape((images, c.groups * c.channels, *sizes)),
        result=f"{c.cells}[{n}, :, {', '.join(f'{name}_cells' for name in names)}]",
        meaning=" or ".join(
            f"({subscript_text(index(u) - a.offset)}) mod {a.stride}"
            for u, a in zip(CELLS[rank], c.axes, strict=True)
            if a.stride > 1
        ),
    )


def _phase_matrix(c: Correlation) -> str:
    stored = (
        (*group(c), c.channels, c.filters, "-1")
        if c.taps_transposed
        else (*group(c), c.filters, c.channels, "-1")
    )
    result = (*group(c), c.channels, "-1")
    if c.taps_transposed:
        return f"kernel.reshape{shape(result)}"
    return f"kernel.reshape{shape(stored)}.swapaxes(-2, -3).reshape{shape(result)}"


def _scatter(stage: Scatter) -> str:
    c, images = stage.correlation, stage.images
    taps, positions = [a.taps for a in c.axes], [a.positions for a in c.axes]
    n = block_slice("n", c.batch, images)
    outer = (images, *group(c))
    source = grouped(c.positions, images, c, (c.filters, *positions), n)
    copies = [_overlap(a.offset, a.offset + a.span, a.cells) for a in c.axes]
    leading = len(outer) + 1
    block = grouped(c.cells, images, c, (c.channels, *(a.cells for a in c.axes)), n)
    stored = (
        (*group(c), c.channels, c.filters, prod(taps))
        if c.taps_transposed
        else (*group(c), c.filters, c.channels, prod(taps))
    )
    rows = (*group(c), c.channels * prod(taps), c.filters)
    view = taps_view(c, c.taps)
    last = f"{view}.reshape{shape((*group(c), c.filters, c.channels * prod(taps)))}.swapaxes(-1, -2)"
    if c.taps_transposed:
        last = f"{view}.reshape{shape(stored)}.swapaxes(-1, -2).reshape{shape(rows)}"
    return fill(
        "numpy/scatter.py.j2",
        cells=c.cells,
        matrix=last,
        terms=shape((*outer, c.channels, *taps, *positions)),
        terms_matrix=shape((*outer, c.channels * prod(taps), prod(positions))),
        spread=shape((*outer, c.channels, *(a.span for a in c.axes))),
        blocks=block_loop("n", c.batch, images),
        source=(source if c.groups == 1 else f"{c.positions}{'' if n == ':' else f'[{n}]'}")
        + f".reshape{shape((*outer, c.filters, prod(positions)))}",
        tap_loop=tap_loop(c.axes, tap_names(c)),
        tap=", ".join(["...", *(shifted(k, a, 0) for k, a in zip(tap_names(c), c.axes, strict=True))]),
        term=", ".join([":"] * leading + list(tap_names(c))),
        result=block + (ellipsis_slices([s for _, s in copies], leading) or "[...]"),
        inside="spread_out" + ellipsis_slices([t for t, _ in copies], leading),
        meaning=f"{_RESULTS[c.cells]}, {_cell_list(c)}] += terms[n, {_RESULTS[c.cells][-1]}, {_index_text(c)}]",
    )


def _extend(stage: Extend) -> str:
    rank = len(stage.axes)
    copies = []
    for axis, (interior, *around) in enumerate(stage.axes):
        for piece in around:
            target, source = _around(axis, rank, piece.start, 1, piece.count), _around(
                axis, rank, interior.start + piece.source, piece.step, piece.count
            )
            copies.append((target, source))
    return fill("numpy/extend.py.j2", stage=stage, shape=shape(stage.shape),
                interior=_interior(stage), copies=copies)


def _fold_back(stage: FoldBack) -> str:
    rank = len(stage.axes)
    additions = []
    for axis in reversed(range(rank)):
        interior, *around = stage.axes[axis]
        for piece in around:
            source = f"{stage.source}[{_around(axis, rank, piece.start, 1, piece.count)}]"
            if piece.step == 0:
                source += f".sum(axis={axis}, keepdims=True)"
            target = _around(axis, rank, interior.start + piece.source, piece.step, piece.count)
            additions.append((target, source))
    return fill("numpy/fold_back.py.j2", stage=stage, additions=additions, interior=_interior(stage))


def _interior(stage: Extend | FoldBack) -> str:
    slices = [
        progression(axis[0].start, 1, axis[0].count, size)
        for axis, size in zip(stage.axes, stage.shape, strict=True)
    ]
    return ", ".join(slices)


def _around(axis: int, rank: int, start: int, step: int, count: int) -> str:
    whole = [":"] * rank
    whole[axis] = f"{start} : {start + 1}" if step == 0 else progression(start, step, count, -1)
    return ", ".join(whole)


def _start(c: Correlation, axis: Axis) -> int:
    """Return where tap 0 at position 0 reads the source: the cells themselves, or their padded copy."""
    return axis.offset if all(a.inside for a in c.axes) else 0


def _source(
    c: Correlation, images: int, function: str, block: str | None = None, planes: int = 0
) -> dict[str, object]:
    """Return the holes for what windows are read from: a block of the cells, or its padded copy."""
    n = block_slice("n", c.batch, images)
    cells = grouped(c.cells, images, c, (c.channels, *(a.cells for a in c.axes)), n)
    outer: tuple[int, ...] = (images, *group(c), c.channels)
    if block is not None:
        cells, outer = c.cells + block, (images, planes)
    slices = ", ".join(
        ["...", *(shifted(k, a, _start(c, a)) for k, a in zip(tap_names(c), c.axes, strict=True))]
    )
    holes: dict[str, object] = {"tap": slices} if block is None else {"window": slices}
    if all(a.inside for a in c.axes):
        return holes | {
            "setup": [],
            "prepare": [f"cells = {cells}"],
            "source": "cells",
            "read": _cell_text(c),
        }
    copies = [_overlap(a.offset, a.offset + a.span, a.cells) for a in c.axes]
    target = ellipsis_slices([t for t, _ in copies], len(outer)) or "[...]"
    taken = cells + ellipsis_slices([s for _, s in copies], len(outer))
    return holes | {
        "setup": [f'padded = _zeros("{function} padded", {shape((*outer, *(a.span for a in c.axes)))})'],
        "prepare": [f"padded{target} = {taken}"],
        "source": "padded",
        "read": _cell_text(c) + ", zero outside",
    }


def _overlap(start: int, stop: int, size: int) -> tuple[str, str]:
    """Return the slices of a window start … stop, and of an axis, where the two overlap."""
    low = min(max(start, 0), size)
    high = max(min(stop, size), low)
    return (
        progression(max(low - start, 0), 1, high - low, stop - start),
        progression(low, 1, high - low, size),
    )


def _products(c: Correlation, images: int) -> dict[str, object]:
    """Return the holes for a product's operands: taps and a block of positions as matrices."""
    n = block_slice("n", c.batch, images)
    positions = c.positions if n == ":" else f"{c.positions}[{n}]"
    sizes = (images, *group(c), c.filters, prod(a.positions for a in c.axes))
    return {
        "taps": c.taps,
        "taps_stored": taps_view(c, c.taps) if c.result == "taps" else "",
        "taps_shape": shape(
            (c.groups * c.filters, c.channels, *(a.taps for a in c.axes))
        ),
        "matrix": matrix(c),
        "positions_block": f"{positions}.reshape{shape(sizes)}",
    }


def _position_names(c: Correlation) -> tuple[str, ...]:
    """Return the position indices: those of the input's cells where the result is ∂E/∂X."""
    names = CELLS if c.positions in ("gx", "spread") else POSITIONS
    return names[len(c.axes)]


def _cell_list(c: Correlation, first: str | None = None) -> str:
    subscripts = [
        subscript_text(index(p) * a.stride + index(k) * a.dilation + a.offset)
        for p, k, a in zip(_position_names(c), tap_names(c), c.axes, strict=True)
    ]
    if first is not None:
        subscripts[0] = subscript_text(index(first) + c.axes[0].offset)
    return ", ".join(subscripts)


def _cell_text(c: Correlation, first: str | None = None) -> str:
    channel = "o" if c.cells == "grad_output" else "c"
    return f"{_SYMBOLS[c.cells]}[n, {channel}, {_cell_list(c, first)}]"


def _index_text(c: Correlation) -> str:
    return ", ".join((*tap_names(c), *_position_names(c)))
