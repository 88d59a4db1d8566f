"""Which algorithm computes a function, and why, in words."""

from __future__ import annotations

import math

from symconv.lower.algorithms import Algorithm, Candidate
from symconv.lower.columns import Columns
from symconv.lower.direct import Direct
from symconv.lower.fourier import Fourier
from symconv.lower.joined import Joined
from symconv.lower.joined_filters import JoinedFilters
from symconv.lower.joined_phases import JoinedPhases
from symconv.lower.joined_taps import JoinedTaps
from symconv.lower.layer_plan import Function
from symconv.lower.phases import Phases
from symconv.lower.planes import Planes
from symconv.lower.pointwise import Pointwise
from symconv.lower.rounding import plain_bound, rounding_bound
from symconv.lower.rows import Rows
from symconv.lower.scatter import Scatter
from symconv.lower.shift import Shift
from symconv.lower.table import Table
from symconv.lower.tiles import Filtered
from symconv.targets.numpy.words import words


def algorithm_name(algorithm: Algorithm) -> str:
    """Return an algorithm's name."""
    if isinstance(algorithm, Phases | JoinedPhases):
        return "polyphase"
    if isinstance(algorithm, JoinedFilters):
        return "joined filters"
    if isinstance(algorithm, JoinedTaps):
        return "joined"
    if isinstance(algorithm, Filtered):
        return "winograd"
    return type(algorithm).__name__.lower()


def duration(microseconds: float) -> str:
    """Write a time in the unit that suits it."""
    if microseconds >= 1000:
        return f"{_digits(microseconds / 1000)} ms"
    return f"{_digits(microseconds)} µs"


def _digits(number: float) -> str:
    """Write a number to two significant digits."""
    places = max(0, 1 - math.floor(math.log10(number)))
    return f"{round(number, 1 - math.floor(math.log10(number))):.{places}f}"


def choice_text(function: Function, timed: bool = False) -> str:
    """Say which algorithm a function uses; with times, also what the others were expected to take."""
    if not function.choices:
        return f"Algorithm: {words(function.kernel)}."
    chosen = [(_timed if timed else _named)(choice) for choice in function.choices]
    if len(chosen) == 1:
        return f"Algorithm: {chosen[0]}."
    numbered = [f"{number}. {text}" for number, text in enumerate(chosen, 1)]
    return f"Algorithms of its correlations in turn: {'; '.join(numbered)}."


def rounding_text(function: Function, dtype: str) -> str:
    """Say how far sums of transformed numbers may be from the exact ones."""
    return " ".join(_rounding(algorithm, dtype) for algorithm in function.fast)


def _rounding(algorithm: Filtered | Fourier, dtype: str) -> str:
    c = algorithm.correlation
    one, other = (name for name in (c.cells, c.taps, c.positions) if name != getattr(c, c.result))
    part = "tile" if isinstance(algorithm, Filtered) else "block"
    reached = "every tap" if c.result == "taps" else f"its whole {part}"
    return (
        f"Rounding, before anything else is added: a sum of products of {one} and {other} is within "
        f"{rounding_bound(algorithm, dtype):.1e} · max|{one}| · max|{other}| of the exact one, a plain "
        f"sum within {plain_bound(c, dtype):.1e}. A number that is not finite reaches {reached}."
    )


def _named(choice: tuple[Candidate, ...]) -> str:
    """Name an algorithm, and say what it does."""
    best = choice[0].algorithm
    return f"{algorithm_name(best)}, {_how(best)}"


def _timed(choice: tuple[Candidate, ...]) -> str:
    """Say which algorithm a correlation's is, and what the others were expected to take."""
    best, *others = choice
    name = algorithm_name(best.algorithm)
    said = "measured" if best.measured else "expected"
    text = f"{name}, {_how(best.algorithm)}; {said} {duration(best.microseconds)}"
    rejected = ", ".join(f"{_tiles(o.algorithm)} {duration(o.microseconds)}" for o in others)
    return f"{text} ({rejected})" if rejected else f"{text} (nothing else applies)"


def _tiles(algorithm: Algorithm) -> str:
    """Name an algorithm, with its tiles or blocks if it has some."""
    if isinstance(algorithm, Fourier):
        return f"fourier of {'×'.join(map(str, algorithm.lengths))}"
    if not isinstance(algorithm, Filtered):
        return algorithm_name(algorithm)
    return f"winograd {'×'.join(f'F({f.outputs}, {f.taps})' for f in algorithm.filtering)}"


def _in_blocks(images: int, batch: int) -> str:
    """Say how many samples are computed together, if they are not all."""
    if images >= batch:
        return ""
    return ", sample by sample" if images == 1 else f", in blocks of {images} samples"


def _how(algorithm: Algorithm) -> str:
    """Say in a few words what an algorithm does."""
    in_blocks = _in_blocks(getattr(algorithm, "images", 1), algorithm.correlation.batch)
    match algorithm:
        case Table():
            return "one look-up of every window through a constant table, one product"
        case Pointwise():
            return "a plain product without a copy"
        case Columns():
            return f"windows copied side by side (im2col), one product{in_blocks}"
        case Rows(correlation=c):
            return f"one shifted copy for each filter column, {c.axes[0].taps} products{in_blocks}"
        case Shift(correlation=c, rows=rows):
            size = f", {rows} positions at a time" if rows < c.axes[0].positions else ""
            return f"one multiplication and addition for each filter element{size}{in_blocks}"
        case Planes(correlation=c, planes=planes):
            together = f"{planes} planes at a time" if planes < c.groups else "all planes together"
            each = "one multiplication and addition for each filter element"
            return f"flattened planes, {together}, {each}"
        case Phases(axes=axes):
            count = math.prod(map(len, axes))
            return f"{count} plain correlations, one per phase{in_blocks}"
        case Filtered(filtering=filtering):
            sizes = " × ".join(f"F({f.outputs}, {f.taps})" for f in filtering)
            fewer = math.prod(f.outputs * f.taps for f in filtering)
            products = math.prod(f.cells for f in filtering)
            return f"{sizes}: {products} products instead of {fewer}{in_blocks}"
        case Fourier(lengths=lengths):
            size = "×".join(map(str, lengths))
            number = "×".join(map(str, algorithm.tiles))
            what = "block" if math.prod(algorithm.tiles) == 1 else "blocks"
            return f"transforms of {number} {what} of {size} numbers, image by image"
        case Direct():
            return "the sum itself"
        case Joined():
            return f"runs of planes whose rows lie end to end, sums in registers{in_blocks}"
        case JoinedFilters():
            return "positions of a row against vectors of filters"
        case JoinedTaps():
            return f"products of runs of planes whose rows lie end to end, in registers{in_blocks}"
        case JoinedPhases(axes=axes):
            count = math.prod(map(len, axes))
            return f"{count} correlations of joined planes, one per phase, in registers{in_blocks}"
        case Scatter():
            return f"one product, a strided addition for each filter element (col2im){in_blocks}"
