"""Lines of code: how long they are, and where longer ones are broken."""

from __future__ import annotations

import re
from itertools import pairwise

INDENT = "    "
LONGEST = 100  # characters of a line


def is_closed(text: str) -> bool:
    """Whether every bracket that is opened is closed."""
    return text.count("[") == text.count("]") and text.count("(") == text.count(")")


def in_lines(line: str, depth: int) -> list[str]:
    """Return a line, or several where it is too long, as ruff formats them.

    The last bracket's content is on a line of its own, or each part of it; a chain of calls in brackets.
    """
    end = line.rstrip(":")
    if len(INDENT) * depth + len(line) <= LONGEST or not end.endswith((")", "]")) or line[0] == "#":
        return [line]
    target, equals, source = line.partition(" = ")
    if re.search(r"\)\.\w+\(", source):
        return [f"{target}{equals}(", INDENT + source, ")"]
    start = next(at for at in reversed(range(len(end) - 1)) if is_closed(end[at:]))
    inside = [line[start + 1 : len(end) - 1]]
    if len(INDENT) * (depth + 1) + len(inside[0]) > LONGEST:
        commas = [c.start() for c in re.finditer(", ", inside[0]) if is_closed(inside[0][: c.start()])]
        edges = [-2, *commas, len(inside[0])]
        inside = [f"{inside[0][a + 2 : b]}," for a, b in pairwise(edges)]
    return [line[: start + 1], *(INDENT + each for each in inside), line[len(end) - 1 :]]
