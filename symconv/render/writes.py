"""The blocks of code that compute a correlation's cells: solved phase by phase, or scattered."""

from __future__ import annotations

from math import prod

from symconv.notation.contraction import index
from symconv.notation.correlation import Axis, Correlation
from symconv.notation.names import CELLS, POSITIONS
from symconv.notation.text import subscript_text
from symconv.plan.algorithms import Epilogue, Phases, Scatter
from symconv.render.environment import fill
from symconv.render.holes import cell_list, channel, finish_images, index_text, overlap, symbol
from symconv.render.syntax import (
    block_loop,
    block_slice,
    ellipsis_slices,
    group,
    grouped,
    shape,
    shifted,
    tap_loop,
    tap_names,
    taps_view,
)


def phases(stage: Phases, function: str, epilogue: Epilogue) -> str:
    """Return a plain correlation for each phase of the cells, written with the stride."""
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
    padded = (*lead, *(e - s for s, e in zip(first, last, strict=True)))
    copies = [overlap(s, e, a.positions) for s, e, a in zip(first, last, c.axes, strict=True)]
    leading = len(lead)
    windows = [
        f"{name}0 + {tap} : {name}0 + {tap} + {name}n"
        for name, k, d in zip(names, taps, dilations, strict=True)
        for tap in [k if d == 1 else f"{d} * {k}"]
    ]
    counts = [f"taps_{k}" for k in taps]
    sizes = [f"{name}n" for name in names]
    outer = (images, *group(c))
    return fill(
        "numpy/phases.py.j2",
        operand=symbol(c.positions),
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
        result_sizes=shape((images, c.groups * c.channels, *sizes)),
        result=f"{c.cells}[{n}, :, {', '.join(f'{name}_cells' for name in names)}]",
        **finish_images(c, epilogue, c.cells if n == ":" else f"{c.cells}[{n}]"),
        meaning=" and ".join(
            f"({subscript_text(index(u) - a.offset)}) mod {a.stride}"
            for u, a in zip(CELLS[rank], c.axes, strict=True)
            if a.stride > 1
        ),
    )


def _phase_matrix(c: Correlation) -> str:
    stored: tuple[int | str, ...] = (
        (*group(c), c.channels, c.filters, "-1")
        if c.taps_transposed
        else (*group(c), c.filters, c.channels, "-1")
    )
    result: tuple[int | str, ...] = (*group(c), c.channels, "-1")
    if c.taps_transposed:
        return f"kernel.reshape{shape(result)}"
    return f"kernel.reshape{shape(stored)}.swapaxes(-2, -3).reshape{shape(result)}"


def scatter(stage: Scatter, epilogue: Epilogue) -> str:
    """Return one product and a strided addition for each tap."""
    c, images = stage.correlation, stage.images
    taps, positions = [a.taps for a in c.axes], [a.positions for a in c.axes]
    n = block_slice("n", c.batch, images)
    outer = (images, *group(c))
    source = grouped(c.positions, images, c, (c.filters, *positions), n)
    copies = [overlap(a.offset, a.offset + a.span, a.cells) for a in c.axes]
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
    at = channel(c.cells)
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
        **finish_images(c, epilogue, c.cells if n == ":" else f"{c.cells}[{n}]"),
        inside="spread_out" + ellipsis_slices([t for t, _ in copies], leading),
        meaning=f"{symbol(c.cells)}[n, {at}, {cell_list(c)}] += terms[n, {at}, {index_text(c)}]",
    )


def _phase(phase: Axis, start: int) -> str:
    """Write (cells, taps, first cell read, count): what one phase is along one axis."""
    cells = _slice(phase.position_start, phase.position_step, phase.positions)
    taps = _slice(phase.tap_start, phase.tap_step, phase.taps)
    return f"({cells}, {taps}, {phase.offset - start}, {phase.positions})"


def _slice(start: int, step: int, count: int) -> str:
    stop = start + step * (count - 1) + (1 if step > 0 else -1)
    return f"slice({start}, {stop if stop >= 0 else None}, {step})"


def phase_constants(stage: Phases) -> str:
    """Return the tables of phases, one for each axis."""
    c = stage.correlation
    rank = len(c.axes)
    first = [min((p.offset for p in found), default=0) for found in stage.axes]
    return fill(
        "numpy/phase_constants.py.j2",
        operand=symbol(c.positions),
        tables=[
            {
                "name": f"_PHASES_{name.upper()}",
                "stride": axis.stride,
                "cell": subscript_text(index(u) - axis.offset),
                "rows": [_phase(p, start) for p in found],
            }
            for name, u, axis, found, start in zip(
                POSITIONS[rank], CELLS[rank], c.axes, stage.axes, first, strict=True
            )
        ],
    )
