"""pytest: a layer's mark and fixture; reports and proofs found false are printed whole."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

MARK = "symconv(layer): the layer whose gradients the fixture assert_gradients compares with a test's"
PROPERTY = "symconv"  # of a test: the line that is printed for it


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark."""
    config.addinivalue_line("markers", MARK)


@pytest.fixture
def assert_gradients(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Return :func:`symconv.testing.assert_gradients` for the layer that the test is marked with."""
    from symconv import testing

    mark = request.node.get_closest_marker("symconv")
    if mark is None or "layer" not in mark.kwargs:
        raise pytest.UsageError("assert_gradients: needs @pytest.mark.symconv(layer=...)")

    def asserted(**functions: Any) -> None:
        report = testing.assert_gradients(mark.kwargs["layer"], **functions)
        request.node.user_properties.append((PROPERTY, f"{report.subject}: {report.summary}"))

    return asserted


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print a line for each test that used the fixture, and passed."""
    for passed in terminalreporter.getreports("passed"):
        for name, line in passed.user_properties if passed.when == "call" else ():
            if name == PROPERTY:
                terminalreporter.write_line(f"symconv: {passed.nodeid}: {line}")


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
