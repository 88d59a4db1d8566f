"""Fourier transforms give what the sums do, within their bound."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symconv
from symconv import Conv, ConvTranspose
from symconv.files import load_source
from symconv.layers.layer import Layer
from symconv.lower.algorithms import Candidate
from symconv.lower.fourier import Fourier
from symconv.lower.layer_plan import Plan
from symconv.lower.rounding import rounding_bound
from symconv.lower.tuning import with_choice, with_functions
from symconv.targets.numpy.network_module import render_module
from symconv.targets.numpy.plan import plan_layer
from tests.effort import many


def _smooth(number: int) -> bool:
    for prime in (2, 3, 5):
        while number % prime == 0:
            number //= prime
    return number == 1


def transformed(layer: Layer, at: int = 0) -> tuple[Plan, str]:
    """Return the module in which every correlation that can be is computed by transforms."""
    plan = plan_layer(layer, accuracy="fast")
    functions = []
    for function in plan.functions:
        for number, choice in enumerate(function.choices):
            found = [c for c in choice if isinstance(c.algorithm, Fourier)]
            if found:
                function = with_choice(function, number, [found[min(at, len(found) - 1)]])
        functions.append(function)
    plan = with_functions(plan, functions)
    return plan, render_module(plan, "m", "0")


@st.composite
def layers(draw: st.DrawFn) -> Conv:
    rank = draw(st.integers(1, 2))
    groups, each, out = (draw(st.integers(1, 2)) for _ in range(3))
    kernel = (*(draw(st.integers(1, 11)) for _ in range(rank - 1)), draw(st.integers(8, 12)))
    sizes = tuple(draw(st.integers(13, 60)) for _ in range(rank))
    pads = tuple((draw(st.integers(-1, 5)), draw(st.integers(-1, 5))) for _ in range(rank))
    shape = (draw(st.integers(1, 2)), groups * each, *sizes)
    bias, flip = draw(st.booleans()), draw(st.booleans())
    return Conv(
        shape, groups * out, kernel, padding=pads, groups=groups, bias=bias, flip=flip, dtype="float64"
    )


@settings(max_examples=many(40))
@given(layers(), st.integers(0, 1))
def test_transforms_give_the_sums(layer: Conv, at: int) -> None:
    plan, source = transformed(layer, at)
    assert sum(len(f.fast) for f in plan.functions) == 3
    ours, plain = load_source("m", source), symconv.generate(layer, "m").load()
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(shape) for shape in layer.inputs.values()]
    g = rng.standard_normal(layer.output_shape)
    for _ in range(2):  # scratch that a call leaves must not change the next one's
        received = [ours.forward(*inputs), *ours.backward(g, *inputs)]
        wanted = [plain.forward(*inputs), *plain.backward(g, *inputs)]
        for a, b in zip(received, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * np.abs(b).max())


LAYERS: list[Any] = [
    Conv((2, 2, 300), 3, 16, groups=1),
    Conv((1, 1, 60, 70), 1, 15, padding=7, bias=False),
    Conv((1, 4, 20, 20), 6, 9, padding=4, groups=2, flip=True),
    ConvTranspose((2, 2, 40), 3, 9),
    Conv((1, 1, 12, 13, 14), 2, 8),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_transforms_are_checked_numerically_and_errors_are_seen(layer: Layer) -> None:
    plan, source = transformed(layer)
    unit = replace(symconv.generate(layer, "m", accuracy="fast"), source=source)
    report = symconv.check(unit)
    assert report.passed
    methods = {r.name: r.method for r in report.results}
    for function in plan.functions:
        if function.fast:
            assert methods[function.name] == "numeric"
    for good, bad in ((".conj()", ""), ("sums += ", "sums = ")):
        wrong = replace(unit, source=source.replace(good, bad, 1))
        assert wrong.source != source
        if good == ".conj()" or layer.inputs["x"][0] > 1:
            assert not symconv.check(wrong).passed


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_no_error_is_beyond_the_bound(layer: Layer) -> None:
    plan, source = transformed(layer)
    module, exact = load_source("m", source), load_source("m", source)
    exact.__dict__["DTYPE"] = np.float64
    rng = np.random.default_rng(0)
    for function in plan.functions:
        for algorithm in function.fast:
            given = {a.name: rng.uniform(-1, 1, a.sizes).astype(np.float32) for a in function.inputs}
            given |= {"bias": 0 * given["bias"]} if "bias" in given else {}
            received = getattr(module, function.name)(*given.values())
            wanted = getattr(exact, function.name)(*(a.astype(float) for a in given.values()))
            bound = rounding_bound(algorithm, "float32")
            assert np.abs(received - wanted).max() <= bound
            assert f"{bound:.1e}" in " ".join(source.split())


def test_lengths_are_products_of_small_primes_and_large_filters_are_transformed() -> None:
    layer = Conv((1, 1, 512, 512), 1, 31, padding=15, bias=False)
    for function in plan_layer(layer, accuracy="fast").functions:
        for choice in function.choices:
            assert isinstance(choice[0].algorithm, Fourier)
            for candidate in choice:
                _assert_fits(candidate)
    assert not any(f.fast for f in plan_layer(layer).functions)


def _assert_fits(candidate: Candidate) -> None:
    algorithm = candidate.algorithm
    if isinstance(algorithm, Fourier):
        assert all(map(_smooth, algorithm.lengths))
        assert all(
            length >= a.taps
            for length, a in zip(algorithm.lengths, algorithm.correlation.axes, strict=True)
        )
