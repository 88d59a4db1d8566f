"""PyTorch's arithmetic, functions of each element, and sums along axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from symconv.building import NotSupportedError, Value
from symconv.torch.aten_calls import Call, Op


def plus(call: Call) -> Value:
    """Return a sum of values, or of a value and a number."""
    return _combined(call, "Add", "+")


def times(call: Call) -> Value:
    """Return a product of values, or of a value and a number."""
    return _combined(call, "Multiply", "*")


def _combined(call: Call, kind: str, sign: str) -> Value:
    """Return a sum, or a product; the second of a sum may have a factor."""
    first, second, factor = call["self"], call["other"], call.given.get("alpha", 1)
    if isinstance(second, Value):
        if factor != 1:
            second = call.activation("x*c", "scaled", second, c=factor)
        if isinstance(first, Value):
            return call.layer(kind, first, second)
        return call.activation(f"x {sign} c", x=second, c=number(first, second))
    return call.activation(f"x {sign} c", x=first, c=number(second, first) * factor)


def number(given: Any, beside: Value | None = None) -> float:
    """Return the only number that an argument has, with no more axes than the value beside it."""
    array = np.asarray(given)
    if array.size != 1 or (beside is not None and array.ndim > len(beside.shape)):
        raise NotSupportedError("takes a parameter beside the model's values")
    return float(array.item())


def minus(call: Call) -> Value:
    """Return a difference."""
    first, second = call["self"], call["other"]
    if isinstance(second, Value):
        less = call.activation("-x*c", "negative", second, c=call.given.get("alpha", 1))
        if isinstance(first, Value):
            return call.layer("Add", first, less)
        return call.activation("x + c", x=less, c=number(first))
    return call.activation("x - c", x=first, c=number(second) * call.given.get("alpha", 1))


def over(call: Call) -> Value:
    """Return a quotient."""
    first, second = call["self"], call["other"]
    if not isinstance(second, Value):
        return call.activation("x/c", x=first, c=number(second))
    if isinstance(first, Value):
        return call.layer("Multiply", first, call.activation("1/x", "inverse", second))
    return call.activation("c/x", x=second, c=number(first))


def reduced(kind: str) -> Op:
    """Return the operator of a reduction along axes."""

    def reduced(call: Call) -> Value:
        x = call.value()
        dims = call.given.get("dim") or range(len(x.shape))
        return call.layer(kind, x, axes=tuple(dims), keepdims=bool(call.given.get("keepdim", False)))

    return reduced


def softmax(call: Call) -> Value:
    """Return softmax along an axis."""
    return call.layer("Softmax", call.value(), axis=call["dim"])


def matmul(call: Call) -> Value:
    """Return a product of matrices, the second of which may be a parameter."""
    other = call.given.get("other", call.given.get("mat2"))
    if isinstance(other, Value):
        return call.layer("MatMul", call.value(), other)
    return call.layer(
        "Linear", call.value(), params={"weight": other.T}, out_features=other.shape[1], bias=False
    )


def gelu(call: Call) -> Value:
    """Return GELU, or its approximation."""
    return call.activation("gelu_tanh" if call["approximate"] == "tanh" else "gelu")


def limited(call: Call) -> Value:
    """Return limits from below and above."""
    low, high = (
        call.given.get("min_val", call.given.get("min")),
        call.given.get("max_val", call.given.get("max")),
    )
    text = "x" if low is None else "max(x, low)"
    text = text if high is None else f"min({text}, high)"
    named = {name: value for name, value in (("low", low), ("high", high)) if value is not None}
    return call.activation(text, "", None, **named)


def plain(function: str, *names: str) -> Op:
    """Return a function of each element whose constants are arguments."""
    return lambda call: call.activation(function, "", None, **{name: call[name] for name in names})


def softplus(call: Call) -> Value:
    """Return softplus with a factor, linear beyond a threshold."""
    beta, threshold = call["beta"], call["threshold"]
    function = "where(beta*x > threshold, x, (max(beta*x, 0) + log1p(exp(-abs(beta*x))))/beta)"
    return call.activation(function, beta=beta, threshold=threshold)


def dropout(call: Call) -> Value:
    """Return the same value, as in inference."""
    if call["train"]:
        raise NotSupportedError("train = True: drops elements at random")
    return call.value()


def same(call: Call) -> Value:
    """Return the same value."""
    return call.value()
