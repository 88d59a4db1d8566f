"""Anybody's functions, for any layer: those of generated modules pass, planted errors do not."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from symconv import (
    Activation,
    AvgPool,
    BatchNorm,
    Contraction,
    Flatten,
    LayerNorm,
    Linear,
    MaxPool,
    Softmax,
    SoftmaxCrossEntropy,
    SymconvError,
    check,
    generate,
)
from symconv.layers import Layer
from symconv.layers.activations import NAMED
from symconv.unit import Unit
from tests.layers import test_composites, test_index_notation, test_network, test_sums

Array = Any

LAYERS: list[Layer] = [
    *test_composites.LAYERS,
    *test_sums.LAYERS,
    *test_index_notation.LAYERS.values(),
    *(Activation((3, 4), function) for function in NAMED),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_right_functions_pass_and_wrong_ones_do_not(layer: Layer) -> None:
    module = generate(layer, "module").load()
    assert check(layer, forward=module.forward, backward=module.backward).passed

    def wrong(*arrays: Any) -> list[Any]:
        gradients = [array.copy() for array in module.backward(*arrays)]
        gradients[-1] = gradients[-1] * np.asarray(1.01, gradients[-1].dtype)
        return gradients

    report = check(layer, backward=wrong)
    assert not report.passed
    assert "Smallest failing case" in report.results[0].detail


def pooled(x: Any, padding: int = 0, outside: float = -np.inf) -> Any:
    """Return the windows of a pool of two cells over one axis, side by side."""
    extended = np.pad(x, ((0, 0), (0, 0), (padding, padding)), constant_values=outside)
    count = extended.shape[-1] // 2
    return extended[..., : 2 * count].reshape(*x.shape[:2], count, 2)


def spread(shares: Any, g: Any, x: Any) -> tuple[Any]:
    """Give each window's number to its cells, in these shares."""
    gx = np.zeros_like(x)
    cells = (shares * g[..., None]).reshape(*x.shape[:2], -1)
    gx[..., : cells.shape[-1]] = cells
    return (gx,)


def test_whom_a_tie_goes_to_is_nobodys_fault_but_it_goes_out_once() -> None:
    layer = MaxPool((1, 1, 6), 2)

    def every(x: Any) -> Any:
        windows = pooled(x)
        return (windows == windows.max(axis=-1, keepdims=True)).astype(x.dtype)

    def last(g: Any, x: Any) -> tuple[Any]:
        return spread(np.eye(2, dtype=x.dtype)[1 - pooled(x)[..., ::-1].argmax(axis=-1)], g, x)

    def split(g: Any, x: Any) -> tuple[Any]:
        return spread(every(x) / every(x).sum(axis=-1, keepdims=True), g, x)

    assert check(layer, backward=last).passed
    assert check(layer, backward=split).passed
    report = check(layer, backward=lambda g, x: spread(every(x), g, x))
    assert not report.passed
    assert "credited in full (Theano#5404)" in report.results[0].detail
    assert "where values are equal" in report.results[0].detail
    rolled = check(layer, backward=lambda g, x: last(g, np.roll(x, 1, axis=-1)))
    assert not rolled.passed


def test_a_padding_that_wins_is_seen() -> None:
    layer = MaxPool((1, 1, 6), 2, padding=1)
    assert check(layer, forward=lambda x: pooled(x, 1).max(axis=-1)).passed
    report = check(layer, forward=lambda x: pooled(x, 1, 0.0).max(axis=-1))
    assert "the padding's zero wins a maximum" in report.results[0].detail


def test_an_average_that_counts_no_padding_is_named() -> None:
    layer = AvgPool((1, 1, 6), 2, padding=1)

    def wrong(x: Any) -> Any:
        ones = pooled(np.ones_like(x), 1, 0.0).sum(axis=-1)
        return pooled(x, 1, 0.0).sum(axis=-1) / ones

    assert "count_include_pad is ignored" in check(layer, forward=wrong).results[0].detail


@pytest.mark.parametrize(
    ("layer", "naive"),
    [
        (Softmax((2, 3)), lambda x: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)),
        (
            SoftmaxCrossEntropy((2, 3)),
            lambda x, t: -np.log(np.exp(x[[0, 1], t]) / np.exp(x).sum(axis=1)).mean(),
        ),
        (Activation((4,), "softplus"), lambda x: np.log(1 + np.exp(x))),
        (Activation((4,), "tanh"), lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))),
    ],
    ids=["softmax", "cross entropy", "softplus", "tanh"],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_naive_functions_that_overflow_are_seen(layer: Layer, naive: Any) -> None:
    report = check(layer, forward=naive)
    assert not report.passed
    assert re.search(r"where (x is large|numbers are between)", report.results[0].detail)


@pytest.mark.parametrize(("at_zero", "right"), [(0.0, True), (1.0, True), (0.5, True), (5.0, False)])
def test_a_slope_at_a_kink_is_between_those_of_both_sides(at_zero: float, right: bool) -> None:
    def backward(g: Any, x: Any) -> Any:
        return g * np.where(x == 0, at_zero, x > 0).astype(x.dtype)

    assert check(Activation((3, 4), "relu"), backward=backward).passed == right
    assert check(Activation((1,), "relu"), backward=backward).passed == right


def test_functions_with_poles_are_checked_where_they_have_values() -> None:
    assert check(Activation((3, 4), "log(x)"), forward=lambda x: np.log(np.where(x > 0, x, 1))).passed


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "returns None, expected an array"),
        ({"x": 1}, "returns a dict, expected an array"),
        ((None,), "∂E/∂X is not an array of numbers"),
        ((), "returns 0 arrays, expected 1: ∂E/∂X"),
        ((1.0, 2.0), "returns 2 arrays"),
        ("text", "has dtype <U4"),
    ],
)
def test_what_is_no_array_is_said(returned: Any, said: str) -> None:
    report = check(Activation((3, 4), "relu"), backward=lambda g, x: returned)
    assert said in str(report)


def test_numbers_that_differ_little_are_printed_apart_and_the_case_is_small() -> None:
    layer = Linear((8, 64), 16, bias=False, dtype="float64")
    report = check(layer, forward=lambda x, w: (x @ w.T) * (1 + 1e-9))
    assert not report.passed
    shown, expected = re.findall(r"= (-?[\d.]+), expected (-?[\d.]+)", str(report))[0]
    assert shown != expected
    assert "Linear(input_shape=(1, 1), out_features=1, bias=False" in report.results[0].detail


def test_a_kink_far_from_zero_is_seen() -> None:
    report = check(Activation((3, 4), "relu6"), forward=lambda x: np.maximum(x, 0))
    assert not report.passed


def test_the_only_gradient_may_come_alone() -> None:
    layer = Activation((3, 4), "relu")
    assert check(layer, backward=lambda g, x: g * (x > 0)).passed
    assert not check(layer, backward=lambda g, x: g * (x > 1)).passed


def test_imaginary_parts_are_not_dropped() -> None:
    report = check(Activation((3, 4), "relu"), forward=lambda x: np.maximum(x, 0) + 1j)
    assert "has dtype complex" in report.results[0].detail


def test_networks_are_refused() -> None:
    with pytest.raises(SymconvError, match="must be a single layer"):
        check(test_network.LENET, forward=lambda x: x)


@pytest.mark.parametrize("function", ["tanh", "sigmoid", "sin(x)", "atan(x)", "x/(1+abs(x))"])
def test_slopes_that_peak_at_a_whole_number_are_right(function: str) -> None:
    layer = Activation((2, 3, 4), function, dtype="float64")
    module = generate(layer, "module").load()
    assert check(layer, forward=module.forward, backward=module.backward).passed


@pytest.mark.parametrize("outside", [0.0, -3.0, -100.0, -1000.0])
def test_no_padding_wins(outside: float) -> None:
    layer = MaxPool((2, 3, 8), 2, padding=1)
    assert check(layer, forward=lambda x: pooled(x, 1).max(axis=-1)).passed
    assert not check(layer, forward=lambda x: pooled(x, 1, outside).max(axis=-1)).passed
    unit = generate(MaxPool((1, 2, 8, 8), 3, 2, 1), "module")
    wrong = unit.source.replace("-np.inf", str(outside))
    assert wrong != unit.source
    assert not check(Unit("module", wrong, unit.plan)).passed


def test_a_few_cells_are_not_right_by_luck() -> None:
    layer = MaxPool((1, 1, 2), 2, dtype="float64")
    assert not check(layer, forward=lambda x: x[:, :, :1].copy()).passed
    unit = generate(layer, "module")
    for wrong in ("x[:, :, :1]", "x[:, :, 1:]"):
        source = re.sub(r"    y\[0, 0, 0\] = x.*", f"    y[...] = {wrong}", unit.source)
        assert source != unit.source
        assert not check(Unit("module", source, unit.plan)).passed


def test_a_pitfall_is_named_only_where_it_is_one() -> None:
    plain = check(MaxPool((1, 1, 6), 2), forward=lambda x: 0 * pooled(x).max(axis=-1))
    assert not plain.passed
    assert "padding" not in str(plain)
    layer = MaxPool((1, 1, 6), 2)
    right = generate(layer, "module").load().backward
    twice = check(layer, backward=lambda g, x: (2 * right(g, x)[0],))
    assert not twice.passed
    assert "credited" not in str(twice)


def test_precision_is_not_lost_on_the_way() -> None:
    layer = Linear((3, 4), 2, bias=False, dtype="float64")
    assert check(layer, forward=lambda x, w: x @ w.T).passed
    short = check(layer, forward=lambda x, w: x.astype("f4") @ w.T.astype("f4"))
    assert "has dtype float32, expected float64" in str(short)
    assert not check(layer, forward=lambda x, w: (x.astype("f4") @ w.T.astype("f4")).astype("f8")).passed


def test_a_variance_that_cancels_is_seen() -> None:
    layer = LayerNorm((3, 5), elementwise_affine=False)

    def normalised(x: Any, mean: Any, variance: Any) -> Any:
        return (x - mean) / np.sqrt(variance + np.float32(layer.eps))

    def naive(x: Any) -> Any:
        mean = x.mean(axis=1, keepdims=True)
        return normalised(x, mean, (x * x).mean(axis=1, keepdims=True) - mean * mean)

    two_passes = check(
        layer,
        forward=lambda x: normalised(x, x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)),
    )
    assert two_passes.passed, two_passes
    assert "x is near 1000" in str(check(layer, forward=naive)), check(layer, forward=naive)


def test_new_running_statistics_are_compared_if_they_are_returned() -> None:
    layer = BatchNorm((6, 3), dtype="float64")
    right = generate(layer, "module").load().forward
    assert check(layer, forward=right).passed
    assert check(layer, forward=lambda *arrays: right(*arrays)[0]).passed
    listed: Any = lambda *arrays: list(right(*arrays))  # noqa: E731  # of another type than declared
    assert check(layer, forward=listed).passed
    for wrong in (
        lambda y, mean, var: (y, var, mean),
        lambda y, mean, var: (y, mean, var * 5 / 6),
        lambda y, mean, var: (y, "hello", np.nan),
        lambda y, mean, var: (y, mean),
    ):
        assert not check(layer, forward=lambda *arrays, wrong=wrong: wrong(*right(*arrays))).passed


def test_a_function_for_its_own_sizes_only_is_right() -> None:
    layer = Flatten((2, 3, 4))
    assert check(layer, forward=lambda x: x.reshape(2, -1)).passed
    assert not check(layer, forward=lambda x: x.reshape(3, -1)).passed
    assert not check(layer, forward=lambda x: x[::-1].reshape(2, -1)).passed


def test_a_list_of_numbers_is_one_array() -> None:
    assert check(Activation((2, 3), "relu"), forward=lambda x: np.maximum(x, 0).tolist()).passed


def test_functions_are_checked_against_a_layer() -> None:
    unit = generate(Activation((2, 3), "relu"), "module")
    with pytest.raises(SymconvError, match="subject: must be a layer for functions to be checked"):
        check(unit, forward=lambda x: x)


@pytest.mark.every
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_not_finite_passes_only_where_a_step_overflows(dtype: str) -> None:
    square = Activation((3, 4), "x*x", dtype=dtype)
    assert check(square, forward=lambda x: x * x, backward=lambda g, x: 2 * g * x)
    assert not check(square, forward=lambda x: np.where(np.abs(x) > 8, np.nan, x * x))
    assert not check(square, backward=lambda g, x: np.where(np.abs(x) > 8, np.inf, 2 * g * x))
    cases = Activation((3, 4), "x*min(max(x + 3, 0), 6)/6", dtype=dtype)
    assert check(cases, forward=lambda x: x * np.clip(x + 3, 0, 6) / 6)
    assert not check(cases, forward=lambda x: np.where(x > 50, np.inf, x * np.clip(x + 3, 0, 6) / 6))
    logistic = Activation((3, 4), "exp(x)/(1 + exp(x))", dtype=dtype)
    assert check(logistic, forward=lambda x: np.exp(x) / (1 + np.exp(x)))
    assert check(logistic, forward=lambda x: 1 / (1 + np.exp(-x)))
    assert not check(logistic, forward=lambda x: np.where(x > 10, np.nan, 1 / (1 + np.exp(-x))))


@pytest.mark.every
@pytest.mark.parametrize("shape", [(3, 5), (2, 10), (4, 100)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_small_shares_of_a_softmax_count(shape: tuple[int, int], dtype: str) -> None:
    def forward(x: Array, least: float = 0.0) -> Array:
        e = np.exp(x - x.max(1, keepdims=True))
        y = e / e.sum(1, keepdims=True)
        return np.where(y < least, 0, y).astype(x.dtype)

    def logged(x: Array) -> Array:
        m = x.max(1, keepdims=True)
        return np.asarray(np.exp(x - (m + np.log(np.exp(x - m).sum(1, keepdims=True)))))

    layer = Softmax(shape, dtype=dtype)
    assert check(layer, forward=forward)
    assert check(layer, forward=logged)
    assert not check(layer, forward=lambda x: forward(x, 1e-4))


class Layered:
    """A linear layer as it is written by hand: forward keeps what backward needs."""

    def forward(self, x: Array, w: Array) -> Array:
        """Keep x and w."""
        self.x, self.w = x, w
        return np.asarray(x @ w.T)

    def backward(self, g: Array) -> tuple[Array, Array]:
        """Read what was kept."""
        return g @ self.w, g.T @ self.x

    def same(self, g: Array, x: Array = None, w: Array = None) -> tuple[Array, Array]:
        """Do the same, whatever else is given."""
        return self.backward(g)

    def wrong(self, g: Array) -> tuple[Array, Array]:
        """Double the gradient by w."""
        return g @ self.w, 2 * g.T @ self.x


def test_backward_may_read_what_forward_kept() -> None:
    layer, own = Linear((3, 5), 4, bias=False), Layered()
    assert check(layer, forward=own.forward, backward=own.backward)
    assert check(layer, forward=own.forward, backward=own.same)
    assert "counted twice" in str(check(layer, forward=own.forward, backward=own.wrong))
    assert "give forward as well" in str(check(layer, backward=own.backward))


def test_ties_of_products_are_counted_once() -> None:
    text = "O[i,j] max= A[i,k] * B[k,j]"
    layer = Contraction.parse(text, A=(3, 4), B=(4, 5), dtype="float64")

    def shares(a: Array, b: Array, first: bool) -> Array:
        products = a[:, :, None] * b[None]
        ties = products == products.max(1, keepdims=True)
        if first:
            ties &= ties.cumsum(1) == 1
        return ties * 1.0

    def backward(g: Array, a: Array, b: Array, first: bool = True) -> tuple[Array, Array]:
        s = shares(a, b, first)
        return np.einsum("ij,ikj,kj->ik", g, s, b), np.einsum("ij,ikj,ik->kj", g, s, a)

    assert check(layer, backward=backward)
    report = check(layer, backward=lambda g, a, b: backward(g, a, b, first=False))
    assert "credited in full" in str(report)


@pytest.mark.parametrize(
    ("name", "slope"),
    [
        ("relu", lambda x: x > 1e-3),
        ("hardtanh", lambda x: np.abs(x) <= 1.05),
        ("leaky_relu", lambda x: np.where(x > 5e-4, 1, 0.01)),
        ("relu6", lambda x: (x > 0) & (x < 6.02)),
    ],
)
def test_a_kink_that_is_shifted_is_seen(name: str, slope: Any) -> None:
    layer = Activation((3, 4), name)
    module = generate(layer, "module").load()
    assert check(layer, backward=module.backward)
    assert not check(layer, backward=lambda g, x: (g * slope(x)).astype(g.dtype))


@pytest.mark.parametrize("most", [2, 3, 4])
def test_ties_of_every_number_of_elements_are_tried(most: int) -> None:
    """In windows of different sizes: at the corner of the padding, at its side and inside."""
    layer = MaxPool((1, 1, 4, 4), 2, padding=1, dtype="float64")

    def backward(g: Array, x: Array) -> Array:
        gx, padded = np.zeros((6, 6)), np.pad(x[0, 0], 1, constant_values=-np.inf)
        for i, j in np.ndindex(3, 3):
            window = padded[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            ties = window == window.max()
            if ties.sum() != most:
                ties.flat[1 + int(np.argmax(ties)) :] = False
            gx[2 * i : 2 * i + 2, 2 * j : 2 * j + 2] += ties * g[0, 0, i, j]
        return gx[None, None, 1:-1, 1:-1]

    assert not check(layer, backward=backward)
