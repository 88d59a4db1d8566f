"""Assertions on gradients that PyTorch, JAX or a user computes, and what they say of wrong ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from symconv import Activation, Conv, Linear, MaxPool, SoftmaxCrossEntropy, SymconvError
from symconv.testing import assert_gradients

CONV = Conv((2, 2, 9), 3, 3, stride=2, padding=1)
RELU = Activation((3, 4), "relu")


def test_functions_of_numpy() -> None:
    assert_gradients(RELU, forward=lambda x: np.maximum(x, 0), backward=lambda g, x: g * (x > 0))
    with pytest.raises(AssertionError, match="Smallest failing case: Activation"):
        assert_gradients(RELU, backward=lambda g, x: g * (x > 1))


def test_functions_of_pytorch() -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    of = torch.nn.functional
    assert_gradients(CONV, function=lambda x, w, b: of.conv1d(x, w, b, stride=2, padding=1))
    assert_gradients(MaxPool((1, 2, 6, 6), 2), function=torch.nn.MaxPool2d(2))
    assert_gradients(SoftmaxCrossEntropy((4, 3)), function=of.cross_entropy)
    assert_gradients(Linear((None, 3), 2), function=of.linear)
    relu, slope = (lambda x: torch.clamp(x, min=0)), (lambda g, x: g * (x > 0))
    assert_gradients(RELU, forward=relu, backward=slope, framework="torch")
    with pytest.raises(AssertionError, match="Conv"):
        assert_gradients(
            CONV, function=lambda x, w, b: of.conv1d(x, w, b, stride=2, padding=1) + x.sum()
        )


def test_a_wrong_autograd_function_of_pytorch() -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")

    class Wrong(torch.autograd.Function):  # type: ignore[misc]  # Any
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x.clamp(min=0)

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            (x,) = ctx.saved_tensors
            return grad * (x < 0)

    with pytest.raises(AssertionError, match="∂E/∂X"):
        assert_gradients(RELU, function=Wrong.apply)


def test_functions_of_jax() -> None:
    jax: Any = pytest.importorskip("jax", reason="JAX is not installed")
    assert_gradients(Linear((4, 3), 2), function=lambda x, w, b: x @ w.T + b, framework="jax")

    @jax.custom_vjp  # type: ignore[untyped-decorator]  # Any
    def wrong(x: Any) -> Any:
        return jax.nn.relu(x)

    wrong.defvjp(lambda x: (jax.nn.relu(x), x), lambda x, g: (g * (x < 0),))
    with pytest.raises(AssertionError, match="∂E/∂X"):
        assert_gradients(RELU, function=wrong, framework="jax")
    with pytest.raises(SymconvError, match="set jax_enable_x64"):
        assert_gradients(Linear((4, 3), 2, dtype="float64"), function=wrong, framework="jax")


def test_what_cannot_be_checked_is_refused() -> None:
    def said(*arguments: Any, **named: Any) -> str:
        with pytest.raises(SymconvError) as found:
            assert_gradients(*arguments, **named)
        return str(found.value)

    assert "forward = None" in said(RELU)
    assert "function = 3: must be a function" in said(RELU, function=3)
    assert "must not be given beside" in said(RELU, forward=np.tanh, function=np.tanh)
    assert "framework = 'keras'" in said(RELU, forward=np.tanh, framework="keras")
    assert "NumPy does not differentiate it" in said(RELU, function=np.tanh, framework="numpy")
    assert "must take and return arrays of PyTorch or JAX" in said(RELU, function=lambda x: None)
    assert "layer = 3" in said(3, forward=np.tanh)


TESTS = """
import numpy as np
import pytest
import symconv

RELU = symconv.Activation((3, 4), "relu")


@pytest.mark.symconv(layer=RELU)
def test_right(assert_gradients):
    assert_gradients(backward=lambda g, x: g * (x > 0))


@pytest.mark.symconv(layer=RELU)
def test_wrong(assert_gradients):
    assert_gradients(backward=lambda g, x: g * (x < 0))


def test_unmarked(assert_gradients):
    pass
"""


def test_the_mark_and_its_fixture(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(TESTS, "utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--strict-markers"]
    done = subprocess.run(
        [*command, "test_own.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "symconv: test_own.py::test_right: Activation: all 1 passed" in done.stdout
    assert "Smallest failing case: Activation" in done.stdout
    assert "needs @pytest.mark.symconv(layer=...)" in done.stdout
    assert "1 failed, 1 passed, 1 error" in done.stdout
