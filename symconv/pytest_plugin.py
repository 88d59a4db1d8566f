"""pytest: a report or a proof that an assertion found false is printed whole, in a section."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest


def pytest_exception_interact(call: pytest.CallInfo[Any], report: pytest.TestReport) -> None:
    """Add a section for every false report or proof in the assertion that failed."""
    if call.excinfo is not None and call.excinfo.errisinstance(AssertionError):
        for text in _texts(call.excinfo.traceback[-1].frame.f_locals):
            report.sections.append(("symconv", text))


def _texts(values: dict[str, Any]) -> Iterator[str]:
    """Visit the texts of what is false, each once; pytest keeps an assertion's values as locals."""
    known = [
        getattr(sys.modules[module], kind)
        for module, kind in (("symconv.check.report", "Report"), ("symconv.prove.theorems", "Proof"))
        if module in sys.modules
    ]
    false: list[Any] = [v for v in values.values() if isinstance(v, tuple(known)) and not v]
    yield from dict.fromkeys(value.text() for value in false)
