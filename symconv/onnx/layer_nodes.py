"""Layers as the operators that ONNX has for them; others are written step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from symconv.layers.entries import Node
from symconv.layers.network import Network
from symconv.notation.graph import Graph
from symconv.onnx.graph_nodes import Nodes, write_graph

Writer = Callable[["_Layer", Nodes], str]


UPSTREAM = "upstream"  # what an upstream gradient is known as


class _Layer:
    """A layer, and what its inputs are called in the file."""

    def __init__(self, node: Node, known: Mapping[str, str]) -> None:
        self.layer: Any = node.layer
        own = {name: node.own(name) for name in node.layer.inputs}
        self.names = {name: known.get(value, value) for name, value in own.items()}

    def __getitem__(self, name: str) -> str:
        return self.names[name]

    def params(self, *names: str) -> list[str]:
        """Return the names of the inputs that are there, in this order."""
        return [self.names[name] for name in names if name in self.names]


def write_layers(network: Network, nodes: Nodes) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Add a network's layers without its loss; return what each output is called, and its shape."""
    known: dict[str, str] = {}
    for node in network.body:
        writer = WRITERS.get(type(node.layer).__name__)
        found = writer(_Layer(node, known), nodes) if writer else ""
        known[node.name] = found or write_step_by_step(node.layer.forward, node, known, nodes)[0]
    return {name: (known[name], shape) for name, shape in network.returned.items()}


def write_step_by_step(graph: Graph, node: Node, known: Mapping[str, str], nodes: Nodes) -> list[str]:
    """Add a layer's graph; return what its results are called."""
    own = _Layer(node, known)
    names = {tensor.name: own[name] for name, tensor in node.layer.tensors.items()}
    if UPSTREAM in known:
        names[node.layer.cotangent.name] = known[UPSTREAM]
    written = write_graph(graph, nodes, names)
    return [written[tensor.name] for tensor in graph.outputs]


def _windows(layer: Any) -> dict[str, Any]:
    """Return the attributes of windows."""
    windows = layer.windows
    return {
        "kernel_shape": [w.kernel for w in windows],
        "strides": [w.stride for w in windows],
        "dilations": [w.dilation for w in windows],
        "pads": [*(w.lo for w in windows), *(w.hi for w in windows)],
    }


def _conv(own: _Layer, nodes: Nodes) -> str:
    layer = own.layer
    more = _windows(layer)
    if layer.flip or layer.padding_mode != "zeros" or min(more["pads"]) < 0:
        return ""
    return nodes.add("Conv", own["x"], *own.params("weight", "bias"), group=layer.groups, **more)


def _pool(operator: str) -> Writer:
    def pooled(own: _Layer, nodes: Nodes) -> str:
        layer, window = own.layer, _windows(own.layer)
        averages = operator == "AveragePool"
        dilated = averages and any(d > 1 for d in window["dilations"])
        if layer.ceil_mode or dilated or min(window["pads"]) < 0:
            return ""  # whose last windows versions count differently
        if averages:
            del window["dilations"]
            window["count_include_pad"] = int(layer.count_include_pad)
        return nodes.add(operator, own["x"], **window)

    return pooled


def _linear(own: _Layer, nodes: Nodes) -> str:
    if len(own.layer.input_shape) == 2:
        return nodes.add("Gemm", own["x"], *own.params("weight", "bias"), transB=1)
    turned = nodes.add("Transpose", own["weight"], perm=[1, 0])
    product = nodes.add("MatMul", own["x"], turned)
    return nodes.add("Add", product, own["bias"]) if "bias" in own.names else product


def _batch_norm(own: _Layer, nodes: Nodes) -> str:
    names = ("weight", "bias", "running_mean", "running_var")
    return nodes.add("BatchNormalization", own["x"], *own.params(*names), epsilon=own.layer.eps)


def _layer_norm(own: _Layer, nodes: Nodes) -> str:
    layer = own.layer
    if not layer.elementwise_affine:
        return ""
    axis = -len(layer.normalized_shape or layer.input_shape[1:])
    return nodes.add(
        "LayerNormalization", own["x"], *own.params("weight", "bias"), axis=axis, epsilon=layer.eps
    )


ACTIVATIONS = {name: name.capitalize() for name in ("relu", "sigmoid", "tanh", "softplus", "elu")}


def _activation(own: _Layer, nodes: Nodes) -> str:
    function = own.layer.function
    if function in ACTIVATIONS:
        return nodes.add(ACTIVATIONS[function], own["x"])
    if function == "silu":
        return nodes.add("Mul", own["x"], nodes.add("Sigmoid", own["x"]))
    if function == "relu6":
        return nodes.add("Clip", own["x"], nodes.constant(0.0), nodes.constant(6.0))
    return ""


def _reshape(own: _Layer, nodes: Nodes) -> str:
    return nodes.add("Reshape", own["x"], nodes.constant(own.layer.output_shape, "int64"))


def _several(operator: str) -> Writer:
    """Return the operator of two values, of more one after the other."""

    def combined(own: _Layer, nodes: Nodes) -> str:
        first, *rest = own.names.values()
        for each in rest:
            first = nodes.add(operator, first, each)
        return first

    return combined


def _concat(own: _Layer, nodes: Nodes) -> str:
    return nodes.add("Concat", *own.names.values(), axis=own.layer.axis)


def _softmax(own: _Layer, nodes: Nodes) -> str:
    return nodes.add("Softmax", own["x"], axis=own.layer.axis)


def _plain(operator: str) -> Writer:
    return lambda own, nodes: nodes.add(operator, own["x"])


def _transpose(own: _Layer, nodes: Nodes) -> str:
    return nodes.add("Transpose", own["x"], perm=own.layer.axes)


def _matmul(own: _Layer, nodes: Nodes) -> str:
    return nodes.add("MatMul", *own.names.values())


def _dropout(own: _Layer, nodes: Nodes) -> str:
    return nodes.add("Identity", own["x"])


WRITERS: Mapping[str, Writer] = {
    "Conv": _conv,
    "MaxPool": _pool("MaxPool"),
    "AvgPool": _pool("AveragePool"),
    "GlobalAvgPool": _plain("GlobalAveragePool"),
    "GlobalMaxPool": _plain("GlobalMaxPool"),
    "Linear": _linear,
    "BatchNorm": _batch_norm,
    "LayerNorm": _layer_norm,
    "Activation": _activation,
    "Flatten": _reshape,
    "Reshape": _reshape,
    "Add": _several("Add"),
    "Multiply": _several("Mul"),
    "Concat": _concat,
    "Softmax": _softmax,
    "Transpose": _transpose,
    "MatMul": _matmul,
    "Dropout": _dropout,
}
