"""The blocks of code that compute a correlation by Fourier transforms, one image after the other."""

from __future__ import annotations

from symconv.notation.correlation import Correlation
from symconv.plan.algorithms import Epilogue, Fourier
from symconv.render.environment import fill
from symconv.render.holes import finish_images, tile_cells, tile_positions
from symconv.render.syntax import group, shape, taps_view

LETTERS = "uvw"  # of blocks; behind them abd, of frequencies


def fourier(stage: Fourier, function: str, epilogue: Epilogue) -> str:
    """Return transforms of blocks and taps, their products, and the transform back."""
    c = stage.correlation
    rank = len(c.axes)
    cells, setup, prepare = tile_cells(stage, function)
    axes = shape(range(-rank, 0))
    blocks = (*group(c), c.channels, *stage.blocks)
    spectrum = (*stage.lengths[:-1], stage.lengths[-1] // 2 + 1)
    g, at, each = "g" if c.groups > 1 else "", LETTERS[:rank], "abd"[:rank]
    places = ", ".join(["...", *(f"::{step}" for step in stage.steps), *[":"] * rank])
    common = {
        "images": c.batch,
        "axes": axes,
        "lengths": shape(stage.lengths),
        "block": "×".join(map(str, stage.lengths)),
        "apart": "×".join(map(str, stage.steps)),
        "source": cells,
        "places": places,
        "spectra": shape((*blocks, *spectrum)),
    }
    if c.result == "taps":
        positions, more_setup, more = tile_positions(stage, function)
        cut = [n for pair in zip(stage.blocks, stage.steps, strict=True) for n in pair]
        order = [1 + 2 * at for at in range(rank)], [2 + 2 * at for at in range(rank)]
        return fill(
            "numpy/fourier_taps.py.j2",
            **common,
            setup=setup + more_setup,
            prepare=prepare + more,
            positions=positions,
            cut=shape((c.groups * c.filters, *cut)),
            order=_transposed([0, *order[0], *order[1]]),
            position_spectra=shape((*group(c), c.filters, *stage.blocks, *spectrum)),
            sums=shape((*group(c), c.filters, c.channels, *spectrum)),
            contraction=f"{g}f{at}{each},{g}c{at}{each}->{g}fc{each}",
            taken=", ".join(["...", *(f":{a.taps}" for a in c.axes)]),
            taps_stored=taps_view(c, c.taps),
            taps_shape=shape((c.groups * c.filters, c.channels, *(a.taps for a in c.axes))),
        )
    whole = [0, *(n for at in range(rank) for n in (1 + at, 1 + rank + at))]
    return fill(
        "numpy/fourier_positions.py.j2",
        **common,
        setup=setup,
        prepare=prepare,
        kernel=_kernel(c),
        contraction=f"{g}c{at}{each},{g}fc{each}->{g}f{at}{each}",
        taken=", ".join(["...", *(f":{step}" for step in stage.steps)]),
        apart_shape=shape((c.groups * c.filters, *stage.blocks, *stage.steps)),
        order=_transposed(whole),
        side_by_side=shape((c.groups * c.filters, *stage.filled)),
        image=f"{c.positions}[n]",
        inside=", ".join([":", *(f":{a.positions}" for a in c.axes)]),
        **finish_images(c, epilogue, "image"),
    )


def _transposed(order: list[int]) -> str:
    """Write that axes change places, if they do."""
    return f".transpose{shape(order)}" if order != sorted(order) else ""


def _kernel(c: Correlation) -> str:
    """Write the taps, filters before channels, a group's axis before both if there is one."""
    view, taps = taps_view(c, c.taps), [a.taps for a in c.axes]
    if not c.taps_transposed:
        return f"{view}.reshape{shape((*group(c), c.filters, c.channels, *taps))}"
    low = len(group(c))
    stored = f"{view}.reshape{shape((*group(c), c.channels, c.filters, *taps))}"
    return f"{stored}.swapaxes({low}, {low + 1})"
