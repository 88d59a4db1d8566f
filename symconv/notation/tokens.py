"""Reading text token by token: what the grammars of expressions and of index notation share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from symconv.errors import SymconvError

LONGEST = 2000  # characters

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign>\*\*|<=|>=|[-+*/^(),<>=\[\]]))",
    re.ASCII,
)


class Reader:
    """A text and the current token, which is empty at the end.

    Parameters
    ----------
    what
        What the text is, for messages.
    text
        The text, of at most 2000 characters.

    Raises
    ------
    SymconvError
        If the text is too long, or the next token is none.
    """

    hints: ClassVar[Mapping[str, str]] = {}  # what is written instead of a sign that is none

    def __init__(self, what: str, text: str) -> None:
        if len(text) > LONGEST:
            raise SymconvError(f"{what} of {len(text)} characters: must have at most {LONGEST}")
        self.what, self.text = what, text
        self.at = 0
        self.token = self.kind = ""
        self.next()

    def next(self) -> str:
        """Return the current token, and go to the next one."""
        before = self.token
        found = _TOKEN.match(self.text, self.at)
        rest = self.text[self.at :].strip()
        if found is None and rest:
            hint = self.hints.get(rest[0], "no number, name or operator")
            raise self.refuse(f"{rest[0]!r} is {hint}")
        self.kind = found.lastgroup or "" if found else ""
        self.token = found[self.kind] if found else ""
        self.at = found.end() if found else len(self.text)
        return before

    def refuse(self, why: str) -> SymconvError:
        """Return the error that shows the text."""
        shown = self.text if len(self.text) <= 60 else self.text[:57] + "..."
        return SymconvError(f"{self.what} {shown!r}: {why}")

    def expect(self, sign: str) -> None:
        """Go past a sign that must come now."""
        if self.token != sign:
            raise self.refuse(f"expected {sign!r}, found {self.token or 'the end'!r}")
        self.next()

    def end(self) -> None:
        """Refuse what is left."""
        if self.token:
            raise self.refuse(f"unexpected {self.token!r}")
