"""Sizes, subscripts and numbers in C."""

from __future__ import annotations

from symconv.kernel.language import Buffer
from symconv.notation.contraction import Access, Size
from symconv.notation.polynomial import Number, Polynomial
from symconv.notation.text import subscript_text
from symconv.targets.c.dialect import LARGEST
from symconv.targets.c.nests import Header
from symconv.templating import environment


def syntax(macro: str, **holes: object) -> str:
    """Return one of C's statements with its holes filled."""
    return str(getattr(environment().get_template("c/statements.c.j2").module, macro)(**holes))


def loop_over(macro: str, letter: str, **holes: object) -> Header:
    """Return the header of a loop over an index."""
    return Header(letter, syntax(macro, letter=letter, **holes))


def size_text(size: Size) -> str:
    """Write a size: ``3``, ``2 * n``."""
    return str(size) if isinstance(size, int) else subscript_text(size, " * ")


def element_text(access: Access) -> str:
    """Write an element of an array: ``x[n][c][y + i]``; a number is a variable."""
    places = [subscript_text(s, " * ") for s in access.subscripts]
    return access.tensor.name + brackets(places)


def value_text(subscript: Polynomial) -> str:
    """Write the value of a subscript as a number: ``(real)c``."""
    cast = {name: Polynomial.variable(f"(real){name}") for name in subscript.variables}
    text = subscript_text(subscript.substitute(cast), " * ")
    return f"({text})" if " " in text or text.startswith("-") else text


def brackets(sizes: list[str] | list[int] | tuple[int, ...]) -> str:
    """Write sizes, or places, one behind the other: ``[2][3]``."""
    return "".join(f"[{size}]" for size in sizes)


def number_text(value: Number) -> str:
    """Write a number; decimals, and what an ``int`` may not hold, are of the file's own type."""
    if int(value) == value and -LARGEST <= int(value) <= LARGEST:
        return str(int(value))
    return f"(real){float(value)!r}"


def values_text(buffer: Buffer) -> str:
    """Write a constant's numbers, axis by axis in braces but for the first."""
    rows = list(map(number_text, buffer.values))
    for size in reversed(buffer.tensor.sizes[1:]):
        rows = ["{" + ", ".join(rows[at : at + size]) + "}" for at in range(0, len(rows), size)]
    return ", ".join(rows)
