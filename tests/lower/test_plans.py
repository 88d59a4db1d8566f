"""Every algorithm that applies computes the same; the gallery uses each of them where it should."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symconv import Conv, ConvTranspose, generate
from symconv.bench.row import extra_memory
from symconv.files import load_source
from symconv.lower import candidates as planning
from symconv.lower.algorithms import Algorithm
from symconv.lower.layer_plan import Plan
from symconv.lower.phases import Phases
from symconv.lower.scatter import Scatter
from symconv.lower.tuning import with_choice, with_functions
from symconv.notation.arrays import evaluate_arrays
from symconv.targets.numpy.module import render_layer
from symconv.targets.numpy.plan import plan_layer
from tests.bridge import close, expected
from tests.effort import long
from tests.strategies import layers


def with_algorithm(plan: Plan, at: int) -> Plan:
    """Return a plan in which each function uses the algorithm of a rank."""
    functions = []
    for function in plan.functions:
        if function.candidates:
            rank = min(at, len(function.candidates) - 1)
            function = with_choice(function, 0, function.candidates[rank:])
        functions.append(function)
    return with_functions(plan, functions)


@given(layers(), st.sampled_from([1, 50, 1 << 18]))
def test_every_candidate_equals_the_oracle(layer: Conv | ConvTranspose, block: int) -> None:
    """Whole batches, blocks of images and of planes; forward and every gradient; twice in a row."""
    want = expected(layer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "BLOCK", block)
        plan = plan_layer(layer, accuracy="fast")
    most = max(len(f.candidates) for f in (plan.forward, *plan.gradients))
    for at in range(most):
        module = load_source("m", render_layer(with_algorithm(plan, at), "m", "0"))
        for _ in range(2):
            assert close(module.forward(*want.inputs), want.output)
            received = module.backward(want.cotangent, *want.inputs)
            assert all(close(a, b) for a, b in zip(received, want.gradients, strict=True))


def first(layer: Conv | ConvTranspose, function: str) -> Algorithm:
    plan = plan_layer(layer)
    chosen = next(f for f in (plan.forward, *plan.gradients) if f.name == function)
    return chosen.candidates[0].algorithm


@pytest.mark.parametrize(
    ("layer", "function", "algorithm"),
    [
        (Conv((1, 1, 3, 3), 1, 2), "forward", "Table"),
        (Conv((1, 1, 3, 3), 1, 2), "input_gradient", "Table"),
        (Conv((4, 256, 56, 56), 64, 1), "forward", "Pointwise"),
        (Conv((4, 256, 56, 56), 64, 1), "weight_gradient", "Pointwise"),
        (Conv((4, 64, 56, 56), 64, 3, padding=1), "forward", "Rows"),
        (Conv((4, 128, 28, 28), 256, 3, stride=2, padding=1), "forward", "Columns"),
        (Conv((1, 1, 512, 512), 1, 3, padding=1), "forward", "Rows"),
        (Conv((1, 1, 100000), 1, 31), "forward", "Shift"),
        (Conv((4, 3, 224, 224), 64, 7, stride=2, padding=3), "input_gradient", "Scatter"),
        (Conv((4, 128, 56, 56), 3, 3, stride=2, padding=1), "input_gradient", "Phases"),
    ],
)
def test_the_choice(layer: Conv, function: str, algorithm: str) -> None:
    assert type(first(layer, function)).__name__ == algorithm


def test_a_strided_gradient_has_the_polyphase_form_to_choose() -> None:
    plan = plan_layer(Conv((2, 8, 20, 20), 8, 3, stride=3, dilation=2, padding=1))
    found = {type(c.algorithm) for c in plan.gradients[0].candidates}
    assert found == {Phases, Scatter}


def test_the_docstring_says_what_was_decided() -> None:
    source = generate(Conv((4, 64, 56, 56), 64, 3, padding=1), "res56").source
    said = " ".join(source.split())
    rows = "rows, one shifted copy for each filter column, 3 products, sample by sample"
    assert f"Algorithm: {rows}." in said
    assert "columns " not in source  # what others take belongs to --explain


def test_a_planted_error_in_an_algorithm_is_seen() -> None:
    """The comparison above can fail: a block that leaves out the last image does."""
    layer = Conv((2, 1, 4, 4), 1, 2, dtype="float64")
    want = expected(layer)
    source = generate(layer, "m").source
    broken = source.replace("y[:, 0] += bias[0]", "y[:1, 0] += bias[0]")
    assert broken != source
    assert not close(load_source("m", broken).forward(*want.inputs), want.output)


@pytest.mark.parametrize(
    ("layer", "megabytes"),
    [
        (Conv((1, 4, 499, 499), 4, 7, padding=3, bias=False), 8.0),  # a prime number of rows
        (Conv((1, 1, 512, 512), 1, 31, padding=15, bias=False), 4.2),
        (Conv((1, 1, 509, 509), 1, 3, padding=1, bias=False), 4.2),
        (Conv((1, 2, 1021, 33), 3, 5, padding=(2, 0), bias=False, flip=True), 4.2),
    ],
    ids=str,
)
@long
def test_bands_that_do_not_make_up_the_image(layer: Conv, megabytes: float) -> None:
    """They are right, and what they need stays below input and output, or 4 MB."""
    assert "for top in range(" in generate(layer, "m").source
    module: Any = generate(layer, "m").load()
    module.DTYPE = np.float64
    rng = np.random.default_rng(0)
    shapes = {"X": layer.input_shape, "F": layer.parameters["weight"], "G": layer.output_shape}
    x, weight, g = tensors = [rng.integers(-4, 4, shape).astype(float) for shape in shapes.values()]
    named = dict(zip(shapes, tensors, strict=True))
    wanted = [
        evaluate_arrays(graph, named)
        for graph in (layer.graph, layer.gradient("x"), layer.gradient("weight"))
    ]
    for array, received in zip(
        wanted, [module.forward(x, weight), *module.backward(g, x, weight)], strict=True
    ):
        assert np.array_equal(array, received)
    own: Any = generate(layer, "m").load()
    arrays = [x.astype(np.float32), weight.astype(np.float32)]
    assert extra_memory(lambda: own.forward(*arrays)) < megabytes * 1e6
