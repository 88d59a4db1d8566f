"""Which algorithm computes a function, and why, in words."""

from __future__ import annotations

import math
import re

from symconv.plan.algorithms import (
    Algorithm,
    Candidate,
    Columns,
    Fourier,
    Phases,
    Pointwise,
    Rows,
    Scatter,
    Shift,
    Table,
    Winograd,
)
from symconv.plan.layer import Function
from symconv.plan.rounding import plain_bound, rounding_bound


def algorithm_name(algorithm: Algorithm) -> str:
    """Return an algorithm's name."""
    if isinstance(algorithm, Phases):
        return "polyphase"
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


def choice_text(function: Function, body: str) -> str:
    """Say which algorithm a function uses, and what the others were expected to take.

    ``body`` is the function's text: without a choice, what it computes with is read off it.
    """
    if not function.choices:
        return f"Algorithm: {_words(body)}."
    if len(function.choices) == 1:
        return f"Algorithm: {_chosen(function.choices[0])}."
    chosen = [f"{number}. {_chosen(choice)}" for number, choice in enumerate(function.choices, 1)]
    return f"Algorithms of its correlations in turn: {'; '.join(chosen)}."


def rounding_text(function: Function, dtype: str) -> str:
    """Say how far sums of transformed numbers may be from the exact ones."""
    return " ".join(_rounding(algorithm, dtype) for algorithm in function.fast)


def _rounding(algorithm: Winograd | Fourier, dtype: str) -> str:
    c = algorithm.correlation
    one, other = (name for name in (c.cells, c.taps, c.positions) if name != getattr(c, c.result))
    part = "tile" if isinstance(algorithm, Winograd) else "block"
    reached = "every tap" if c.result == "taps" else f"its whole {part}"
    return (
        f"Rounding, before anything else is added: a sum of products of {one} and {other} is within "
        f"{rounding_bound(algorithm, dtype):.1e} · max|{one}| · max|{other}| of the exact one, a plain "
        f"sum within {plain_bound(c, dtype):.1e}. A number that is not finite reaches {reached}."
    )


def _chosen(choice: tuple[Candidate, ...]) -> str:
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
    if not isinstance(algorithm, Winograd):
        return algorithm_name(algorithm)
    return f"winograd {'×'.join(f'F({f.outputs}, {f.taps})' for f in algorithm.filtering)}"


_WORDS = (  # what a text has, and what it is called
    (r"np\.matmul\(|\.dot\(| @ ", "matrix products"),
    (r"np\.einsum\(", "einsum"),
    (r"np\.sum\(|\.sum\(", "NumPy's sums"),
    (r"np\.max\(|\.max\(|np\.maximum\(", "NumPy's maxima"),
    (r"\.argmax\(", "NumPy's argmax"),
)


def _words(body: str) -> str:
    """Say what a function's text computes with: read off the text, so that it cannot say otherwise."""
    found = [words for pattern, words in _WORDS if re.search(pattern, body)]
    loops = re.findall(r"^ *for (\w+(?:, \w+)*) in ", body, re.MULTILINE)
    if loops:
        found.append(f"a loop over {' and '.join(dict.fromkeys(loops))}")
    kinds = found or ["operations on whole arrays"]
    return " and ".join(filter(None, [", ".join(kinds[:-1]), kinds[-1]]))


def _how(algorithm: Algorithm) -> str:
    """Say in a few words what an algorithm does."""
    blocks = algorithm.correlation.batch // getattr(algorithm, "images", 1)
    in_blocks = f" in {blocks} blocks of images" if blocks > 1 else ""
    match algorithm:
        case Table():
            return "one look-up of every window through a constant table, one product"
        case Pointwise():
            return "a plain product without a copy"
        case Columns():
            return f"windows copied side by side (im2col){in_blocks}, one product"
        case Rows(correlation=c):
            return (
                f"one shifted copy for each column of the filter{in_blocks}, {c.axes[0].taps} products"
            )
        case Shift(correlation=c, rows=rows):
            size = f", {rows} positions at a time" if rows < c.axes[0].positions else ""
            return f"one multiplication and addition for each filter element{size}{in_blocks}"
        case Phases(axes=axes):
            count = math.prod(map(len, axes))
            return f"{count} plain correlations, one per phase{in_blocks}"
        case Winograd(filtering=filtering):
            sizes = " × ".join(f"F({f.outputs}, {f.taps})" for f in filtering)
            fewer = math.prod(f.outputs * f.taps for f in filtering)
            products = math.prod(f.cells for f in filtering)
            return f"{sizes}: {products} products instead of {fewer}, image by image"
        case Fourier(lengths=lengths):
            size = "×".join(map(str, lengths))
            number = "×".join(map(str, algorithm.blocks))
            what = "block" if math.prod(algorithm.blocks) == 1 else "blocks"
            return f"transforms of {number} {what} of {size} numbers, image by image"
        case Scatter():
            return f"one product{in_blocks}, a strided addition for each filter element (col2im)"
