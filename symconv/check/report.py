"""What a check found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from symconv.notation.layout import UNFOLDED, wrapped
from symconv.notation.markup import html_table

Array: TypeAlias = NDArray[Any]
Method: TypeAlias = Literal["exact", "numeric", "contract"]


@dataclass(frozen=True)
class Result:
    """The result of one check.

    Attributes
    ----------
    name
        What was checked.
    method
        ``"exact"`` (polynomials, or integers whose sums are exact), ``"numeric"``, or ``"contract"``
        (what a generated module promises besides correct values).
    passed
        Whether the check passed.
    detail
        What was compared, or how the results differ.
    """

    name: str
    method: Method
    passed: bool
    detail: str


@dataclass(frozen=True, repr=False)
class Report:
    """The results of all checks of one module or one pair of functions."""

    subject: str
    results: tuple[Result, ...]

    def __bool__(self) -> bool:
        """Whether every result passed, so that ``assert symconv.check(...)`` works."""
        return self.passed

    @property
    def passed(self) -> bool:
        """Whether every result passed."""
        return all(result.passed for result in self.results)

    def text(self, width: int = UNFOLDED) -> str:
        """Return the report, folded at a width: a line for each passed check, and all failures."""
        lines = [self.subject]
        for result in self.results:
            if result.passed:
                said = f"passed  {result.name}  ({result.method}: {result.detail})"
                lines += wrapped(said, width, hanging=8)
                continue
            lines.append(f"FAILED  {result.name}  ({result.method})")
            for failure in result.detail.splitlines():
                lines += wrapped(failure, width, indent=8, hanging=4)
        return "\n".join(lines) + "\n"

    @property
    def summary(self) -> str:
        """How many results passed or failed, in one line."""
        failed = [result.name for result in self.results if not result.passed]
        if failed:
            return f"{len(failed)} of {len(self.results)} FAILED: {', '.join(failed)}"
        return f"all {len(self.results)} passed"

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        """Show a notebook what was checked, a row each."""
        rows = [("passed" if r.passed else "FAILED", r.name, r.method, r.detail) for r in self.results]
        heading = f"{self.subject}: {self.summary}"
        return html_table(heading, ("result", "what", "how", "detail"), rows)

    def __repr__(self) -> str:
        failures = [result for result in self.results if not result.passed]
        first = f"; {failures[0].detail.split('. ')[0]}." if failures else ""
        return f"Report({self.subject}: {self.summary}{first})"


def apart(received: float, expected: float) -> tuple[str, str]:
    """Write two different numbers with enough digits to show the difference."""
    for digits in (6, 9, 12, 17):
        one, other = f"{float(received):.{digits}g}", f"{float(expected):.{digits}g}"
        if one != other:
            break
    return one, other


def difference(received: Array, wanted: Array, most: float) -> str:
    """Say where two arrays differ most, if they differ by more than ``most``; else return ""."""
    if received.shape != wanted.shape:
        return f"has shape {received.shape}, expected {wanted.shape}"
    error = np.abs(np.asarray(received, float) - wanted)
    error = np.where(np.isfinite(error), error, np.inf)
    if not error.size or error.max() <= most:
        return ""
    at = np.unravel_index(int(np.argmax(error)), error.shape)
    place = list(map(int, at))
    one, other = apart(received[at], wanted[at])
    return f"at {place}: {one}, expected {other}"


def largest(arrays: Iterable[Array]) -> float:
    """Return the largest absolute value in all arrays; 0 if there is none."""
    return max((float(np.abs(array).max(initial=0.0)) for array in arrays), default=0.0)
