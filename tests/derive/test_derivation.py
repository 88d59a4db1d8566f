"""Derivations: against SymPy, against the oracles, readable, and able to fail."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import sympy
from hypothesis import given, settings

from symconv import Conv, ConvTranspose, Network, SymconvError, derive, prove
from symconv.derive import index_view, rewrites
from symconv.derive.forms import (
    FullConvolution,
    full_convolution_substitutions,
    input_form,
    roles,
)
from symconv.explain.documents import latex_document, proof_document
from symconv.layers import Layer
from symconv.notation import correlation
from symconv.notation.graph import Graph
from symconv.notation.polynomial import Polynomial
from symconv.notation.substitution import Substitution
from symconv.notation.text import subscript_text
from symconv.prove.instances import numbers_of
from symconv.prove.t2_input_gradient import input_gradient
from tests.bridge import close, expected
from tests.effort import many
from tests.layers import test_composites, test_network
from tests.strategies import layers

ARTICLE = Conv((1, 1, 3, 3), 1, 2, bias=False)
SEVERAL: list[Conv | ConvTranspose] = [
    ARTICLE,
    Conv((1, 1, 9, 12), 1, (3, 4), stride=(2, 3), padding=1, dilation=(2, 1)),
    Conv((2, 4, 8, 9), 4, (3, 2), stride=(2, 3), padding=((1, -1), (0, 2)), groups=2, flip=True),
    Conv((1, 2, 6, 6), 2, 3, padding=2, padding_mode="reflect"),
    Conv((1, 2, 10), 2, 3, stride=4, dilation=2, padding=2, padding_mode="circular"),
    Conv((1, 2, 4, 5, 6), 2, 2, stride=2),
    ConvTranspose((1, 2, 4, 4), 2, 3, stride=2, output_padding=1, padding=1),
    Conv((4, 64, 56, 56), 64, 3, padding=1),
    Conv((1, 3, 224, 224), 64, 16, stride=16),
]


def test_the_article() -> None:
    """The equations of the article, as it has them."""
    text = derive(ARTICLE).text()
    for equation in (
        "O11 = F11·X11 + F12·X12 + F21·X21 + F22·X22",
        "∂E/∂F11 = G11·X11 + G12·X12 + G21·X21 + G22·X22",
        "∂E/∂X11 = F11·G11",
        "∂E/∂X22 = F11·G22 + F12·G21 + F21·G12 + F22·G11",
        "∂E/∂X = [0 G11 G12 0] ⋆ [F22 F21]",
    ):
        assert equation in text


def fits_matrices(layer: Conv | ConvTranspose) -> bool:
    return len(layer.windows) < 3 and max(layer.input_shape) <= 30


@pytest.mark.parametrize(
    ("layer", "view"),
    [(layer, "index") for layer in SEVERAL]
    + [(layer, "matrix") for layer in SEVERAL if fits_matrices(layer)],
    ids=str,
)
def test_every_step_is_checked_and_fits_a_terminal(layer: Conv | ConvTranspose, view: str) -> None:
    derivation = derive(layer, view)
    assert all(step.check.passed for step in derivation.steps)
    assert all(
        step.name and step.before.text and step.after.text and step.reason for step in derivation.steps
    )
    assert max(map(len, derivation.text().splitlines())) <= 100


@settings(max_examples=many(60))
@given(layers())
def test_every_step_of_any_layer_is_checked(layer: Conv | ConvTranspose) -> None:
    assert all(step.check.passed for step in derive(layer, "index").steps)
    if len(layer.windows) < 3:
        assert all(step.check.passed for step in derive(layer, "matrix").steps)


@settings(max_examples=many(25))
@given(layers())
def test_sympy_objects_are_the_gradients(layer: Conv | ConvTranspose) -> None:
    """Numbers put for the symbols give what the loop oracle gives."""
    derivation, want = derive(layer), expected(layer)
    values = dict(zip(_flat(derivation.input), want.inputs[0].ravel(), strict=True))
    values |= dict(zip(_flat(derivation.weight), want.inputs[1].ravel(), strict=True))
    from symconv.derive.elements import symbols

    values |= dict(zip(symbols(layer.cotangent), want.cotangent.ravel(), strict=True))
    if layer.bias:
        values |= dict(zip(symbols(layer.tensors["bias"]), want.inputs[2], strict=True))
    for found, wanted in (
        (derivation.output, want.output),
        (derivation.input_gradient, want.gradients[0]),
        (derivation.weight_gradient, want.gradients[1]),
    ):
        numbers = [float(e.xreplace(values)) for e in _flat(found)]
        assert close(np.array(numbers).reshape(wanted.shape), wanted)


def test_the_gradients_are_sympys_derivatives() -> None:
    derivation = derive(Conv((1, 1, 4, 5), 1, (2, 3), stride=2, padding=1, bias=False))
    cotangent = sympy.Matrix(*derivation.output.shape, lambda i, j: sympy.Symbol(f"G{i + 1}{j + 1}"))
    energy = sum(g * o for g, o in zip(cotangent, derivation.output, strict=True))
    for symbols, gradient in (
        (derivation.input, derivation.input_gradient),
        (derivation.weight, derivation.weight_gradient),
    ):
        assert [sympy.expand(energy.diff(s)) for s in symbols] == list(gradient)


def test_shapes_of_sympy_objects() -> None:
    assert derive(ARTICLE).input.shape == (3, 3)
    assert isinstance(derive(ARTICLE).weight_gradient, sympy.MatrixBase)
    assert derive(Conv((2, 2, 3, 3), 2, 2)).output.shape == (2, 2, 2, 2)


def test_an_error_planted_in_the_recognised_form_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def unrotated(layer: Conv | ConvTranspose) -> Graph:
        from dataclasses import replace

        from symconv.derive.forms import full_convolution, roles

        parts = roles(layer)
        axes = [replace(FullConvolution.of(w), rotated=False) for w in parts.windows]
        return full_convolution(parts, axes)

    monkeypatch.setattr(index_view, "input_form", unrotated)
    steps = derive(ARTICLE, "index").steps
    assert [step.check.passed for step in steps if step.name.startswith("Recognise")] == [True, False]


def test_an_error_planted_in_the_phases_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = correlation.polyphase
    monkeypatch.setattr(rewrites, "polyphase", lambda axis: right(axis)[1:])
    steps = derive(Conv((1, 1, 9), 1, 3, stride=2), "index").steps
    assert not next(step for step in steps if "polyphase" in step.name).check.passed


@pytest.mark.parametrize(
    ("layer", "view"),
    [
        (Conv((1, 1, 4, 4, 4), 1, 2), "matrix"),
        (ARTICLE, "html"),
        (Conv((1, 1, 512, 512), 1, 7), "matrix"),
    ],
)
def test_views_that_do_not_fit_are_refused(layer: Conv, view: str) -> None:
    with pytest.raises(SymconvError, match="view = "):
        derive(layer, view)


def test_sympy_objects_of_large_layers_are_refused() -> None:
    with pytest.raises(SymconvError, match="a tensor of shape "):
        _ = derive(Conv((4, 64, 56, 56), 64, 3, padding=1)).weight_gradient


def test_latex_is_balanced_and_for_mathjax() -> None:
    """Only display formulas, whose environments and braces are closed, in ASCII."""
    for layer in SEVERAL[:-2]:
        latex = derive(layer)._repr_latex_()
        assert latex.isascii()
        assert latex.count(r"\[") == latex.count(r"\]") == len(derive(layer).steps)
        assert latex.count("{") == latex.count("}")
        for name in set(re.findall(r"\\begin{(\w+)}", latex)):
            assert latex.count(rf"\begin{{{name}}}") == latex.count(rf"\end{{{name}}}")


@pytest.mark.needs("pdflatex")
@pytest.mark.parametrize("layer", [*SEVERAL, *test_composites.LAYERS, test_network.RESIDUAL], ids=str)
def test_latex_compiles(layer: Layer | Network, tmp_path: Path) -> None:
    program = shutil.which("pdflatex")
    assert program is not None
    for text in (latex_document(derive(layer), "0"), proof_document(prove(layer), "0")):
        (tmp_path / "document.tex").write_text(text, "utf-8")
        run = subprocess.run(
            [program, "-interaction=nonstopmode", "-halt-on-error", "document.tex"],
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout.decode(errors="replace")[-2000:]


def test_the_full_form_is_not_the_layers_own_program() -> None:
    """The theorem's form is built from its parameters: else the comparison would say nothing."""
    assert input_form(ARTICLE) != derive(ARTICLE).layer.graph


def _flat(found: sympy.Matrix | sympy.Array) -> list[sympy.Expr]:
    return list(found) if isinstance(found, sympy.MatrixBase) else list(sympy.flatten(found.tolist()))


def test_the_pairing_is_the_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed is T2's substitution with the layer's numbers; a wrong one is seen."""
    layer = Conv((1, 2, 9), 2, 3, stride=2, padding=1, dilation=2)
    derivation = derive(layer, "index")
    (step,) = (s for s in derivation.steps if s.name.startswith("Pair the terms"))
    assert step.check.passed
    numbers = numbers_of(roles(layer))
    (pairing,) = input_gradient(1).pairings
    assert f"u ↦ {subscript_text(pairing.there.values['u'].substitute(numbers))}" in step.after.text
    there, back = full_convolution_substitutions(roles(layer))
    wrong = Substitution(dict(there.values) | {"u": Polynomial.variable("x") * 2})
    monkeypatch.setattr(index_view, "full_convolution_substitutions", lambda _: (wrong, back))
    (step,) = (s for s in derive(layer, "index").steps if s.name.startswith("Pair the terms"))
    assert not step.check.passed
