"""The stages of pooling: loops over the taps of a window, on slices of cells and of positions."""

from __future__ import annotations

from math import prod

from symconv.notation.contraction import index
from symconv.notation.correlation import Axis
from symconv.notation.names import POSITIONS, TAPS
from symconv.notation.text import subscript_text
from symconv.plan.algorithms import (
    Divisors,
    Windowed,
    WindowMaximum,
    WindowPick,
    WindowSelect,
    WindowSpread,
    WindowSum,
    is_whole,
)
from symconv.render.environment import fill
from symconv.render.syntax import progression, shape, shifted, tap_loop


def pool(stage: Windowed) -> str:
    """Return the code of a stage that loops over taps."""
    if is_whole(stage.axes):
        return _whole(stage)
    spatial = stage.axes[2:]
    loop = _table_loop(spatial) if _by_table(spatial) else tap_loop(spatial, TAPS[len(spatial)])
    positions = ", ".join([":", ":", *_positions(spatial)])
    cells = ", ".join([":", ":", *_cells(spatial)])
    if positions.replace(":", "").strip(", ") == "":
        positions = "..."

    def at(name: str, where: str) -> str:
        return name if where == "..." else f"{name}[{where}]"

    match stage:
        case WindowSum(source=source, target=target):
            return fill(
                "numpy/window_sum.py.j2",
                target=target,
                loop=loop,
                position=at(target, positions),
                cell=at(source, cells),
                divisors=_divisors(stage.divisors),
            )
        case WindowSpread(source=source, target=target):
            divisors = _divisors(stage.divisors)
            return fill(
                "numpy/window_spread.py.j2",
                target=target,
                shares=[" / ".join([source, *divisors])] if divisors else [],
                loop=loop,
                position=at("share" if divisors else source, positions),
                cell=at(target, cells),
            )
        case WindowMaximum(source=source, target=target):
            return fill(
                "numpy/window_maximum.py.j2",
                target=target,
                loop=loop,
                position=at(target, positions),
                cell=at(source, cells),
            )
        case WindowSelect() | WindowPick():
            image, greatest, source, target = stage.cells, stage.greatest, stage.source, stage.target
            picks = isinstance(stage, WindowPick)
            return fill(
                "numpy/window_select.py.j2",
                target=target,
                shape=shape(axis.positions for axis in stage.axes),
                loop=loop,
                cell=at(image, cells),
                waiting=at("waiting", positions),
                greatest=at(greatest, positions),
                source=at(source, cells if picks else positions),
                result=at(target, positions if picks else cells),
            )


def _whole(stage: Windowed) -> str:
    """Return the code of a stage whose one window is all of the image."""
    axes = shape(range(2, len(stage.axes)))
    match stage:
        case WindowSum(source=source, target=target, divisors=divisors):
            parts = _divisors(divisors)
            return fill("numpy/whole_sum.py.j2", source=source, target=target, axes=axes, divisors=parts)
        case WindowSpread(source=source, target=target, divisors=divisors):
            share = " / ".join([source, *_divisors(divisors)])
            return f"{target}[...] = {share}\n"
        case WindowMaximum(source=source, target=target):
            return fill("numpy/whole_maximum.py.j2", source=source, target=target, axes=axes)
        case WindowSelect() | WindowPick():
            outer = tuple(axis.positions for axis in stage.axes[:2])
            cells = prod(axis.cells for axis in stage.axes[2:])
            picks = isinstance(stage, WindowPick)
            return fill(
                "numpy/whole_pick.py.j2" if picks else "numpy/whole_select.py.j2",
                cells=stage.cells,
                source=stage.source,
                target=stage.target,
                planes=shape((*outer, cells)),
                places=shape(axis.positions for axis in stage.axes) if picks else shape((*outer, 1)),
            )


def pool_constants(stage: Windowed) -> str:
    """Return the tables that a stage reads: of taps whose slices differ, of divisors that do."""
    constants = []
    spatial = stage.axes[2:]
    if _by_table(spatial):
        names = zip(POSITIONS[len(spatial)], TAPS[len(spatial)], spatial, strict=True)
        tables = [
            {
                "name": f"_TAPS_{p.upper()}",
                "cell": subscript_text(index(p) * a.stride + index(k) * a.dilation + a.offset),
                "rows": [f"({positions}, {cells})" for positions, cells in map(_slices, _taps(a))],
            }
            for p, k, a in names
        ]
        constants.append(fill("numpy/tap_constants.py.j2", tables=tables))
    if isinstance(stage, WindowSum | WindowSpread) and stage.divisors.along:
        constants.append(_divisor_table(stage.divisors, len(stage.axes)))
    return "\n".join(constants)


def _by_table(axes: tuple[Axis, ...]) -> bool:
    """Whether some tap reads outside the cells at some position."""
    return not all(axis.inside for axis in axes)


def _table_loop(axes: tuple[Axis, ...]) -> str:
    names = POSITIONS[len(axes)]
    pairs = [f"({p}_places, {p}_cells)" for p in names]
    tables = [f"_TAPS_{p.upper()}" for p in names]
    if len(axes) == 1:
        return f"for {pairs[0][1:-1]} in {tables[0]}:"
    return f"for {', '.join(pairs)} in product({', '.join(tables)}):"


def _positions(axes: tuple[Axis, ...]) -> list[str]:
    return [f"{p}_places" for p in POSITIONS[len(axes)]] if _by_table(axes) else [":"] * len(axes)


def _cells(axes: tuple[Axis, ...]) -> list[str]:
    if _by_table(axes):
        return [f"{p}_cells" for p in POSITIONS[len(axes)]]
    return [shifted(k, a, a.offset) for k, a in zip(TAPS[len(axes)], axes, strict=True)]


def _taps(axis: Axis) -> list[tuple[range, range]]:
    """Return, for each tap, the positions that read a cell with it, and these cells."""
    found = []
    for k in range(axis.taps):
        start = axis.dilation * k + axis.offset
        inside = [p for p in range(axis.positions) if 0 <= axis.stride * p + start < axis.cells]
        if inside:
            positions = range(inside[0], inside[-1] + 1)
            first = axis.stride * positions.start + start
            found.append((positions, range(first, first + axis.stride * len(positions), axis.stride)))
    return found


def _slices(ranges: tuple[range, range]) -> tuple[str, str]:
    """Write two progressions as slices."""
    positions, cells = (", ".join(progression(r.start, r.step, len(r), -1).split(":")) for r in ranges)
    return f"slice({positions})", f"slice({cells})"


def _divisors(divisors: Divisors) -> list[str]:
    """Write what a sum is divided by."""
    if divisors.along:
        return ["_DIVISORS"]
    return [str(divisors.number)] if divisors.number != 1 else []


def _divisor_table(divisors: Divisors, rank: int) -> str:
    tables = []
    for axis, numbers in divisors.along:
        news = ", None" * (rank - 1 - axis)
        tables.append(f"np.array({shape(numbers)})" + (f"[:{news}]" if news else ""))
    number = [str(divisors.number)] if divisors.number != 1 else []
    return f"# How many cells count in each window.\n_DIVISORS = {' * '.join([*number, *tables])}\n"
