"""Theorems hold where they should; false claims are refuted, each with its smallest numbers."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings

from symconv import Conv, ConvTranspose, SymconvError, prove
from symconv.derive.forms import input_form, weight_form
from symconv.derive.rewrites import phase_forms
from symconv.notation.contraction import Program
from symconv.notation.graph import Graph
from symconv.notation.monomials import equal
from symconv.prove import convolutions, covers
from symconv.prove.claims import Claim, compare, refute
from symconv.prove.pitfalls import PITFALLS
from tests.effort import many, some
from tests.strategies import layers


@settings(max_examples=many(150))
@given(layers())
def test_all_theorems_hold(layer: Conv | ConvTranspose) -> None:
    proof = prove(layer)
    assert proof.holds is True
    assert {theorem.name for theorem in proof.theorems} >= {"T1", "T2", "T3", "T4"}
    for theorem in proof.theorems:
        assert theorem.method == "for every size, elementwise"


@pytest.mark.parametrize(
    "layer",
    [
        Conv(
            (2, 4, 9, 9),
            4,
            (3, 2),
            stride=(2, 3),
            dilation=(2, 1),
            padding=((1, 2), (0, 1)),
            groups=2,
        ),
        Conv((1, 1, 3, 3), 1, 2),
        Conv((1, 2, 9, 8), 2, 3, stride=2, dilation=2, padding=2, padding_mode="reflect"),
        ConvTranspose((1, 2, 4, 5), 2, 3, stride=2, dilation=3, padding=1, output_padding=2),
    ],
    ids=str,
)
def test_all_controls_are_refuted(layer: Conv | ConvTranspose) -> None:
    proof = prove(layer)
    controls = [(t.name, c.name, c.refuted) for t in proof.theorems for c in t.controls]
    assert all(refuted for _, _, refuted in controls), controls
    assert {"T1", "T2", "T3", "T4"} <= {name for name, _, _ in controls}
    names = " ".join(name for _, name, _ in controls)
    if layer.groups == 2:
        for wrong in (
            "remainder is dropped",
            "dilation is forgotten in ∂E/∂X",
            "not rotated",
            "padding before the input",
            "wrong block",
            "not cropped",
            "dilation is forgotten in ∂E/∂F",
            "stride is forgotten in ∂E/∂F",
        ):
            assert wrong in names
    if layer.padding_mode == "reflect":
        assert "crop instead of a fold-back" in names


@pytest.mark.parametrize("stride", range(1, 5))
@pytest.mark.parametrize("dilation", range(1, 5))
def test_brute_force_along_one_axis(stride: int, dilation: int) -> None:
    """Every kernel to 4, padding from -2 to 3 on either side, and every remainder."""
    count = 0
    sizes = itertools.product(range(1, 5), range(-2, 4), range(-2, 4), (4, 7, 9, 12))
    for kernel, lo, hi, size in some(sizes, 13):
        try:
            layer = Conv((1, 1, size), 1, kernel, stride, ((lo, hi),), dilation, bias=False)
        except SymconvError:
            continue
        assert equal(layer.gradient("weight"), weight_form(layer))
        assert equal(layer.gradient("x"), input_form(layer))
        count += 1
    assert count > many(200)


@pytest.mark.parametrize(
    "layer",
    [
        Conv((4, 64, 56, 56), 64, 3, padding=1),
        Conv((4, 144, 56, 56), 144, 3, padding=1, groups=144),
        Conv((4, 3, 224, 224), 64, 7, stride=2, padding=3),
        Conv((2, 64, 80, 90), 64, 3, stride=2, padding=1, padding_mode="reflect", groups=4),
        Conv((1, 1, 10**7), 1, 3),
        ConvTranspose(
            (8, 64, 56, 56), 32, 4, stride=2, padding=1, groups=2, dilation=3, output_padding=2
        ),
    ],
    ids=str,
)
def test_large_layers_are_proved_as_instances(layer: Conv | ConvTranspose) -> None:
    proof = prove(layer)
    assert proof.holds is True
    assert {theorem.method for theorem in proof.theorems} == {"for every size"}


def test_a_fold_back_that_crops_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adjointness is about the whole layer, its padding included."""
    crop = next(p for p in PITFALLS if "crop" in p.name)

    chain_rule = Conv.gradient

    def cropped(layer: Conv) -> Graph:
        with pytest.MonkeyPatch.context() as right:
            right.setattr(Conv, "gradient", chain_rule)
            return crop.wrong(layer) or input_form(layer)

    def gradient(layer: Conv, name: str) -> Graph:
        return cropped(layer) if name == "x" else chain_rule(layer, name)

    monkeypatch.setattr(convolutions, "input_form", cropped)
    monkeypatch.setattr(Conv, "gradient", gradient)
    proof = prove(Conv((1, 1, 5, 5), 1, 3, padding=1, padding_mode="reflect"))
    assert [t.name for t in proof.theorems if t.holds is False] == ["T4"]


def test_a_layer_that_no_certificate_is_about_is_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too long to compare, and its programs are not the theorem's: neither proved nor false."""

    def longer(layer: Conv | ConvTranspose) -> Graph:
        (correlate,) = weight_form(layer).programs
        (contraction,) = correlate.contractions
        extents = tuple((n, size + (n == "i")) for n, size in contraction.ranges.items())
        return Graph((Program((replace(contraction, extents=extents),)),))

    monkeypatch.setattr(convolutions, "weight_form", longer)
    proof = prove(Conv((1, 1, 10**6), 1, 3, bias=False))
    assert proof.holds is None
    unproved = [t for t in proof.theorems if t.holds is None]
    assert [t.name for t in unproved] == ["T1", "T4"]
    assert "is about other programs than the layer's" in unproved[0].evidence
    assert "T1 open" in proof.text()


@pytest.mark.parametrize(
    ("form", "unproved"),
    [("weight_form", ["T1", "T4"]), ("input_form", ["T2", "T4"]), ("phase_forms", ["T2′"])],
)
def test_a_wrong_form_of_a_large_layer_is_not_proved(
    monkeypatch: pytest.MonkeyPatch, form: str, unproved: list[str]
) -> None:
    """Planted errors: a filter that is not rotated, a phase that is left out."""

    def unrotated(layer: Conv | ConvTranspose) -> Graph:
        return {"weight_form": weight_form, "input_form": input_form}[form](
            replace(layer, flip=not layer.flip)
        )

    def without_a_phase(graph: Graph) -> Graph:
        (program,) = phase_forms(graph).programs
        return Graph((Program(program.contractions[1:] or program.contractions),))

    monkeypatch.setattr(convolutions, form, without_a_phase if form == "phase_forms" else unrotated)
    proof = prove(Conv((1, 1, 10**6), 1, 3, stride=2, padding=1, bias=False))
    assert [t.name for t in proof.theorems if t.holds is not True] == unproved


def test_a_false_theorem_is_false_with_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted error: the form without the rotation."""

    def unrotated(layer: Conv | ConvTranspose) -> Graph:
        return input_form(replace(layer, flip=not layer.flip))

    monkeypatch.setattr(convolutions, "input_form", unrotated)
    proof = prove(Conv((1, 1, 6, 6), 1, 3, bias=False))
    assert proof.holds is False
    false, adjointness = [t for t in proof.theorems if t.holds is False]
    assert (false.name, adjointness.name) == ("T2", "T4")
    assert false.counterexample is not None
    assert "input_shape = (1, 1, 1, 2)" in false.counterexample.sizes
    assert "∂E/∂X[0, 0, 0, 0] = 11, but the claim gives 22" in false.counterexample.text


@pytest.mark.parametrize("pitfall", PITFALLS, ids=lambda p: p.name)
def test_each_pitfall_is_wrong_somewhere(pitfall: object) -> None:
    """Every wrong rule differs from the truth for one of these layers."""
    from symconv.prove.pitfalls import Pitfall

    assert isinstance(pitfall, Pitfall)
    tried: list[Conv | ConvTranspose] = [
        Conv((1, 2, 6, 7), 2, (3, 2), stride=2, dilation=2, padding=2, groups=1, bias=False),
        Conv((1, 4, 6), 4, 3, groups=2, stride=2, bias=False),
        Conv((1, 1, 9), 1, 3, stride=3, bias=False),
        Conv((1, 1, 10), 1, 3, padding="same", stride=3, bias=False),
        Conv((1, 1, 6), 1, 2, padding="same", bias=False),
        Conv((1, 1, 6), 1, 3, padding=2, padding_mode="reflect", bias=False),
        ConvTranspose((1, 1, 3), 1, 3, stride=2, output_padding=1, bias=False),
        Conv((1, 1, 8), 1, 1, stride=3, bias=False),
    ]
    differs = 0
    for layer in tried:
        wrong = pitfall.wrong(layer)
        if wrong is None:
            continue
        truth = layer.graph if pitfall.sweep == "forward" else layer.gradient(pitfall.sweep)
        assert truth.output.shape != wrong.output.shape or not equal(truth, wrong), layer
        differs += 1
    assert differs


def test_refuting_a_true_claim_finds_nothing() -> None:
    claim = Claim("the same", lambda layer: (layer.graph, layer.graph))
    layer = Conv((1, 1, 4, 4), 1, 2, bias=False)
    assert refute(claim, layer) is None
    assert compare(claim, layer)[0] is True


def test_a_certificate_that_numbers_refute_is_said_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(covers.Cover, "holds", True)  # as if any certificate were about any layer
    monkeypatch.setattr(
        convolutions, "weight_form", lambda at: weight_form(replace(at, flip=not at.flip))
    )
    proof = prove(Conv((1, 1, 5), 1, 3, bias=False))
    assert proof.holds is False
    assert "DISAGREEMENT" in proof.text()
