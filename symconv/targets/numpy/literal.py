"""Plain data as Python source."""

from __future__ import annotations

import json
from collections.abc import Iterator

from symconv.targets.numpy.lines import LONGEST


def literal(value: object) -> str:
    """Write numbers, strings, booleans, tuples and dicts of them as Python source, on one line."""
    if isinstance(value, tuple):
        inner = ", ".join(map(literal, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


def literal_lines(value: object, indent: int, before: str = "") -> list[str]:
    """Write a value on one line, or, where that is too long, its items on lines of their own."""
    text = f"{' ' * indent}{before}{literal(value)},"
    if len(text) <= LONGEST or not isinstance(value, tuple | dict):
        return [text]
    first, last = ("(", ")") if isinstance(value, tuple) else ("{", "}")
    return [
        f"{' ' * indent}{before}{first}",
        *(line for item in _items(value) for line in literal_lines(item[1], indent + 4, item[0])),
        f"{' ' * indent}{last},",
    ]


def _items(value: tuple[object, ...] | dict[str, object]) -> Iterator[tuple[str, object]]:
    if isinstance(value, tuple):
        yield from (("", item) for item in value)
    else:
        yield from ((f"{literal(key)}: ", item) for key, item in value.items())
