"""Lines of text: as wide as they may be, continued under an indentation."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

WIDTH = 100  # columns, where nobody says how many there are
UNFOLDED = 10**6  # columns, so that a line stays one
NARROWEST, WIDEST = 60, 120  # columns of a terminal that are used


def wrapped(text: str, width: int, indent: int = 0, hanging: int = 0) -> list[str]:
    """Return a text in lines of a width; all are indented, those after the first by ``hanging`` more."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hanging),
        break_long_words=False,
        break_on_hyphens=False,
    )


def beside(*blocks: str | list[str]) -> str:
    """Write texts and matrices side by side, centred."""
    columns_ = [block if isinstance(block, list) else [block] for block in blocks]
    height = max(map(len, columns_))
    lines = [""] * height
    for block in columns_:
        width = max(map(len, block))
        top = (height - len(block)) // 2
        for at in range(height):
            cell = block[at - top] if 0 <= at - top < len(block) else ""
            lines[at] += cell.ljust(width)
    return "\n".join(line.rstrip() for line in lines)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as columns, each as wide as its widest cell.

    Examples
    --------
    >>> print(table([("node", "layer"), ("Conv_0", "conv1")]), end="")
    node    layer
    Conv_0  conv1
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)
