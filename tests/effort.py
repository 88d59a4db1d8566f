"""How long the tests search, and where: a little with ``make test``, long with ``make test-all``.

Both search in the same places each time; ``make search`` searches elsewhere each time.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from typing import TypeVar

import pytest

T = TypeVar("T")
CASES = 1  # of a test with parameters that the short run takes

SEARCH = os.environ.get("SYMCONV_SEARCH") == "1"
FULL = SEARCH or os.environ.get("SYMCONV_FULL") == "1"
long = pytest.mark.skipif(not FULL, reason="takes long: make test-all runs it")


def many(count: int) -> int:
    """Return how many random examples to draw: all in the full run, else a few."""
    return count if FULL else max(2, count // 100)


def some(items: Iterable[T], step: int) -> Iterator[T]:
    """Visit all items in the full run, else every so many-th one, the first one included."""
    return itertools.islice(items, 0, None, 1 if FULL else step)
