"""Filters of known numbers are the convolutions with these numbers, whatever passes compute them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symconv
from symconv import Conv, Filter, SymconvError
from symconv.kernel.language import Do
from symconv.layers.layer import rebuild
from symconv.notation.contraction import Contraction
from symconv.notation.separable import Chain, Pass, chains, difference, nearest
from symconv.prove.filters import filter_theorem
from symconv.targets.numpy.plan import plan_layer
from tests.effort import many

SOBEL = np.outer([1, 2, 1], [-1, 0, 1])
GAUSS = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
LAPLACE = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
BELL = np.exp(-(np.arange(-6, 7) ** 2) / 8)


def _numbers(array: Any) -> dict[tuple[int, ...], Fraction]:
    return {cell: Fraction(float(n)) for cell, n in np.ndenumerate(np.asarray(array)) if n}


@st.composite
def arrays(draw: st.DrawFn, rank: int) -> np.ndarray[Any, Any]:
    """Draw a filter: a sum of products of vectors of small numbers, or any small numbers."""
    shape = tuple(draw(st.integers(1, 4)) for _ in range(rank))
    total = np.zeros(shape)
    for _ in range(draw(st.integers(0, 2))):
        term: Any = np.array(draw(st.sampled_from([1.0, 0.25, -3.0])))
        for size in shape:
            numbers = draw(st.lists(st.integers(-3, 3), min_size=size, max_size=size))
            term = np.multiply.outer(term, np.array(numbers, float))
        total = total + term
    if draw(st.booleans()):
        total.flat[draw(st.integers(0, total.size - 1))] += draw(st.sampled_from([0.5, -1.0]))
    return total


@given(st.integers(1, 3).flatmap(lambda rank: arrays(rank)))
def test_chains_add_up_to_the_filter(array: np.ndarray[Any, Any]) -> None:
    numbers = _numbers(array)
    found = chains(numbers, array.shape)
    assert difference(numbers, found) == {}
    assert sum(chain.cost for chain in found) <= 2 * len(numbers) + 1
    for chain in found:
        assert sorted(axis for p in chain.passes for axis in p.axes) == list(range(array.ndim))


def test_known_filters_are_taken_apart() -> None:
    (sobel,) = chains(_numbers(SOBEL), (3, 3))
    assert [len(p.taps) for p in sobel.passes] == [3, 2]
    (gauss,) = chains(_numbers(GAUSS), (5, 5))
    assert gauss.cost == 15
    (laplace,) = chains(_numbers(LAPLACE), (3, 3))
    assert len(laplace.passes) == 1


def test_a_part_that_has_no_exact_passes_is_not_lost() -> None:
    inexact = np.outer([15, 5, 3], [1, 2])  # a third and a fifth: no scale makes both exact
    array = np.array([inexact, [[1, 0], [0, 0], [0, 0]]], float)
    found = chains(_numbers(array), array.shape)
    assert difference(_numbers(array), found) == {}


def test_a_wrong_number_of_a_pass_is_seen() -> None:
    (chain,) = chains(_numbers(GAUSS), (5, 5))
    (tap, number), *others = chain.passes[0].taps
    wrong = Pass(chain.passes[0].axes, ((tap, number + 1), *others))
    assert difference(_numbers(GAUSS), [Chain(chain.scale, (wrong, chain.passes[1]))])


@st.composite
def filters(draw: st.DrawFn) -> Filter:
    """Draw a layer whose filter has small numbers, of any rank, stride, padding, groups and mode."""
    rank = draw(st.integers(1, 2))
    groups, each, out = (draw(st.integers(1, 2)) for _ in range(3))
    kernels = [draw(arrays(rank)) for _ in range(groups * out * each)]
    size = tuple(max(k.shape[axis] for k in kernels) for axis in range(rank))
    weight = np.zeros((groups * out, each, *size))
    alike = draw(st.booleans())
    for at, kernel in enumerate(kernels):
        cell = divmod(at, each)
        weight[cell][tuple(slice(n) for n in kernel.shape)] = kernel
    if alike:
        weight[:] = weight[:1]
    mode = draw(st.sampled_from(["zeros", "zeros", "reflect", "circular"]))
    low = 0 if mode != "zeros" or max(weight.shape[2:]) > 3 else -1  # so that a kernel fits
    pads = tuple((draw(st.integers(low, 2)), draw(st.integers(low, 2))) for _ in range(rank))
    return Filter(
        (draw(st.integers(1, 2)), groups * each, *(draw(st.integers(8, 9)) for _ in range(rank))),
        weight,
        stride=tuple(draw(st.integers(1, 2)) for _ in range(rank)),
        padding=pads,
        dilation=draw(st.integers(1, 2)),
        groups=groups,
        bias=draw(st.booleans()),
        padding_mode=mode,
        flip=draw(st.booleans()),
        dtype="float64",
    )


@settings(max_examples=many(60))
@given(filters())
def test_filters_are_convolutions_with_their_numbers(layer: Filter) -> None:
    ours, general = (symconv.generate(each, "m").load() for each in (layer, layer.conv))
    weight = np.asarray(layer.weight, float)
    rng = np.random.default_rng(0)
    x = rng.integers(-9, 9, layer.input_shape).astype(float)
    g = rng.integers(-9, 9, layer.output_shape).astype(float)
    bias = [rng.integers(-9, 9, shape).astype(float) for shape in layer.parameters.values()]
    assert np.array_equal(ours.forward(x, *bias), general.forward(x, weight, *bias))
    wanted = general.backward(g, x, weight, *bias)
    received = ours.backward(g, x, *bias)
    assert np.array_equal(received[0], wanted[0])
    assert all(np.array_equal(a, b) for a, b in zip(received[1:], wanted[2:], strict=True))


@pytest.mark.parametrize(
    "layer",
    [
        Filter((2, 1, 9, 8), SOBEL[None, None], padding=1),
        Filter((1, 3, 9, 8), np.broadcast_to(LAPLACE, (3, 1, 3, 3)), padding=1, groups=3, bias=True),
        Filter((1, 1, 40, 40), GAUSS[None, None], padding="same", stride=2),
        Filter((1, 2, 30), np.ones((3, 2, 5)), flip=True),
        Filter((1, 1, 30, 30), np.outer(BELL, BELL)[None, None], padding=6, tolerance=1e-6),
        Filter((1, 4, 12, 12), np.random.default_rng(0).standard_normal((6, 2, 3, 3)), groups=2),
        Filter((1, 1, 5, 5, 5), np.ones((1, 1, 3, 3, 3)) / 27, padding=1, padding_mode="circular"),
    ],
    ids=str,
)
def test_filters_are_derived_proven_and_checked(layer: Filter) -> None:
    assert all(step.check.passed for step in symconv.derive(layer).steps)
    proof = symconv.prove(layer)
    assert proof.holds
    assert ("R2" in [t.name for t in proof.theorems]) == (layer.forward != layer.graph)
    assert symconv.check(symconv.generate(layer, "m", order=2)).passed
    assert rebuild(layer.as_dict()) == layer


def test_planted_errors_in_passes_are_seen() -> None:
    unit = symconv.generate(Filter((2, 1, 9, 8), SOBEL[None, None], padding=1), "m")
    for good, bad in (
        ("np.multiply(x[:, 0], 2, out=s1)", "np.multiply(x[:, 0], 2.0000001, out=s1)"),
        ("s1[:, 1:] += x[:, 0, :8]", "s1[:, 1:8] += x[:, 0, :7]"),
        ("= -s1[:, :, :7]", "= s1[:, :, :7]"),
    ):
        assert unit.source.count(good) == 1
        assert not symconv.check(replace(unit, source=unit.source.replace(good, bad))).passed


def test_equal_numbers_are_multiplied_once() -> None:
    function = plan_layer(Filter((1, 1, 64, 64), GAUSS[None, None], padding=2)).forward
    body = function.kernel.body
    moves = [s.meaning for s in body if isinstance(s, Do) and isinstance(s.meaning, Contraction)]
    moves = [move for move in moves if move.factors]
    assert sum(abs(move.number) != 1 for move in moves) == 5  # 4 and 6, then 1, 4 and 6 of 256
    assert not any(buffer.given for buffer in function.kernel.buffers)


def test_the_tolerance_moves_numbers_no_further() -> None:
    weight = np.outer(BELL, BELL)[None, None]
    exact, near = (Filter((1, 1, 30, 30), weight, padding=6, tolerance=t) for t in (0, 1e-6))
    assert exact.remark == ""
    assert exact.forward == exact.graph
    assert near.forward != near.graph
    moved = max(abs(near.numbers[k] - exact.numbers[k]) for k in exact.numbers)
    assert 0 < moved <= Fraction(1e-6)
    assert f"{float(moved):.1e}" in near.remark
    assert near.remark in symconv.generate(near, "m").source
    assert Filter((1, 1, 30, 30), weight, padding=6, tolerance=1e-9).numbers == exact.numbers
    chain = nearest(_numbers(np.outer([1, 2, 1], [1, 3, 1])), 2, "float32")
    assert difference(_numbers(np.outer([1, 2, 1], [1, 3, 1])), [chain])  # a third is rounded


def test_a_theorem_about_other_passes_is_false() -> None:
    layer = Filter((1, 1, 9, 8), SOBEL[None, None])
    layer.__dict__["chains"] = {(0, 0): chains(_numbers(SOBEL.T), (3, 3))}
    theorem = filter_theorem(layer)
    assert theorem is not None
    assert theorem.holds is False
    assert theorem.counterexample is not None


def test_a_convolution_takes_its_weight() -> None:
    conv = Conv((1, 1, 9, 8), 1, 3, padding=1, bias=False)
    unit = symconv.generate(conv, "sobel", weight=SOBEL[None, None])
    layer = Filter((1, 1, 9, 8), SOBEL[None, None], padding=1)
    assert unit.source == symconv.generate(layer, "sobel").source
    for weight, said in (
        (SOBEL, r"weight = .*\(3, 3\)"),
        (SOBEL[None, None, :2], r"weight = .*\(1, 1, 2, 3\).*\(1, 1, 3, 3\)"),
        (SOBEL[None, None] * np.nan, "weight = (.|\n)*finite"),
        ([["a"]], "weight"),
    ):
        with pytest.raises(SymconvError, match=said):
            symconv.generate(conv, "m", weight=weight)
    with pytest.raises(SymconvError, match="weight: is an argument for a Conv only"):
        symconv.generate(symconv.MaxPool((1, 1, 4, 4), 2), "m", weight=[1])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"weight": np.ones((1, 2, 3, 3))}, "weight = .*shape"),
        ({"weight": np.ones((1, 1, 70, 70))}, "no more than 4096"),
        ({"weight": 3}, "weight"),
        ({"weight": [[[1, 2], [3]]]}, "weight"),
        ({"weight": np.full((1, 1, 1, 1), 1e39)}, "weight"),
        ({"weight": SOBEL[None, None], "tolerance": -1}, "tolerance = -1"),
        ({"weight": SOBEL[None, None], "stride": 0}, "stride = 0"),
        ({"weight": SOBEL[None, None], "input_shape": (1, 1, 2, 2)}, "kernel_size|fit"),
    ],
    ids=str,
)
def test_bad_filters_are_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(SymconvError, match=said):
        Filter(**({"input_shape": (1, 1, 9, 9)} | arguments))
