"""Pools against loops over windows: sizes, values, gradients, ties, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symconv import AvgPool, GlobalMaxPool, MaxPool, SymconvError, check, generate
from symconv.notation.arrays import evaluate_arrays
from symconv.notation.evaluate import evaluate
from tests.bridge import Pool, close, expected_pool
from tests.effort import many
from tests.strategies import pools


def with_ties(layer: Pool, seed: int) -> Any:
    return np.random.default_rng(seed).integers(-2, 2, layer.input_shape).astype(float)


@settings(max_examples=many(150))
@given(pools(), st.integers(0, 9))
def test_both_evaluators_are_the_oracle(layer: Pool, seed: int) -> None:
    want = expected_pool(layer, with_ties(layer, seed))
    assert want.output.shape == layer.output_shape
    back = layer.gradient("x")
    tensors = {"X": want.inputs[0], "G": want.cotangent}
    for graph, wanted in ((layer.graph, want.output), (back, want.gradients[0])):
        plain = evaluate(graph, tensors)[graph.output.name].astype(float)
        assert close(plain, wanted)
        assert close(evaluate_arrays(graph, tensors), wanted)


@settings(max_examples=many(150))
@given(pools(), st.integers(0, 9))
def test_generated_modules_are_the_oracle(layer: Pool, seed: int) -> None:
    want = expected_pool(layer, with_ties(layer, seed))
    module = generate(layer, "module").load()
    for _ in range(2):
        assert close(module.forward(*want.inputs), want.output)
        (received,) = module.backward(want.cotangent, *want.inputs)
        assert close(received, want.gradients[0])


@settings(max_examples=many(40))
@given(pools())
def test_generated_modules_pass_their_check(layer: Pool) -> None:
    report = check(generate(layer, "module"))
    assert report.passed, report


@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding", "dilation", "ceil"),
    [
        ((1, 1, 2), 2, 1, ((0, 1),), 2, False),
        ((2, 3, 4), 4, 1, ((0, 3),), 2, False),
        ((1, 2, 3, 2), (3, 2), (1, 3), ((0, 2), (0, 2)), 2, True),
        ((1, 1, 3), 3, 1, 0, 1, False),
    ],
)
@pytest.mark.parametrize("kind", [MaxPool, AvgPool])
def test_one_window_of_as_many_taps_as_cells(
    kind: Any, shape: Any, kernel: Any, stride: Any, padding: Any, dilation: int, ceil: bool
) -> None:
    """Where it is dilated, its taps are not all the cells."""
    layer = kind(shape, kernel, stride, padding, dilation, ceil, dtype="float64")
    for seed in range(9):
        want = expected_pool(layer, with_ties(layer, seed))
        module = generate(layer, "module").load()
        assert close(module.forward(*want.inputs), want.output)
        assert close(module.backward(want.cotangent, *want.inputs)[0], want.gradients[0])
    assert check(generate(layer, "module")).passed


def test_a_number_that_is_none_wins_and_takes_the_gradient() -> None:
    module = generate(MaxPool((1, 1, 6), 3, 2, 1), "module").load()
    x = np.array([[[1, np.nan, 3, 4, -np.inf, -np.inf]]], np.float32)
    assert np.isnan(module.forward(x)).tolist() == [[[True, True, False]]]
    (gx,) = module.backward(np.array([[[1, 2, 4]]], np.float32), x)
    assert gx.tolist() == [[[0, 3, 0, 4, 0, 0]]]
    whole = generate(GlobalMaxPool((1, 1, 6)), "module").load()
    (gx,) = whole.backward(np.array([[[5]]], np.float32), x)
    assert gx.tolist() == [[[0, 5, 0, 0, 0, 0]]]


def test_padding_never_wins() -> None:
    module = generate(MaxPool((1, 1, 3), 2, 2, 1), "module").load()
    x = np.full((1, 1, 3), -np.inf, np.float32)
    (gx,) = module.backward(np.ones((1, 1, 2), np.float32), x)
    assert gx.tolist() == [[[1, 1, 0]]]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: MaxPool((1, 1, 4), 5), "kernel_size = 5: must be small enough to fit"),
        (lambda: MaxPool((1, 1, 4), 2, 1, 2), "padding = 2: must be so small that every window"),
        (lambda: AvgPool((1, 1, 4), 2, padding=-1), "padding = -1"),
        (lambda: AvgPool((1, 1, 4), 2, padding=((-1, 0),)), "a pool does not crop"),
        (lambda: AvgPool((1, 1, 4), 2, padding="some"), "padding = 'some'"),
        (lambda: MaxPool((1, 1, 4), 2, ceil_mode=1), "ceil_mode = 1"),  # type: ignore[arg-type]  # refused
        (lambda: GlobalMaxPool((1, 4)), "input_shape = (1, 4)"),
    ],
)
def test_what_is_refused(make: Any, text: str) -> None:
    with pytest.raises(SymconvError) as error:
        make()
    assert text in str(error.value)
