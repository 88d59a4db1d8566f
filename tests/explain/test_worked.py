"""Worked examples: their answers against loops and PyTorch's rules, their blanks, their documents."""

from __future__ import annotations

import re
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from symconv import BatchNorm, Contraction, Conv, MaxPool, SymconvError
from symconv.explain.dependence import is_drawn_by_elements
from symconv.explain.numbers import LARGEST
from symconv.explain.worked import worked_layer
from symconv.layers import Layer
from symconv.notation.arrays import evaluate_arrays
from symconv.notation.monomials import term_count
from tests.effort import many
from tests.shell.command import ARTICLE, run
from tests.strategies import layers, pools


@hypothesis.given(st.one_of(layers(), pools()), st.integers(0, 99))
@hypothesis.settings(max_examples=many(200))
def test_answers_are_the_layers(layer: Layer, seed: int) -> None:
    hypothesis.assume(is_drawn_by_elements(layer) and term_count(layer.graph) <= LARGEST)
    example = worked_layer(layer, seed)
    tensors = [*layer.tensors.values(), layer.cotangent]
    values = {t.name: np.array(example.numbers[t.name], float).reshape(t.sizes) for t in tensors}
    graphs = {"O": layer.graph.only("O")}
    graphs |= {f"∂E/∂{layer.symbols[n]}": layer.gradient(n) for n in layer.differentiable}
    for name, graph in graphs.items():
        found = np.array(example.answers[name], float)
        assert np.allclose(found, evaluate_arrays(graph, values).ravel()), name


def test_values_stand_beside_symbols() -> None:
    example = worked_layer(
        Conv((1, 1, 2, 2), 1, 2), {"x": [[1, 2], [3, -4]], "weight": [[1, 1], [0.5, 2]], "bias": [7]}
    )
    text = example.text()
    wanted = "O11 = F11·X11 + F12·X12 + F21·X21 + F22·X22 + b1 = 1·1 + 1·2 + 1/2·3 + 2·(-4) + 7 = 7/2"
    assert wanted in " ".join(text.split())
    assert "The layer is Conv(input_shape=(1, 1, 2, 2)" in text


def test_signs_are_written_once() -> None:
    layer = Contraction.parse("O[n,i] = X[n,i+k]*F[k] - 2*X[n,i]", X=(1, 3), F=(2,))
    text = worked_layer(layer, 1).text()
    assert "+ -" not in text
    assert "- 2·X11" in text


def test_a_maximum_gives_its_gradient_to_the_first() -> None:
    text = worked_layer(MaxPool((1, 1, 1, 2), (1, 2)), {"x": [5, 5], "grad_output": [3]}).text()
    assert "O11 = max(X11, X12) = max(5, 5) = 5" in text
    assert "∂E/∂X11 = G11 = 3" in text
    assert "∂E/∂X12 = 0" in text


def test_an_exercise_has_no_answers() -> None:
    example = worked_layer(Conv((1, 1, 3, 3), 1, 2, bias=False), 0, blanks=True)
    text = example.text()
    assert len(re.findall(r"^    (?:O|∂E/∂)\S* = _____$", text, re.MULTILINE)) == 4 + 9 + 4
    assert "Answers" not in text
    assert "·" not in text
    assert "underline" in example.latex()


@pytest.mark.parametrize(
    ("layer", "numbers", "text"),
    [
        (BatchNorm((4, 3)), 0, "must be a sum of products"),
        (Conv((1, 1, 90, 90), 1, 2), 0, "at most 400 terms"),
        (Conv((1, 1, 3, 3), 1, 2), {"x": [[1, 2]]}, r"shape \(1, 1, 3, 3\).*\(1, 2\)"),
        (Conv((1, 1, 3, 3), 1, 2), {"x": "abc"}, "x must be an array of numbers"),
        (Conv((1, 1, 3, 3), 1, 2), {"w": 1}, "w is not one of x, weight, bias, grad_output"),
    ],
)  # fmt: skip
def test_what_cannot_be_worked_is_refused(layer: Layer, numbers: object, text: str) -> None:
    with pytest.raises(SymconvError, match=text):
        worked_layer(layer, numbers)  # type: ignore[arg-type]  # some are wrong


def test_the_shell_hands_out_exercises(tmp_path: Path) -> None:
    (tmp_path / "numbers.toml").write_text(
        "x = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]\nweight = [[1, 0], [0, -1]]\n"
    )
    said = run("derive", *ARTICLE, "--no-bias", "--numbers", "numbers.toml", cwd=tmp_path)
    assert "O11 = F11·X11 + F12·X12 + F21·X21 + F22·X22 = 1·1 + 0·2 + 0·4 + (-1)·5 = -4" in said
    both = run("derive", *ARTICLE, "--exercise", "--solution", cwd=tmp_path)
    assert both.count("Given:") == 2
    assert both.index("_____") < both.index("Answers:")
    run("derive", *ARTICLE, "--exercise", "-o", "sheet.tex", cwd=tmp_path)
    assert "\\documentclass" in (tmp_path / "sheet.tex").read_text("utf-8")
    assert "must be a seed" in run("derive", *ARTICLE, "--numbers", "x.txt", code=2)
    assert "does not go with" in run("derive", *ARTICLE, "--exercise", "--json", code=2)
