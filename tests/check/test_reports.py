"""Small inputs from public reports of wrong gradients: what is said of each."""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from symconv import (
    Activation,
    AvgPool,
    BatchNorm,
    Contraction,
    Conv,
    GlobalMaxPool,
    LayerNorm,
    Linear,
    MaxPool,
    Softmax,
    SoftmaxCrossEntropy,
    check,
    generate,
    prove,
)
from symconv.layers import Layer

Array = Any


def gradients(g: Array, x: Array, w: Array, stride: int = 1) -> tuple[Array, Array]:
    """Return the right gradients of a convolution without padding."""
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))
    gx = np.zeros(x.shape)
    rows, columns = (stride * (n - 1) + 1 for n in g.shape[2:])
    for i, j in np.ndindex(*w.shape[2:]):
        part = np.einsum("noyx,oc->ncyx", g, w[:, :, i, j])
        gx[:, :, i : i + rows : stride, j : j + columns : stride] += part
    return gx, np.einsum("noyx,ncyxij->ocij", g, windows[:, :, ::stride, ::stride])


def said(layer: Layer, **functions: Callable[..., Any]) -> str:
    """Return what is said of a wrong function."""
    report = check(layer, **functions)
    assert not report, report
    return report.results[0].detail


def windows_from_p(g: Array, x: Array, w: Array) -> tuple[Array, Array]:
    gx, gw = np.zeros(x.shape), np.zeros(w.shape)
    for n, o, i, j in np.ndindex(*g.shape):
        gx[n, :, i : i + 3, j : j + 3] += w[o] * g[n, o, i, j]
        gw[o] += x[n, :, i : i + 3, j : j + 3] * g[n, o, i, j]
    return gx, gw


def assigned(g: Array, x: Array) -> tuple[Array]:
    gx = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(*g.shape):
        window = x[n, c, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
        p, q = np.unravel_index(window.argmax(), window.shape)
        gx[n, c, 2 * i + p, 2 * j + q] = g[n, c, i, j]
    return (gx,)


def tap_by_tap(g: Array, x: Array, w: Array) -> tuple[Array, Array]:
    """Scatter the gradient of each element of the filter with = in place of +=."""
    height, width = x.shape[2:]
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)])
    gx, gw = np.zeros_like(padded), np.zeros_like(w)
    for i, j in np.ndindex(3, 3):
        window = (slice(None), slice(None), slice(i, i + height), slice(j, j + width))
        gx[window] = np.einsum("nohw,oc->nchw", g, w[:, :, i, j])
        gw[:, :, i, j] = np.einsum("nohw,nchw->oc", g, padded[window])
    return gx[:, :, 1:-1, 1:-1], gw


def cross_entropy(g: Array, x: Array, labels: Array, weight: tuple[float, ...], divisor: float) -> Array:
    """Return the gradient of a weighted cross-entropy that is divided by something."""
    shares = np.exp(x - x.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    shares[np.arange(len(x)), labels] -= 1
    return np.asarray(g * shares * np.array(weight)[labels][:, None] / divisor)


def last_column_lost(gx: Array, gw: Array) -> tuple[Array, Array]:
    gw[..., -1] = 0
    return gx, gw


def positive(g: Array, x: Array, w: Array) -> tuple[Array, Array]:
    gx, gw = generate(Conv(x.shape, len(w), 3, padding=1, bias=False), "m").load().backward(g, x, w)
    return gx, np.abs(gw)


def undivided(g: Array, x: Array) -> Array:
    layer = AvgPool(x.shape, 3, 2, padding=1)
    return np.asarray(9 * generate(layer, "m").load().backward(g, x)[0])


def one_label(g: Array, x: Array, labels: Array) -> tuple[Array]:
    e = np.exp(x - x.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    p[np.arange(len(x)), labels] -= 1
    return (p / len(x),)


def cropped(g: Array, x: Array, w: Array, p: int = 0) -> tuple[Array, Array]:
    gx, gw = gradients(g, x, w)
    return gx[:, :, p:-p, p:-p], gw


def biased(x: Array, weight: Array, bias: Array, mean: Array, var: Array) -> tuple[Array, ...]:
    y, new_mean, _ = NORM.forward(x, weight, bias, mean, var)
    return y, new_mean, 0.9 * var + np.float32(0.1) * x.var(axis=0)


NORM = generate(BatchNorm((6, 3)), "norm").load()


@pytest.mark.every
@pytest.mark.parametrize(
    ("layer", "functions", "text"),
    [
        (
            Conv((2, 2, 7, 7), 3, 3, stride=2, bias=False),
            {"backward": windows_from_p},
            "the stride is forgotten in ∂E/∂X",
        ),
        (
            Conv((3, 4, 7, 7), 6, 3, bias=False),
            {"backward": lambda g, x, w: (gradients(g, x, w)[0], gradients(g, x, w)[1] / len(x))},
            "divided by the batch",
        ),
        (
            Conv((2, 2, 6, 6), 3, 3, bias=False),
            {"backward": lambda *given: [np.flip(a, (2, 3)) for a in gradients(*given)]},
            "∂E/∂F is rotated by 180°",
        ),
        (Conv((1, 1, 5, 5), 1, 3, bias=False), {"backward": cropped}, "empty at p = 0"),
        (MaxPool((2, 2, 7, 7), 3, stride=2), {"backward": assigned}, "overlapping windows are assigned"),
        (Conv((2, 3, 7, 5), 4, 3, padding=1, bias=False), {"backward": tap_by_tap}, "are assigned, not"),
        (
            SoftmaxCrossEntropy((6, 4), weight=(0.5, 2, 1, 3)),
            {"backward": lambda g, x, labels: cross_entropy(g, x, labels, (0.5, 2, 1, 3), 6)},
            "divided by the number of samples, not by the sum of their weights",
        ),
        (
            SoftmaxCrossEntropy((6, 4)),
            {"backward": lambda g, x, labels: cross_entropy(g, x, labels, (1, 1, 1, 1), 24)},
            "divided by the number of elements",
        ),
        (
            SoftmaxCrossEntropy((6, 4), reduction="sum"),
            {"backward": lambda g, x, labels: cross_entropy(g, x, labels, (1, 1, 1, 1), 6)},
            "averaged where it should be summed",
        ),
        (Softmax((3, 4)), {"backward": lambda g, x: None}, "returns None, expected an array"),
        (SoftmaxCrossEntropy((4, 3)), {"backward": one_label}, "grad_output is ignored"),
        (BatchNorm((6, 3)), {"forward": biased}, "moved by the biased variance"),
        (Linear((2, 3), 4), {"forward": lambda x, w, b: x @ w.T}, "bias is ignored"),
        (
            Conv((1, 1, 4, 4), 1, 3, bias=False),
            {"forward": lambda x, w: np.zeros((1, 1, 2, 2), np.int64)},
            "its dtype is int64",
        ),
    ],
)  # fmt: skip
def test_the_mistake_is_named(layer: Layer, functions: dict[str, Any], text: str) -> None:
    assert text in said(layer, **functions)


def padded_gradients(accumulated: bool, padding: int = 1) -> Callable[..., Any]:
    """Return a backward function that has its padding written into it."""

    def backward(g: Array, x: Array, w: Array) -> tuple[Array, Array]:
        pads = ((0, 0), (0, 0), (padding, padding), (padding, padding))
        padded, weights = np.pad(x, pads), np.zeros(w.shape)
        extended = np.zeros(padded.shape)
        for i, j in np.ndindex(*g.shape[2:]):
            at = (..., slice(i, i + w.shape[2]), slice(j, j + w.shape[3]))
            part = np.einsum("no,ocij->ncij", g[:, :, i, j], w)
            extended[at] = extended[at] + part if accumulated else part
            weights += np.einsum("no,ncij->ocij", g[:, :, i, j], padded[at])
        return extended[:, :, padding : padding + x.shape[2], padding : padding + x.shape[3]], weights

    return backward


def test_the_right_function_passes_in_the_smallest_failing_case() -> None:
    """The padding is written into a function: only sizes that it is told are reduced."""
    layer = Conv((2, 3, 7, 7), 2, 3, padding=1, bias=False)
    assert check(layer, backward=padded_gradients(accumulated=True))
    text = said(layer, backward=padded_gradients(accumulated=False))
    assert "overlapping windows are assigned, not added" in text
    smallest = re.search(r"Smallest failing case: (Conv\(.*\))\.", text)
    assert smallest, text
    arguments = ast.parse(smallest[1], mode="eval").body
    assert isinstance(arguments, ast.Call)
    found = {str(k.arg): ast.literal_eval(k.value) for k in arguments.keywords}
    assert found["padding"] == 1
    assert max(*found["input_shape"], found["kernel_size"]) <= 2
    case = Conv(**found)
    assert check(case, backward=padded_gradients(accumulated=True))
    assert not check(case, backward=padded_gradients(accumulated=False))


def test_square_functions_are_shown_square_cases() -> None:
    """A plain correlation where dilation is asked for, of a function made for square filters."""

    def forward(x: Array, w: Array) -> Array:
        k = w.shape[2]
        windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(2, 3))
        return np.einsum("ncyxij,ocij->noyx", windows, w)

    text = said(Conv((2, 2, 8, 8), 3, 3, dilation=2, bias=False), forward=forward)
    assert "kernel_size=2, dilation=2" in text


def test_gradients_in_another_order_are_named() -> None:
    layer = Linear((4, 4), 4, bias=False)
    text = said(layer, backward=lambda g, x, w: (g.T @ x, g @ w))
    assert "∂E/∂F is returned in the place of ∂E/∂X" in text
    assert "ignored" not in text


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_variance_in_one_pass_is_not_accurate(dtype: str) -> None:
    def forward(x: Array, weight: Array, bias: Array) -> Array:
        mean = x.mean(-1, keepdims=True)
        variance = (x * x).mean(-1, keepdims=True) - mean * mean
        return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias

    text = said(LayerNorm((4, 3, 6), normalized_shape=(6,), dtype=dtype), forward=forward)
    assert "where x is near 1000" in text


def test_only_convolutions_pass_as_transforms() -> None:
    off = np.float32(1 + 32 * 6e-8)
    text = said(Linear((6, 5), 4), forward=lambda x, w, b: (x @ w.T + b) * off)
    assert "expected" in text


def test_a_line_deep_in_a_users_code_is_shown() -> None:
    def inner(x: Array) -> Array:
        raise RuntimeError("inside")

    text = said(Activation((3, 4), "relu"), forward=lambda x: inner(x))
    assert 'raise RuntimeError("inside")' in text


def buffered() -> Callable[..., Any]:
    buffer = np.empty((3, 4), np.float32)

    def forward(x: Array) -> Array:
        np.multiply(x, 3, out=buffer)
        return buffer

    return forward


def now_and_then() -> Callable[..., Any]:
    calls = itertools.count()
    return lambda x: np.maximum(x, 0) + next(calls)


@pytest.mark.every
@pytest.mark.parametrize(
    ("layer", "functions", "said_too"),
    [
        (
            Conv((2, 2, 5, 5), 3, 3, bias=False),
            {"backward": lambda *given: last_column_lost(*gradients(*given))},
            "",
        ),
        (Conv((2, 3, 11), 3, 3, padding=1, bias=False), {"backward": positive}, ""),
        (Activation((3, 4), "relu"), {"forward": buffered()}, ""),
        (Activation((3, 4), "relu"), {"backward": lambda g, x: np.round(g * (x > 0))}, ""),
        (GlobalMaxPool((1, 1, 1, 3)), {"forward": lambda x: 3 * x.max((2, 3), keepdims=True)}, ""),
        (AvgPool((2, 3, 7, 5), 3, 2, padding=1), {"backward": undivided}, ""),
        (Activation((3, 4), "relu"), {"forward": now_and_then()}, "A second call"),
    ],
)
def test_what_is_no_known_mistake_has_no_name(
    layer: Layer, functions: dict[str, Any], said_too: str
) -> None:
    text = said(layer, **functions)
    assert "known pitfall" not in text
    assert "ignored" not in text
    assert said_too in text


def test_the_smallest_case_is_small() -> None:
    def wrong(g: Array, x: Array, w: Array) -> tuple[Array, Array]:
        gx, gw = gradients(g, x, w)
        return gx, gw / len(x)

    text = said(Conv((3, 4, 7, 7), 6, 3, bias=False), backward=wrong)
    assert "Conv(input_shape=(2, 1, 1, 1), out_channels=1, kernel_size=1, bias=False)" in text
    formula = Contraction.parse("O[n,o] = X[n,c]*W[o,c]", X=(3, 4), W=(5, 4))
    text = said(formula, backward=lambda g, x, w: (2 * g @ w, g.T @ x))
    assert "shapes=(('X', (1, 1)), ('W', (1, 1)))" in text


def test_all_failures_are_listed() -> None:
    text = said(Conv((2, 2, 5, 5), 3, 3, bias=False), backward=lambda g, x, w: (0 * x, 2 * 0 * w + 1))
    assert "∂E/∂X" in text
    assert "∂E/∂F" in text


def test_what_is_written_to_is_named_and_whether_the_result_was_right() -> None:
    def backward(g: Array, x: Array) -> tuple[Array]:
        g[x <= 0] = 0
        return (g,)

    text = said(Activation((4, 3), "relu"), backward=backward)
    assert text == "backward changed its argument grad_output in place (its result is right)."


def test_right_at_the_layers_own_sizes_only() -> None:
    """A function that swaps height and width: right for every square image."""

    def backward(g: Array, x: Array) -> tuple[Array]:
        n, c, w, h = x.shape
        swapped, gx = x.reshape(n, c, h, w), np.zeros((n, c, h, w))
        for a, b, i, j in np.ndindex(n, c, *g.shape[2:]):
            window = swapped[a, b, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            if window.shape == (2, 2):
                p, q = np.unravel_index(window.argmax(), (2, 2))
                gx[a, b, 2 * i + p, 2 * j + q] = g[a, b, i, j]
        return (gx.reshape(x.shape),)

    report = check(MaxPool((2, 2, 6, 6), 2), backward=backward)
    assert report
    assert "right at this layer's sizes; wrong for MaxPool(input_shape=" in str(report)


def test_a_transform_passes_as_one() -> None:
    layer = Conv((1, 1, 64, 64), 2, 31, padding=30, bias=False, dtype="float64")
    fast = generate(layer, "m", accuracy="fast").load()
    report = check(layer, forward=fast.forward)
    assert report, report
    assert "passed as a transform: rounding relative to the whole image" in str(report)


def test_a_line_of_the_users_own_is_shown() -> None:
    def backward(g: Array, x: Array) -> Array:
        return g + "wrong"

    text = said(Activation((4,), "relu"), backward=backward)
    assert 'return g + "wrong"' in text
    assert "test_reports.py, line" in text
    assert "called with grad_output, x" in said(Activation((4,), "relu"), backward=lambda x: x)


@pytest.mark.needs("torch")
def test_tensors_that_require_grad_are_arrays() -> None:
    import torch

    def forward(x: Array) -> Any:
        return torch.relu(torch.tensor(x, requires_grad=True))

    assert check(Activation((3, 4), "relu"), forward=forward)


def test_what_numpy_cannot_read_is_refused_in_a_line() -> None:
    class Strange:
        shape = (3, 4)

        def __array__(self, *_: object, **__: object) -> Array:
            raise RuntimeError("not\nhere")

    text = said(Activation((3, 4), "relu"), forward=lambda x: Strange())
    assert "returns a Strange, which NumPy cannot read: not here" in text
    assert "\n" not in text


def test_a_report_and_a_proof_are_true_only_if_they_hold() -> None:
    layer = Activation((3, 4), "relu")
    right, wrong = check(layer, forward=lambda x: np.maximum(x, 0)), check(layer, forward=lambda x: x)
    assert bool(right)
    assert not bool(wrong)
    assert bool(prove(layer))
    for value in (right, wrong, prove(layer), generate(layer, "m")):
        assert len(repr(value).splitlines()) <= 5
        assert len(repr(value)) < 240


def test_a_failed_report_is_whole_in_an_assertion(tmp_path: Path) -> None:
    test = tmp_path / "test_mine.py"
    test.write_text(
        "import symconv\n\n\n"
        "def test_it():\n"
        "    layer = symconv.Conv((3, 4, 7, 7), 6, 3, bias=False)\n"
        "    assert symconv.check(layer, backward=lambda g, x, w: (0 * x, 0 * w))\n",
        "utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(test)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    words = " ".join(done.stdout.split())
    assert "Smallest failing case: Conv(input_shape=(1, 1, 1, 1), out_channels=1" in words
    assert "∂E/∂F[0, 0, 0, 0] = 0, expected" in words


@pytest.mark.every
@pytest.mark.parametrize("size", [4, 8, 16])
def test_equal_sizes_are_reduced_together(size: int) -> None:
    layer = Linear((size, size), size, bias=False)
    text = said(layer, backward=lambda g, x, w: (g @ w.T, g.T @ x))
    assert "Linear(input_shape=(1, 2), out_features=2, bias=False)" in text


def test_what_raises_everywhere_is_shown_for_the_smallest_layer() -> None:
    layer = Conv((2, 4, 7, 5), 6, 3, stride=(2, 1), padding=((0, 1), (2, 1)), groups=2)
    text = said(layer, backward=lambda *given: 1 / 0)
    smallest = "Conv(input_shape=(1, 2, 1, 1), out_channels=2, kernel_size=1, "
    assert smallest + "stride=(2, 1), padding=((0, 1), (2, 1)), groups=2)" in text
