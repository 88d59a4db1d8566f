"""Nodes whose inputs are all constant, computed while a file is read."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from symconv.building import Array, NotSupportedError
from symconv.onnx.nodes import attributes_of

if TYPE_CHECKING:
    import onnx

FOLDED = 1 << 27  # elements that may come of constants
ALONG_ALL = ("Softmax", "LogSoftmax", "Hardmax")
GRAPHS = (5, 10)  # the numbers of attributes that are graphs


def folded(node: onnx.NodeProto, given: Mapping[str, Array], opset: int) -> list[Array]:
    """Return what a node of constants computes, by ONNX's own evaluator.

    Raises
    ------
    NotSupportedError
        If it has a graph of its own, asks for too much memory, or cannot be computed.
    """
    from onnx.reference import ReferenceEvaluator

    if any(a.type in GRAPHS for a in node.attribute):
        raise NotSupportedError("has a graph of its own")
    if node.op_type.startswith(("Random", "Bernoulli", "Multinomial")):
        raise NotSupportedError("is random")
    if node.op_type in ALONG_ALL and opset < 13:  # the evaluator has the newest version only
        raise NotSupportedError("of constants is not supported before opset 13")
    inputs = [given[name] for name in node.input if name]
    axes = attributes_of(node).get("axes")
    if node.op_type == "Unsqueeze" and axes is not None:  # whose old version the evaluator has not
        return [np.expand_dims(inputs[0], tuple(axes))]
    if _elements(node, inputs) > FOLDED:
        raise NotSupportedError("its constants are too large")
    try:
        evaluator = ReferenceEvaluator(node, opsets={"": opset})
        found = evaluator.run(None, {name: given[name] for name in node.input if name})
    except Exception as error:  # whatever the evaluator raises for wrong constants
        raise NotSupportedError(f"cannot be computed: {type(error).__name__}") from error
    if any(np.size(array) > FOLDED for array in found):
        raise NotSupportedError("its constants are too large")
    return [np.asarray(array) for array in found]


def _elements(node: onnx.NodeProto, inputs: list[Array]) -> float:
    """Return how many elements the operators give whose few inputs may ask for very many."""
    match node.op_type:
        case "ConstantOfShape":
            return prod(max(int(size), 0) for size in inputs[0].ravel())
        case "Expand":
            return prod(map(int, np.broadcast_shapes(inputs[0].shape, tuple(inputs[1].tolist()))))
        case "Tile":
            return inputs[0].size * prod(max(int(n), 0) for n in inputs[1].ravel())
        case "Range":
            start, limit, step = (float(array.item()) for array in inputs)
            return abs(limit - start) / max(abs(step), 1e-30)
        case "OneHot":
            return inputs[0].size * float(inputs[1].item())
        case "Pad" | "Resize" | "Upsample" | "EyeLike" | "Einsum":
            return float("inf")  # rarely applied to constants, and costly to predict
        case "MatMul" | "Gemm" if inputs[0].ndim and inputs[1].ndim:
            inner = inputs[0].shape[-1] * inputs[1].shape[0]
            return float(inputs[0].size * inputs[1].size / max(inner, 1))
    try:
        return float(prod(np.broadcast_shapes(*(array.shape for array in inputs))))
    except ValueError:  # not an operator that broadcasts
        return 0.0


def constant_of(node: onnx.NodeProto) -> Array | None:
    """Return the numbers that a Constant has as an attribute other than a tensor."""
    found = attributes_of(node)
    for name in ("value_float", "value_floats", "value_int", "value_ints"):
        if name in found:
            kind = np.float32 if "float" in name else np.int64
            return np.asarray(found[name], kind)
    return None
