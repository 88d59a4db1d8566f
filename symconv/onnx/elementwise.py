"""ONNX's functions of each element."""

from __future__ import annotations

from typing import Any

import numpy as np

from symconv.building import NotSupportedError, Value
from symconv.onnx.arithmetic import applied, scaled
from symconv.onnx.nodes import Call, Operator


def activation(function: str, **defaults: float) -> Operator:
    """Return the operator of an expression in x and attributes."""

    def activated(call: Call) -> Value:
        constants: dict[str, Any] = {n: call.get(n, value) for n, value in defaults.items()}
        return applied(call, call.value(0), function, **constants)

    return activated


def clip(call: Call) -> Value:
    """Return limits from below and above, which are attributes before opset 11."""
    limits = [call.get(name) for name in ("min", "max")]
    if call.opset >= 11:
        limits = [call.constant(at, name) for at, name in ((1, "min"), (2, "max"))]
    numbers = [None if limit is None else float(np.asarray(limit).item()) for limit in limits]
    low, high = (None if n is None or np.isinf(n) else n for n in numbers)
    if low is None and high is None:
        return call.value(0)
    text = "x" if low is None else "max(x, low)"
    text = text if high is None else f"min({text}, high)"  # which wins where low is above it
    named: dict[str, Any] = {"low": low, "high": high}
    return applied(
        call, call.value(0), text, **{n: value for n, value in named.items() if value is not None}
    )


def gelu(call: Call) -> Value:
    """Return GELU, or its approximation."""
    name = "gelu_tanh" if call.get("approximate", "none") == "tanh" else "gelu"
    return applied(call, call.value(0), name)


def prelu(call: Call) -> Value:
    """Return the rectifier with constant slopes below 0, one for all or for each channel."""
    slope, x = call.needed(1, "the slope"), call.value(0)
    shape = (1,) * (len(x.shape) - slope.ndim) + slope.shape
    if call.opset < 7 and slope.shape == x.shape[1:2]:  # one for each channel
        shape = (1, *slope.shape)
    if slope.size == 1 or (len(shape) > 1 and shape[1] == x.shape[1] == slope.size):
        params = {"weight": slope.reshape(-1)}
        return call.layer("PReLU", x, params=params, num_parameters=slope.size)
    positive = applied(call, x, "max(x, 0)", "positive")
    negative = applied(call, x, "min(x, 0)", "negative")
    return call.layer("Add", positive, scaled(call, negative, slope, "*", "sloped"))


def cast(call: Call) -> Value:
    """Return the same value, if its dtype stays."""
    numbers = {1: "float32", 11: "float64"}
    if numbers.get(call.get("to")) != call.layers.dtype:
        raise NotSupportedError(f"to = {call.get('to')}: must be the dtype of the network")
    return call.value(0)


def dropout(call: Call) -> Value:
    """Return the same value, as in inference."""
    training = call.constant(2, "training_mode")
    if call.opset < 7 and not call.get("is_test", 0):
        raise NotSupportedError("is_test = 0: it drops elements at random")
    if training is not None and training.any():
        raise NotSupportedError("drops elements at random")
    if call.outputs > 1:
        raise NotSupportedError("returns its mask")
    return call.value(0)
