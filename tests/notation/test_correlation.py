"""The canonical correlation, its polyphase form, and tables of terms."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from symconv import Conv, ConvTranspose
from symconv.notation.contraction import Kronecker, Program, Tensor, index
from symconv.notation.correlation import Axis, gather, phase_count, polyphase, recognise
from symconv.notation.evaluate import evaluate
from symconv.notation.graph import Graph
from symconv.notation.monomials import equal, monomials
from symconv.notation.names import QUOTIENTS, TAPS
from symconv.notation.polynomial import Polynomial
from symconv.notation.text import program_text, without_single
from tests.strategies import layers


@pytest.mark.parametrize(("stride", "dilation"), list(itertools.product(range(1, 7), repeat=2)))
def test_phases_are_the_axis(stride: int, dilation: int) -> None:
    for taps, positions, offset, extra in itertools.product(
        range(1, 5), range(1, 4), range(-3, 4), range(3)
    ):
        cells = max(1, stride * (positions - 1) + dilation * (taps - 1) + 1 + offset + extra)
        axis = Axis(cells, taps, positions, stride, dilation, offset)
        phases = polyphase(axis)
        together = sorted(
            (position, tap, cell) for phase in phases for cell, tap, position in phase.triples()
        )
        assert together == axis.triples()
        assert len(phases) <= phase_count(axis)


def test_a_wrong_phase_is_seen() -> None:
    axis = Axis(cells=7, taps=3, positions=3, stride=2, dilation=1, offset=0)
    first, *others = polyphase(axis)
    wrong = [replace(first, offset=first.offset + 1), *others]
    together = sorted((p, t, c) for phase in wrong for c, t, p in phase.triples())
    assert together != axis.triples()


@given(layers())
def test_gathering_is_the_scatter(layer: Conv | ConvTranspose) -> None:
    """The affine write and its solution are the same polynomials, for either kind of layer."""
    layer = replace(layer, bias=False)
    graph = layer.graph if isinstance(layer, ConvTranspose) else layer.gradient("x")
    program = next(
        s for s in graph.steps if isinstance(s, Program) and len(s.contractions[0].reads) == 2
    )
    (contraction,) = program.contractions
    assert recognise(contraction).result == "cells"
    phases = gather(contraction, QUOTIENTS[len(layer.windows)])
    if phases.contractions:
        assert equal(Graph((phases,)), Graph((program,)))
        assert {recognise(phase).result for phase in phases.contractions} == {"positions"}


def test_a_stride_equal_to_the_kernel_is_no_group() -> None:
    """2·y + i reads like a group and its channel; their roles tell them apart."""
    layer = Conv((1, 4, 8, 8), 4, 2, stride=2, groups=2, bias=False)
    (program,) = layer.graph.steps
    assert isinstance(program, Program)
    correlation = recognise(program.contractions[0])
    assert (correlation.groups, correlation.channels, len(correlation.axes)) == (2, 2, 2)


def test_a_table_has_the_terms_of_the_evaluator() -> None:
    layer = Conv((1, 2, 4), 2, 2, stride=2, padding=1, padding_mode="reflect", bias=False)
    x, weight = layer.tensors["x"], layer.tensors["weight"]
    values = {
        t.name: np.array(
            [Polynomial.variable(f"{t.name}{at:02}") for at in range(np.prod(t.sizes))]
        ).reshape(t.sizes)
        for t in (x, weight)
    }
    outputs = evaluate(layer.graph, values)["O"].ravel()
    rebuilt = [Polynomial({}) for _ in outputs]
    for cell, f_cell, x_cell in monomials(layer.graph).tolist():
        term = Polynomial.variable(f"F{f_cell:02}") * Polynomial.variable(f"X{x_cell:02}")
        rebuilt[cell] = rebuilt[cell] + term
    assert rebuilt == list(outputs)


def test_a_delta_keeps_one_term() -> None:
    signal, output = Tensor("X", (4,)), Tensor("O", (4,))
    p, q = index("p"), index("q")
    delta = Kronecker(p * 2, q)
    from symconv.notation.contraction import Contraction

    sifted = Contraction(output[q], (signal[p], delta), (("p", 4), ("q", 4)))
    graph = Graph((Program((sifted,)),))
    assert monomials(graph).tolist() == [[0, 0], [2, 1]]
    assert evaluate(graph, {"X": np.array([1, 2, 3, 4])})["O"].tolist() == [1, 0, 2, 0]


def test_formulas_read_as_on_paper() -> None:
    layer = Conv((2, 4, 7, 8), 6, (3, 2), stride=(2, 3), padding=1, groups=2, flip=True)
    (program,) = layer.graph.steps
    assert isinstance(program, Program)
    assert program_text(program) == (
        "O[n, 3·g + o, y, x] = Σ_{c,i,j} X[n, 2·g + c, 2·y + i - 1, 3·x + j - 1]"
        " · F[3·g + o, c, 2 - i, 1 - j] + b[3·g + o]"
    )
    scatter = layer.gradient("x").steps[0]
    assert isinstance(scatter, Program)
    assert "+=" in program_text(scatter)


def test_polynomials() -> None:
    a, b = Polynomial.variable("a"), Polynomial.variable("b")
    assert (a + b) * (a - b) == a * a - b * b
    assert (2 * a * b + 3).derivatives()["a"] == 2 * b
    assert (a * a).substitute({"a": b + 1}) == b * b + 2 * b + 1
    assert (a / 2 + a / 2) == a
    assert int(a - a + 7) == 7
    with pytest.raises(TypeError):
        int(a)
    assert a + 1 != a


def test_an_index_of_one_value_is_not_printed() -> None:
    """Else a reader would give it others: a phase with one tap is no sum."""
    layer = Conv((1, 1, 5), 1, 3, stride=2, padding=1, bias=False)
    scatter = layer.gradient("x").steps[0]
    assert isinstance(scatter, Program)
    phases = program_text(gather(scatter.contractions[0], ("q",)))
    assert phases.splitlines()[0] == "∂E/∂X[n, c, 2·q] = Σ_{o} G[n, o, q] · F[o, c, 1]"


@given(layers())
def test_formulas_are_true_without_the_ranges_of_their_taps(layer: Conv | ConvTranspose) -> None:
    """A reader is told no ranges: taps beyond them must read outside, or not be printed."""
    layer = replace(layer, bias=False)
    graph = layer.graph if isinstance(layer, ConvTranspose) else layer.gradient("x")
    program = next(
        s for s in graph.steps if isinstance(s, Program) and len(s.contractions[0].reads) == 2
    )
    phases = gather(program.contractions[0], QUOTIENTS[len(layer.windows)])
    printed = [without_single(c) for c in phases.contractions]
    taps = TAPS[len(layer.windows)]
    wider = [
        replace(c, extents=tuple((n, size + 3 * (n in taps)) for n, size in c.extents)) for c in printed
    ]
    if wider:
        assert equal(Graph((Program(tuple(wider)),)), Graph((program,)))
