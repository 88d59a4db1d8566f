"""ONNX's operators as layers: each function returns a layer's arguments, or refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.onnx.elementwise import activation, arithmetic, clip, gelu
from symconv.onnx.nodes import Call, Entry, NotSupportedError, Operator
from symconv.onnx.shaping import (
    concat,
    flatten,
    padded,
    reduction,
    reshape,
    resize,
    sliced,
    softmax,
    squeeze,
    transpose,
    unsqueeze,
)

Array = NDArray[Any]


def _same(call: Call) -> str:
    return call.inputs[0]


def _dropout(call: Call) -> str:
    training = call.constant(2, "training_mode")
    if training is not None and training.any():
        raise NotSupportedError("drops elements at random")
    return call.inputs[0]  # nothing gives a mask: a node that takes one is refused


def _sum(call: Call) -> Entry | str:
    if any(name in call.constants for name in call.inputs):
        raise NotSupportedError("one of its inputs is constant")
    return Entry("Add", {}, call.inputs) if len(call.inputs) > 1 else call.inputs[0]


def _window(call: Call) -> dict[str, object]:
    """Return the arguments of windows."""
    if call.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        named = {"SAME_UPPER": "same", "SAME_LOWER": "same_lower"}
        padding: object = named.get(call.get("auto_pad"))
        if padding is None:
            raise NotSupportedError(f"auto_pad = {call.get('auto_pad')!r}")
    else:
        rank = len(call.shape) - 2
        pads = call.get("pads", [0] * 2 * rank)
        padding = tuple((pads[at], pads[at + rank]) for at in range(rank))
    rank = len(call.shape) - 2
    return {
        "stride": tuple(call.get("strides", [1] * rank)),
        "padding": padding,
        "dilation": tuple(call.get("dilations", [1] * rank)),
    }


def _conv(call: Call) -> Entry:
    weight, bias = call.needed(1, "the filter"), call.constant(2, "the bias")
    arguments = {
        "out_channels": weight.shape[0],
        "kernel_size": tuple(weight.shape[2:]),
        "groups": call.get("group", 1),
        "bias": bias is not None,
        **_window(call),
    }
    return Entry("Conv", arguments, call.inputs[:1], _with_bias(weight, bias))


def _conv_transpose(call: Call) -> Entry:
    weight, bias = call.needed(1, "the filter"), call.constant(2, "the bias")
    if call.get("output_shape") is not None or call.get("auto_pad", "NOTSET") != "NOTSET":
        raise NotSupportedError("has an output_shape or auto_pad")
    groups = call.get("group", 1)
    arguments = {
        "out_channels": weight.shape[1] * groups,
        "kernel_size": tuple(weight.shape[2:]),
        "output_padding": tuple(call.get("output_padding", [0] * (len(call.shape) - 2))),
        "groups": groups,
        "bias": bias is not None,
        **_window(call),
    }
    return Entry("ConvTranspose", arguments, call.inputs[:1], _with_bias(weight, bias))


def _with_bias(weight: Array, bias: Array | None) -> dict[str, Array]:
    return {"weight": weight} | ({} if bias is None else {"bias": bias})


def _max_pool(call: Call) -> Entry:
    if call.outputs > 1:
        raise NotSupportedError("returns indices")
    if call.get("storage_order", 0):
        raise NotSupportedError("storage_order = 1")
    return _pool(call, "MaxPool", {})


def _average_pool(call: Call) -> Entry:
    return _pool(call, "AvgPool", {"count_include_pad": bool(call.get("count_include_pad", 0))})


def _pool(call: Call, kind: str, more: dict[str, object]) -> Entry:
    if call.get("ceil_mode", 0) and any(call.get("pads", [])):
        raise NotSupportedError("ceil_mode with pads, whose last windows versions count differently")
    arguments = {
        "kernel_size": tuple(call.get("kernel_shape")),
        "ceil_mode": bool(call.get("ceil_mode", 0)),
        **_window(call),
        **more,
    }
    return Entry(kind, arguments, call.inputs[:1])


def _plain(kind: str) -> Operator:
    return lambda call: Entry(kind, {}, call.inputs[:1])


def _batch_norm(call: Call) -> Entry:
    if call.outputs > 1 or call.get("training_mode", 0) or call.get("spatial", 1) != 1:
        raise NotSupportedError("is in training, or not spatial")
    names = ("weight", "bias", "running_mean", "running_var")
    params = {name: call.needed(at, name) for at, name in enumerate(names, 1)}
    arguments: dict[str, object] = {
        "eps": call.get("epsilon", 1e-5),
        "momentum": 1 - call.get("momentum", 0.9),
        "training": call.training,
    }
    return Entry("BatchNorm", arguments, call.inputs[:1], params)


def _lrn(call: Call) -> Entry:
    arguments = {
        "size": call.get("size"),
        "alpha": call.get("alpha", 1e-4),
        "beta": call.get("beta", 0.75),
        "k": call.get("bias", 1.0),
    }
    return Entry("LocalResponseNorm", arguments, call.inputs[:1])


def _gemm(call: Call) -> Entry:
    weight, bias = call.needed(1, "B"), call.constant(2, "C")
    if call.get("transA", 0) or len(call.shape) != 2:
        raise NotSupportedError("transA = 1, or A does not have two axes")
    weight = (weight if call.get("transB", 0) else weight.T) * weight.dtype.type(call.get("alpha", 1.0))
    if bias is not None:
        bias = np.broadcast_to(bias, (1, len(weight)))[0] * bias.dtype.type(call.get("beta", 1.0))
    return _linear(call.inputs[0], weight, bias)


def _linear(source: str, weight: Array, bias: Array | None) -> Entry:
    arguments = {"out_features": len(weight), "bias": bias is not None}
    return Entry("Linear", arguments, (source,), _with_bias(weight, bias))


def _matmul(call: Call) -> Entry:
    first, second = call.inputs
    if first in call.constants:
        raise NotSupportedError("the first matrix is constant")
    if second not in call.constants:
        return Entry("MatMul", {}, (first, second))
    weight = call.constants[second]
    if weight.ndim != 2 or len(call.shape) < 2:
        raise NotSupportedError(f"multiplies {call.shape} with constants of {weight.shape}")
    return _linear(first, weight.T, None)


OPERATORS: Mapping[str, Operator] = {
    "Identity": _same,
    "Dropout": _dropout,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _plain("GlobalAvgPool"),
    "GlobalMaxPool": _plain("GlobalMaxPool"),
    "BatchNormalization": _batch_norm,
    "LRN": _lrn,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Flatten": flatten,
    "Reshape": reshape,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Transpose": transpose,
    "Resize": resize,
    "Upsample": resize,
    "Slice": sliced,
    "Pad": padded,
    "Concat": concat,
    "Softmax": softmax,
    "ReduceMean": reduction("ReduceMean"),
    "ReduceSum": reduction("ReduceSum"),
    "ReduceMax": reduction("ReduceMax"),
    "Relu": activation("relu"),
    "Sigmoid": activation("sigmoid"),
    "Tanh": activation("tanh"),
    "Softplus": activation("softplus"),
    "Softsign": activation("softsign"),
    "Exp": activation("exp(x)"),
    "Erf": activation("erf(x)"),
    "Sqrt": activation("sqrt(x)"),
    "Neg": activation("-x"),
    "Abs": activation("abs(x)"),
    "LeakyRelu": activation("where(x > 0, x, alpha*x)", alpha=0.01),
    "Elu": activation("where(x > 0, x, alpha*expm1(min(x, 0)))", alpha=1.0),
    "HardSigmoid": activation("max(0, min(1, alpha*x + beta))", alpha=0.2, beta=0.5),
    "HardSwish": activation("x*max(0, min(1, x/6 + 1/2))"),
    "Clip": clip,
    "Gelu": gelu,
    "Sum": _sum,
    "Add": arithmetic("+", "Add"),
    "Sub": arithmetic("-"),
    "Mul": arithmetic("*", "Multiply"),
    "Div": arithmetic("/"),
}
