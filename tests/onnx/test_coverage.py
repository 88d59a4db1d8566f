"""ONNX's own tests: nothing that is read is wrong, and the page says what passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.effort import long
from tests.test_rooms import ROOT

pytest.importorskip("onnx", reason="onnx is not installed: pip install 'symconv[onnx]'")
coverage = pytest.importorskip("tests.onnx.coverage")
PAGE = ROOT / "docs" / "onnx.md"
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # ONNX's tests divide by zero


def wrong(cases: Sequence[Any], target: str = "numpy") -> list[str]:
    """Return the cases that are read and give other results."""
    found = [(case, coverage.outcome(case, target)) for case in cases]
    return [case.name for case, o in found if not o.passed and not o.refused]


def test_nothing_that_is_read_is_wrong() -> None:
    assert not wrong([*coverage.cases()][::37])
    assert not wrong([*coverage.exports()][::9], "c")


def test_a_wrong_result_is_seen() -> None:
    """Planted: expected numbers that are off by a ten-thousandth."""
    case = next(case for case in coverage.cases() if case.operator == "Conv")
    off = tuple(np.asarray(a + np.abs(a).max() * 1e-4, a.dtype) for a in case.outputs)
    assert wrong([replace(case, outputs=off)]) == [case.name]


@long
def test_the_page_says_what_passes() -> None:
    import onnx

    operators, models = coverage.rows([*coverage.cases()]), coverage.rows([*coverage.exports()])
    every = [o for row in (*operators.values(), *models.values()) for o in row.in_c]
    every += [o for row in operators.values() for found in row.results.values() for o in found]
    assert all(o.passed or o.refused for o in every)
    text = PAGE.read_text("utf-8")
    if f"with onnx {onnx.__version__}." in text:  # others have other tests
        assert coverage.page(operators, models, onnx.__version__) == text
