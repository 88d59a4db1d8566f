"""Correct functions of any algorithm pass: einsum, plain loops, Fourier transforms, PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from symconv import Conv, ConvTranspose, Linear, MaxPool, check
from tests.effort import many
from tests.strategies import convs, layers
from tests.test_torch import in_torch

Array = Any


def padded(layer: Conv, x: Array) -> Array:
    """Return the input with its border; negative padding crops."""
    modes: dict[str, Any] = {
        "zeros": "constant",
        "reflect": "reflect",
        "replicate": "edge",
        "circular": "wrap",
    }
    cut = [slice(max(0, -w.lo), w.size - max(0, -w.hi)) for w in layer.windows]
    around = [(max(w.lo, 0), max(w.hi, 0)) for w in layer.windows]
    inside = x[(slice(None), slice(None), *cut)]
    return np.pad(inside, [(0, 0), (0, 0), *around], mode=modes[layer.padding_mode])


def dilated(layer: Conv, w: Array) -> Array:
    """Return the filter as it is laid on the input, zeros between its elements."""
    axes = tuple(range(2, w.ndim))
    w = np.flip(w, axes) if layer.flip else w
    sizes = [window.reach + 1 for window in layer.windows]
    out = np.zeros((*w.shape[:2], *sizes), w.dtype)
    out[(slice(None), slice(None), *(slice(None, None, v.dilation) for v in layer.windows))] = w
    return out


def by_groups(layer: Conv, function: Callable[[Array, Array], Array], x: Array, w: Array) -> Array:
    """Apply a convolution to each group's channels."""
    xs, ws = np.split(x, layer.groups, axis=1), np.split(w, layer.groups)
    return np.concatenate([function(a, b) for a, b in zip(xs, ws, strict=True)], axis=1)


def with_bias(y: Array, bias: list[Array]) -> Array:
    return y + bias[0].reshape(1, -1, *[1] * (y.ndim - 2)) if bias else y


def strides(layer: Conv) -> tuple[slice, ...]:
    return (slice(None), slice(None), *(slice(None, None, w.stride) for w in layer.windows))


def einsum_forward(layer: Conv) -> Callable[..., Array]:
    """Multiply every window by the filter at once."""

    def one(x: Array, w: Array) -> Array:
        axes = tuple(range(2, x.ndim))
        windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=axes)
        letters, taps = "yxzuv"[: len(axes)], "ijkpq"[: len(axes)]
        return np.einsum(f"nc{letters}{taps},oc{taps}->no{letters}", windows, w)

    def forward(x: Array, w: Array, *bias: Array) -> Array:
        y = by_groups(layer, one, padded(layer, x), dilated(layer, w))[strides(layer)]
        return with_bias(y, list(bias)).astype(x.dtype)

    return forward


def wide_forward(layer: Conv) -> Callable[..., Array]:
    """Compute in float64, and round at the end, or return float64."""
    plain = einsum_forward(layer)
    return lambda *arrays: plain(*(a.astype(np.float64) for a in arrays))


def reversed_forward(layer: Conv) -> Callable[..., Array]:
    """Add up the filter's elements one after the other, the last one first."""

    def one(x: Array, w: Array) -> Array:
        sizes = [n - k + 1 for n, k in zip(x.shape[2:], w.shape[2:], strict=True)]
        y = np.zeros((x.shape[0], w.shape[0], *sizes), x.dtype)
        for tap in reversed(list(np.ndindex(*w.shape[2:]))):
            cut = tuple(slice(t, t + n) for t, n in zip(tap, sizes, strict=True))
            y += np.einsum("nc...,oc->no...", x[(slice(None), slice(None), *cut)], w[(..., *tap)])
        return y

    def forward(x: Array, w: Array, *bias: Array) -> Array:
        y = by_groups(layer, one, padded(layer, x), dilated(layer, w))[strides(layer)]
        return with_bias(y, list(bias))

    return forward


def fourier_forward(layer: Conv) -> Callable[..., Array]:
    """Multiply spectra of the whole image and the whole filter."""

    def one(x: Array, w: Array) -> Array:
        axes = tuple(range(2, x.ndim))
        full = [n + k - 1 for n, k in zip(x.shape[2:], w.shape[2:], strict=True)]
        turned = np.flip(w, axes)
        spectra = np.fft.rfftn(x, full, axes), np.fft.rfftn(turned, full, axes)
        product = np.einsum("nc...,oc...->no...", *spectra)
        y = np.fft.irfftn(product, full, axes)
        cut = tuple(slice(k - 1, n) for n, k in zip(x.shape[2:], w.shape[2:], strict=True))
        return y[(slice(None), slice(None), *cut)]

    def forward(x: Array, w: Array, *bias: Array) -> Array:
        y = by_groups(layer, one, padded(layer, x), dilated(layer, w))[strides(layer)]
        return with_bias(y, list(bias)).astype(x.dtype)

    return forward


FORWARDS = [einsum_forward, wide_forward, reversed_forward, fourier_forward]


@settings(max_examples=many(300))
@given(convs(), st.sampled_from(FORWARDS), st.sampled_from(["float32", "float64"]))
def test_a_correct_forward_passes(layer: Conv, make: Any, dtype: str) -> None:
    layer = replace(layer, dtype=dtype)
    report = check(layer, forward=make(layer))
    assert report, report


@pytest.mark.needs("torch")
@settings(max_examples=many(200))
@given(layers(), st.sampled_from(["float32", "float64"]))
def test_pytorch_passes(layer: Conv | ConvTranspose, dtype: str) -> None:
    import torch

    layer = replace(layer, dtype=dtype)

    def forward(*arrays: Array) -> Any:
        x, w, *bias = map(torch.tensor, arrays)
        return in_torch(layer, x, w, bias[0] if bias else None)

    def backward(g: Array, *arrays: Array) -> Any:
        tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
        y = in_torch(layer, tensors[0], tensors[1], tensors[2] if len(tensors) > 2 else None)
        return torch.autograd.grad(y, tensors, torch.tensor(g), allow_unused=True)

    zeros = [np.zeros(shape, dtype) for shape in layer.inputs.values()]
    assume(in_torch(layer, torch.tensor(zeros[0]), torch.tensor(zeros[1]), None) is not None)
    report = check(layer, forward=forward, backward=backward)
    assert report, report


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_long_sum_may_be_taken_in_any_order(dtype: str) -> None:
    layer = Linear((2, 20_000), 3, bias=False, dtype=dtype)

    def one_after_the_other(x: Array, w: Array) -> Array:
        y = np.zeros((2, 3), x.dtype)
        for c in range(20_000):
            y += np.outer(x[:, c], w[:, c])
        return y

    for forward in (one_after_the_other, lambda x, w: x @ w.T, lambda x, w: x[:, ::-1] @ w[:, ::-1].T):
        assert check(layer, forward=forward)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_maximum_may_give_its_gradient_to_any_tied_element(dtype: str) -> None:
    layer = MaxPool((2, 2, 6, 6), 2, dtype=dtype)

    def backward(share: Callable[[Array], Array]) -> Callable[..., Any]:
        def function(g: Array, x: Array) -> Any:
            gx = np.zeros_like(x)
            for n, c, i, j in np.ndindex(g.shape):
                at = (n, c, slice(2 * i, 2 * i + 2), slice(2 * j, 2 * j + 2))
                gx[at] += share((x[at] == x[at].max()).astype(x.dtype)) * g[n, c, i, j]
            return gx

        return function

    def nth(number: int) -> Callable[[Array], Array]:
        def share(mask: Array) -> Array:
            found = np.zeros_like(mask)
            found.ravel()[np.flatnonzero(mask)[number]] = 1
            return found

        return share

    shares: list[Callable[[Array], Array]] = [nth(0), nth(-1), lambda mask: mask / mask.sum()]
    for share in shares:
        report = check(layer, backward=backward(share))
        assert report, report


def test_a_layer_of_a_few_hundred_elements_takes_no_long_list_of_calls() -> None:
    layer = Conv((2, 4, 9, 8), 6, 3, stride=2, padding=1)
    calls = 0
    plain = einsum_forward(layer)

    def counted(*arrays: Array) -> Array:
        nonlocal calls
        calls += 1
        return plain(*arrays)

    assert check(layer, forward=counted)
    assert calls < 100
