"""Plain data as Python source."""

from __future__ import annotations

import json


def literal(value: object) -> str:
    """Write numbers, strings, booleans, tuples and dicts of them as Python source."""
    if isinstance(value, tuple):
        inner = ", ".join(map(literal, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str):
        return json.dumps(value)
    return repr(value)
