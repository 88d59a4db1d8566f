"""ONNX's normalisations."""

from __future__ import annotations

import numpy as np

from symconv.building import NotSupportedError, Value
from symconv.onnx.arithmetic import applied, scaled
from symconv.onnx.nodes import Call, with_bias


def batch_norm(call: Call) -> Value:
    """Return a normalisation by running statistics, or by a batch's own in training."""
    if call.outputs > 1 or call.get("training_mode", 0) or call.get("spatial", 1) != 1:
        raise NotSupportedError("is in training, or not spatial")
    if call.opset < 7 and not call.get("is_test", 0):
        raise NotSupportedError("is_test = 0: it is in training")
    names = ("weight", "bias", "running_mean", "running_var")
    return call.layer(
        "BatchNorm",
        call.value(0),
        params={name: call.needed(at, name) for at, name in enumerate(names, 1)},
        eps=call.get("epsilon", 1e-5),
        momentum=1 - call.get("momentum", 0.9),
        training=call.training,
    )


def instance_norm(call: Call) -> Value:
    """Return a normalisation of each channel of a sample."""
    params = with_bias(call.needed(1, "scale"), call.needed(2, "B"))
    eps = call.get("epsilon", 1e-5)
    return call.layer("InstanceNorm", call.value(0), params=params, eps=eps, affine=True)


def group_norm(call: Call) -> Value:
    """Return a normalisation of groups of channels; before opset 21 each group has one scale."""
    groups, scale, bias = call.get("num_groups"), call.needed(1, "scale"), call.needed(2, "bias")
    if call.opset < 21:
        each = call.shape[1] // groups
        scale, bias = np.repeat(scale, each), np.repeat(bias, each)
    params, eps = with_bias(scale, bias), call.get("epsilon", 1e-5)
    return call.layer("GroupNorm", call.value(0), params=params, num_groups=groups, eps=eps)


def layer_norm(call: Call) -> Value | tuple[Value, ...]:
    """Return a normalisation over the last axes, and its statistics if they are asked for."""
    axis = call.get("axis", -1) % len(call.shape)
    found = _layer_norm(call, axis)
    return (found, *_statistics(call, axis)[: call.outputs - 1]) if call.outputs > 1 else found


def _statistics(call: Call, axis: int) -> tuple[Value, Value]:
    """Return the mean over the last axes, and the inverse of the standard deviation."""
    mean, _, variance = _moments(call, tuple(range(axis, len(call.shape))))
    eps = call.get("epsilon", 1e-5)
    return mean, applied(call, variance, "1/sqrt(x + eps)", "inverse", eps=eps)


def _moments(call: Call, axes: tuple[int, ...]) -> tuple[Value, Value, Value]:
    """Return the mean over axes, each element less it, and the mean of their squares."""
    x = call.value(0)
    mean = call.layer("ReduceMean", x, part="mean", axes=axes, keepdims=True)
    deviation = call.layer("Add", x, applied(call, mean, "-x", "less"), part="deviation")
    squares = applied(call, deviation, "x^2", "squares")
    variance = call.layer("ReduceMean", squares, part="variance", axes=axes, keepdims=True)
    return mean, deviation, variance


def _layer_norm(call: Call, axis: int) -> Value:
    last = call.shape[axis:]
    scale = np.broadcast_to(call.needed(1, "Scale"), last)
    bias = call.constant(2, "B")
    bias = np.zeros(last, scale.dtype) if bias is None else np.broadcast_to(bias, last)
    eps = call.get("epsilon", 1e-5)
    x = call.value(0)
    if axis:
        params = with_bias(scale, bias)
        return call.layer("LayerNorm", x, params=params, normalized_shape=last, eps=eps)
    row = call.layer("Reshape", x, part="row", shape=(1, *x.shape))  # one sample: all of it
    params = with_bias(scale, bias)
    found = call.layer("LayerNorm", row, part="normal", params=params, normalized_shape=last, eps=eps)
    return call.layer("Reshape", found, shape=x.shape)


def rms_norm(call: Call) -> Value:
    """Return each element over the root of the mean of squares of the last axes, times a scale."""
    x, axis = call.value(0), call.get("axis", -1) % len(call.shape)
    squares = applied(call, x, "x^2", "squares")
    over = tuple(range(axis, len(x.shape)))
    mean = call.layer("ReduceMean", squares, part="mean", axes=over, keepdims=True)
    inverse = applied(call, mean, "1/sqrt(x + eps)", "inverse", eps=call.get("epsilon", 1e-5))
    normal = call.layer("Multiply", x, inverse, part="normal")
    return scaled(call, normal, call.needed(1, "scale"), "*")


def lp_norm(call: Call) -> Value:
    """Return each element over the norm of its axis."""
    power, axis = call.get("p", 2), call.get("axis", -1) % len(call.shape)
    x = call.value(0)
    if power not in (1, 2):
        raise NotSupportedError(f"p = {power}")
    raised = applied(call, x, "abs(x)" if power == 1 else "x^2", "powers")
    total = call.layer("ReduceSum", raised, part="total", axes=(axis,), keepdims=True)
    root = "x" if power == 1 else "sqrt(x)"
    function = f"where(x > 0, 1/where(x > 0, {root}, 1), 0)"  # ONNX gives 0 for a vector of zeros
    return call.layer("Multiply", x, applied(call, total, function, "inverse"))


def mean_variance_norm(call: Call) -> Value:
    """Return each element without the mean of some axes, over the square root of their variance."""
    _, deviation, variance = _moments(call, tuple(call.get("axes", (0, 2, 3))))
    inverse = applied(call, variance, "1/(sqrt(x) + 1e-9)", "inverse")
    return call.layer("Multiply", deviation, inverse)


def response_norm(call: Call) -> Value:
    """Return local response normalisation."""
    if call.get("size") % 2 == 0:
        raise NotSupportedError("has an even size, whose neighbours are others in ONNX")
    return call.layer(
        "LocalResponseNorm",
        call.value(0),
        size=call.get("size"),
        alpha=call.get("alpha", 1e-4),
        beta=call.get("beta", 0.75),
        k=call.get("bias", 1.0),
    )
