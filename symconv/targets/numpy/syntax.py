"""How NumPy's subscripts, slices and shapes are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from symconv.notation.contraction import Size
from symconv.notation.polynomial import Polynomial
from symconv.notation.text import subscript_text
from symconv.targets.numpy.lines import INDENT, LONGEST

WIDTH = LONGEST - len(INDENT)  # of a function's lines
JOINER = "\0"  # stands for a space at which a line is not folded


def shape(sizes: Iterable[int | str]) -> str:
    """Write a tuple of words: ``(2, n)``, ``(2,)``, ``()``."""
    words = [str(size) for size in sizes]
    if not words:
        return "()"
    return f"({words[0]},)" if len(words) == 1 else f"({', '.join(words)})"


def number_text(size: Size) -> str:
    """Write an integer, or a sum in letters: ``2 * i + 1``."""
    return str(size) if isinstance(size, int) else subscript_text(size, " * ")


def tuple_text(sizes: Iterable[Size]) -> str:
    """Write a tuple: ``(2, 3)``, ``(2,)``."""
    return shape(number_text(size) for size in sizes)


def arguments_text(sizes: Sequence[Size]) -> str:
    """Write sizes as arguments: ``2, 3``; of a number, an empty tuple."""
    return ", ".join(map(number_text, sizes)) if sizes else "()"


def slice_text(start: Size, step: int, count: Size, size: Size) -> str:
    """Write the slice of ``start + step·k`` for k < count, of an axis of some size."""
    lifted = Polynomial.lift(start)
    if step == -1 and lifted + 1 == Polynomial.lift(size) == Polynomial.lift(count):
        return "::-1"
    if step < 0:
        stop = lifted + (Polynomial.lift(count) - 1) * step - 1
        end = "" if stop == -1 else number_text(stop)
        return _joined(number_text(start), end, str(step))
    stop = lifted + (Polynomial.lift(count) - 1) * step + 1
    first = "" if lifted == 0 else number_text(start)
    last = "" if stop == Polynomial.lift(size) else number_text(stop)
    return _joined(first, last, "" if step == 1 else str(step))


def _joined(first: str, last: str, step: str) -> str:
    """Join a slice's parts, with spaces around the colons where a part is more than a name."""
    parts = [first, last] + ([step] if step else [])
    if not any(" " in part for part in parts):
        return ":".join(parts)
    text = parts[0]
    for part in parts[1:]:
        text = f"{text} :" if text else ":"
        text += f" {part}" if part else ""
    return text


def subscript(parts: Sequence[str]) -> str:
    """Write a subscript; whole axes at its end are left out, and all of it where nothing is left."""
    kept = list(parts)
    while kept and kept[-1] == ":":
        kept.pop()
    return f"[{', '.join(kept)}]" if kept else ""
