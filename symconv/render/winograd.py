"""The blocks of code that compute a correlation by Winograd's algorithms, one image after the other."""

from __future__ import annotations

from math import prod

from symconv.notation.correlation import Correlation
from symconv.notation.names import POSITIONS
from symconv.notation.winograd import POINTS, MinimalFiltering, Rows
from symconv.plan.algorithms import Epilogue, Winograd
from symconv.render.environment import fill
from symconv.render.holes import finish_images, tile_cells, tile_positions
from symconv.render.syntax import group, shape, taps_view


def winograd(stage: Winograd, function: str, epilogue: Epilogue) -> str:
    """Return tiles transformed axis by axis, products, and the transform back."""
    c = stage.correlation
    rank, steps = len(c.axes), _steps(stage)
    products = [f.cells for f in stage.filtering]
    tiles = prod(stage.tiles)
    cells, setup, prepare = tile_cells(stage, function)
    filters = (*group(c), c.filters, c.channels)
    common = {
        "matrices": _locals(stage),
        "images": c.batch,
        "divisor": prod(f.divisor for f in stage.filtering),
        "tile": "×".join(str(f.cells) for f in stage.filtering),
        "apart": "×".join(str(f.outputs) for f in stage.filtering),
        "tiles": _tiled(stage, cells),
        "taps_transform": _of_taps(steps),
        "cells_matrix": shape((*products, *group(c), c.channels, tiles)),
    }
    if c.result == "taps":
        positions, more_setup, more = tile_positions(stage, function)
        return fill(
            "numpy/winograd_taps.py.j2",
            **common,
            setup=setup + more_setup,
            prepare=prepare + more,
            position_tiles=_tiled_positions(stage, positions),
            positions_matrix=shape((*products, *group(c), c.filters, tiles)),
            sums=shape((*products, *filters)),
            sums_matrix=shape((prod(products), prod(filters))),
            taps_stored=taps_view(c, c.taps),
            taps_shape=shape((c.groups * c.filters, c.channels, *(a.taps for a in c.axes))),
        )
    cut = any(a.positions % f.outputs for a, f in zip(c.axes, stage.filtering, strict=True))
    names = [f"{name}0" for name in POSITIONS[rank]]
    ranges = [f"range({f.outputs})" for f in stage.filtering]
    sizes = ", ".join(f": block.shape[{axis - rank}]" for axis in range(rank))
    return fill(
        "numpy/winograd_positions.py.j2",
        **common,
        setup=setup,
        prepare=prepare,
        **finish_images(c, epilogue, "outputs"),
        kernel=_kernel(c),
        filters=shape((*products, *filters)),
        products=shape((*products, *group(c), c.filters, tiles)),
        back=_back(stage, c.groups * c.filters * tiles),
        outputs=shape((*(f.outputs for f in stage.filtering), c.groups * c.filters, *stage.tiles)),
        loop=f"for {', '.join(names)} in "
        + (f"product({', '.join(ranges)}):" if rank > 1 else f"{ranges[0]}:"),
        block=f"{c.positions}[n, :, "
        + ", ".join(f"{name}::{f.outputs}" for name, f in zip(names, stage.filtering, strict=True))
        + "]",
        output=f"outputs[{', '.join(names)}" + (f", :, {sizes}]" if cut else "]"),
    )


def _steps(stage: Winograd) -> list[tuple[str, MinimalFiltering]]:
    """Return each axis' filtering, and what its matrices' names end with: nothing if all are equal."""
    names = POSITIONS[len(stage.filtering)]
    alike = len(set(stage.filtering)) == 1
    return [("" if alike else f"_{n}", f) for n, f in zip(names, stage.filtering, strict=True)]


def _of_taps(steps: list[tuple[str, MinimalFiltering]]) -> str:
    """Write the matrix that transforms a filter's taps, all axes at once."""
    text = ""
    for suffix, _ in steps:
        text = f"np.kron({text}, of_taps{suffix})" if text else f"of_taps{suffix}"
    return text


def _kernel(c: Correlation) -> str:
    """Write the taps as a matrix: a row for each filter and channel."""
    taps = prod(a.taps for a in c.axes)
    view, rows = taps_view(c, c.taps), shape((c.groups * c.filters * c.channels, taps))
    if not c.taps_transposed:
        return f"{view}.reshape{rows}"
    stored, low = shape((*group(c), c.channels, c.filters, taps)), len(group(c))
    return f"{view}.reshape{stored}.swapaxes({low}, {low + 1}).reshape{rows}"


def _locals(stage: Winograd) -> list[str]:
    """Write the matrices in the module's dtype."""
    lines = {
        f"{name}{suffix}": f"{name}{suffix} = {_constant(letter, f)}.astype(DTYPE)"
        for suffix, f in _steps(stage)
        for name, letter in (("to_outputs", "a"), ("of_taps", "g"), ("of_cells", "b"))
    }
    return list(lines.values())


def _constant(matrix: str, f: MinimalFiltering) -> str:
    return f"_{matrix.upper()}_{f.outputs}_{f.taps}"


def _tiled(stage: Winograd, source: str) -> str:
    """Write how an image's cells are cut into tiles, axis by axis, and transformed by B."""
    c = stage.correlation
    steps = [(f"of_cells{suffix}", f.cells, f.cells) for suffix, f in _steps(stage)]
    return _transformed(stage, steps, c.groups * c.channels, stage.reach, source, "cells")


def _tiled_positions(stage: Winograd, source: str) -> str:
    """Write the same of an image's positions, transformed by A's transpose."""
    c = stage.correlation
    steps = [(f"to_outputs{suffix}.T", f.outputs, f.cells) for suffix, f in _steps(stage)]
    return _transformed(stage, steps, c.groups * c.filters, stage.filled, source, "positions")


def _transformed(
    stage: Winograd,
    steps: list[tuple[str, int, int]],
    channels: int,
    sizes: tuple[int, ...],
    source: str,
    name: str,
) -> str:
    """Write each axis' matrix, which takes so many numbers of a tile and gives so many."""
    rank = len(steps)
    found, done = [], list[int]()
    for at, ((matrix, taken, given), f) in enumerate(zip(steps, stage.filtering, strict=True)):
        left = (channels, *stage.tiles[: at + 1], *sizes[at + 1 :])
        length = f.outputs * (stage.tiles[at] - 1) + 1
        found.append(
            {
                "matrix": matrix,
                "count": taken,
                "cut": shape((*done, taken, *left)),
                "cell": ", ".join([*[":"] * at, "t"]),
                "source": source,
                "places": ", ".join(
                    ["...", f"t : t + {length} : {f.outputs}", *[":"] * (rank - 1 - at)]
                ),
                "taken": shape((*done, taken, prod(left))),
                "given": shape((*done, given, prod(left))),
                "result": shape((*done, given, *left)),
            }
        )
        source, done = name, [*done, given]
    return fill("numpy/winograd_tiles.py.j2", name=name, steps=found)


def _back(stage: Winograd, outer: int) -> list[dict[str, str]]:
    """Return the holes of each axis' transform of products to outputs."""
    found = []
    done = list[int]()
    left = [f.cells for f in stage.filtering]
    for at, (suffix, f) in enumerate(_steps(stage)):
        rest = prod(left[at + 1 :]) * outer
        found.append(
            {
                "matrix": f"to_outputs{suffix}",
                "source": "products" if at == 0 else "outputs",
                "taken": shape((*done, f.cells, rest)),
                "scratch": "cells" if at % 2 == 0 else "cut",  # where the source is not
                "given": shape((*done, f.outputs, rest)),
            }
        )
        done.append(f.outputs)
    return found


def winograd_constants(stage: Winograd) -> str:
    """Return the integer matrices that the transforms multiply with."""
    return fill(
        "numpy/winograd_constants.py.j2",
        filterings=[
            {
                "m": f.outputs,
                "r": f.taps,
                "n": f.cells,
                "divisor": f.divisor,
                "points": ", ".join(map(str, POINTS[f.cells - 1])),
                "matrices": [
                    (_constant(name, f), _rows(rows))
                    for name, rows in (("a", f.to_outputs), ("g", f.of_taps), ("b", f.of_cells))
                ],
            }
            for f in dict.fromkeys(stage.filtering)
        ],
    )


def _rows(rows: Rows) -> list[str]:
    return [", ".join(map(str, row)) for row in rows]
