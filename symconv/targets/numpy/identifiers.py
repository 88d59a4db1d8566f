"""Names of a function's variables: one that is taken gets a number."""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Collection, Iterable

RESERVED = {*dir(builtins), *keyword.kwlist, "np", "math", "product", "threading", "out", "outs"}


class Names:
    """The names that a function has given away."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._given: set[str] = set()

    def local(self, name: str, kept: bool, busy: Collection[str] = ()) -> str:
        """Return a name for a local variable, the same for the same wish, unless it is kept or busy."""
        found, number = name, 2
        while found in {*self._taken, *RESERVED, *busy} or (kept and found in self._given):
            found, number = f"{name}{number}", number + 1
        if kept:
            self._taken.add(found)
        else:
            self._given.add(found)
        return found
