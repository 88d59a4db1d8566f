"""How long the tests search: a little with ``make test``, long with ``make test-all``."""

from __future__ import annotations

import os

FULL = os.environ.get("SYMCONV_FULL") == "1"


def many(count: int) -> int:
    """Return how many random examples to draw: all in the full run, else a twelfth, but a few."""
    return count if FULL else max(4, count // 12)
