"""Lines of C, and headers with lines under them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

INDENT = " " * 4
LONGEST = 100  # columns
JOINER = "\0"  # stands for a space at which a line is not folded


@dataclass(frozen=True)
class Header:
    """The header of a loop, and the index that it counts."""

    letter: str
    text: str


@dataclass(frozen=True)
class Nest:
    """What is done under a loop's header."""

    header: Header
    body: tuple[Line, ...]


Line: TypeAlias = str | Nest


def nest(headers: Sequence[Header], body: Sequence[Line]) -> tuple[Line, ...]:
    """Return lines under headers, the first outermost."""
    for header in reversed(headers):
        body = (Nest(header, tuple(body)),)
    return tuple(body)


def outermost(lines: Sequence[Line]) -> list[str]:
    """Return what the outermost loops count, one inside the other, of lines that are such loops."""
    found = []
    while len(lines) == 1 and isinstance(lines[0], Nest):
        found.append(lines[0].header.letter)
        lines = lines[0].body
    return found


def text_lines(lines: Sequence[Line], depth: int = 0) -> list[str]:
    """Return lines, indented; braces are around more than one."""
    found: list[str] = []
    for line in lines:
        if isinstance(line, str):
            found += _folded(line, depth)
            continue
        braces = len(line.body) > 1
        found.append(f"{INDENT * depth}{line.header.text}{' {' if braces else ''}")
        found += text_lines(line.body, depth + 1)
        found += [f"{INDENT * depth}}}"] if braces else []
    return found


def _folded(line: str, depth: int) -> list[str]:
    """Fold a line that is too long, not within a subscript."""
    whole = re.sub(r"\[[^]]*\]", lambda found: found[0].replace(" ", JOINER), line)
    first, later = INDENT * depth, INDENT * (depth + 1)
    lines = textwrap.wrap(
        whole,
        LONGEST,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [each.replace(JOINER, " ") for each in lines]
