"""Pools and activations written out element by element: checks that pass, and that see an error."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import hypothesis
import pytest

from symconv import Activation, AvgPool, GlobalMaxPool, MaxPool, SymconvError, derive
from symconv.derive import plane_view
from symconv.derive.elements import output_elements
from symconv.layers import Layer
from symconv.layers.pool import GlobalAvgPool
from tests.bridge import Pool
from tests.effort import many
from tests.strategies import pools


@hypothesis.given(pools())
@hypothesis.settings(max_examples=many(100))
def test_every_step_of_a_pool_is_confirmed(layer: Pool) -> None:
    hypothesis.assume(len(layer.input_shape) < 5)
    derivation = derive(layer, "matrix", full=True)
    assert all(step.check.passed for step in derivation.steps)
    assert derivation.steps[-1].after.text.count("∂E/∂X") >= 1


def test_equations_of_a_maximum_and_an_average() -> None:
    text = derive(MaxPool((1, 1, 3, 3), 2, stride=1)).text()
    assert "O11 = max(X11, X12, X21, X22)" in text
    assert "∂E/∂X12 = G11·[X12 is selected for O11] + G12·[X12 is selected for O12]" in text
    text = derive(AvgPool((1, 1, 4), 2)).text()
    assert "O1 = X1/2 + X2/2" in text
    assert "∂E/∂X2 = G1/2" in text
    assert "∂E/∂X22 = G22·f′(X22)" in derive(Activation((1, 1, 2, 2), "relu")).text()


@pytest.mark.parametrize("layer", [MaxPool((1, 1, 3, 3), 2, stride=1), GlobalMaxPool((1, 1, 2, 2))])
def test_a_window_that_lacks_an_element_is_seen(layer: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    right = plane_view._windows
    monkeypatch.setattr(plane_view, "_windows", lambda p: {o: c[:-1] for o, c in right(p).items()})
    assert not all(step.check.passed for step in derive(layer, "matrix").steps)


@pytest.mark.parametrize("layer", [AvgPool((1, 1, 3, 3), 2, stride=1), GlobalAvgPool((1, 1, 2, 2))])
def test_an_average_with_another_divisor_is_seen(layer: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    right = output_elements
    monkeypatch.setattr(plane_view, "output_elements", lambda p: [2 * each for each in right(p)])
    steps = derive(layer, "matrix").steps
    assert [step.check.passed for step in steps] == [True, False, False]


def test_a_large_plane_is_shown_in_part_and_a_volume_refused() -> None:
    layer = MaxPool((1, 1, 8, 8), 2)
    assert "and 55 more (all of them: full)" in derive(layer).text()
    assert "∂E/∂X88" in derive(layer, "matrix", full=True).text()
    with pytest.raises(SymconvError, match="three spatial axes"):
        derive(MaxPool((1, 1, 4, 4, 4), 2), "matrix")
    assert derive(replace(layer, input_shape=(2, 3, 8, 8))).view == "index"


@pytest.mark.needs("pdflatex")
def test_latex_compiles(tmp_path: Path) -> None:
    from symconv.explain.documents import latex_document

    text = latex_document(derive(MaxPool((1, 1, 3, 3), 2, stride=1)), "0")
    (tmp_path / "d.tex").write_text(text, "utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "d.tex"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
