"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Method: TypeAlias = Literal["exact", "numeric"]


@dataclass(frozen=True)
class Result:
    """One thing that was checked.

    Attributes
    ----------
    name
        What was checked.
    method
        ``"exact"`` (polynomials, or integers whose sums are exact) or ``"numeric"``.
    passed
        Whether it agreed.
    detail
        What was compared, or how it differs.
    """

    name: str
    method: Method
    passed: bool
    detail: str


@dataclass(frozen=True)
class Report:
    """Everything that was checked of one module or pair of functions."""

    subject: str
    results: tuple[Result, ...]

    @property
    def passed(self) -> bool:
        """Whether every result passed."""
        return all(result.passed for result in self.results)

    def text(self) -> str:
        """Return the report for a terminal: a line for each thing that was checked."""
        lines = [
            f"{'passed' if r.passed else 'FAILED'}  {r.name}  ({r.method}: {r.detail})"
            for r in self.results
        ]
        return "\n".join([self.subject, *lines]) + "\n"

    def __str__(self) -> str:
        return self.text()


def apart(received: float, expected: float) -> tuple[str, str]:
    """Write two numbers that differ so that one sees it."""
    for digits in (6, 9, 12, 17):
        one, other = f"{float(received):.{digits}g}", f"{float(expected):.{digits}g}"
        if one != other:
            break
    return one, other
