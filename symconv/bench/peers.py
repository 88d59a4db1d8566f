"""What a user would otherwise run: the same convolution in other libraries, on one thread each."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from symconv.layers.conv import Conv

Array: TypeAlias = NDArray[np.float32]
Call: TypeAlias = Callable[[], Any]

PLANES = 200  # pairs of planes that are correlated one by one, at the most


@dataclass(frozen=True)
class Data:
    """A layer's arrays: the input, the filter and the gradient by the output."""

    x: Array
    weight: Array
    grad: Array


@dataclass(frozen=True)
class Peer:
    """A library's calls for one layer, on its data: they return O, and (∂E/∂X, ∂E/∂F).

    None: the library has no such call for this layer.
    """

    forward: Call | None
    backward: Call | None


def draw(layer: Conv) -> Data:
    """Return random numbers for a layer."""
    rng = np.random.default_rng(0)
    x, weight, grad = (
        rng.standard_normal(shape, dtype=np.float32)
        for shape in (layer.input_shape, layer.parameters["weight"], layer.output_shape)
    )
    return Data(x, weight / np.float32(prod(weight.shape[1:]) ** 0.5), grad)


def absent() -> list[str]:
    """Return the peers that are not installed."""
    return [name for name, (package, _) in PEERS.items() if find_spec(package) is None]


def versions() -> dict[str, str]:
    """Return the versions of the installed peers' packages; of im2col, NumPy's."""
    return {package: version(package) for package, _ in PEERS.values() if find_spec(package)}


def peers(layer: Conv, data: Data, names: Collection[str]) -> Iterator[tuple[str, Peer]]:
    """Return the installed peers that have a call for a layer: zeros padding, no bias, no flip."""
    if layer.bias or layer.flip or layer.padding_mode != "zeros":
        return
    for name, (package, make) in PEERS.items():
        if name in names and find_spec(package) is not None:
            peer = make(layer, data)
            if peer is not None:
                yield name, peer


def _geometry(layer: Conv) -> tuple[tuple[int, ...], tuple[int, ...], list[tuple[int, int]]]:
    """Return strides, dilations and padding, one per axis."""
    windows = layer.windows
    return (
        tuple(w.stride for w in windows),
        tuple(w.dilation for w in windows),
        [(w.lo, w.hi) for w in windows],
    )


def _pytorch(layer: Conv, data: Data) -> Peer | None:
    torch: Any = import_module("torch")
    torch.set_num_threads(1)
    stride, dilation, pads = _geometry(layer)
    if any(lo != hi or lo < 0 for lo, hi in pads):
        return None
    padding = [lo for lo, _ in pads]
    x, w, g = (torch.from_numpy(a) for a in (data.x, data.weight, data.grad))
    forward = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}[len(pads)]
    zeros = [0] * len(pads)

    def call() -> Any:
        with torch.inference_mode():
            return forward(x, w, None, stride, padding, dilation, layer.groups)

    def back() -> Any:
        with torch.inference_mode():
            return torch.ops.aten.convolution_backward(
                g, x, w, None, stride, padding, dilation, False, zeros, layer.groups, [True, True, False]
            )[:2]

    return Peer(call, back)


def _onnxruntime(layer: Conv, data: Data) -> Peer | None:
    if find_spec("onnx") is None:
        return None
    onnxruntime: Any = import_module("onnxruntime")
    helper: Any = import_module("onnx.helper")
    single = import_module("onnx").TensorProto.FLOAT
    stride, dilation, pads = _geometry(layer)
    if any(pad < 0 for pair in pads for pad in pair):
        return None
    node = helper.make_node(
        "Conv",
        ["x", "w"],
        ["y"],
        strides=stride,
        dilations=dilation,
        group=layer.groups,
        pads=[lo for lo, _ in pads] + [hi for _, hi in pads],
    )
    weight = helper.make_tensor("w", single, data.weight.shape, data.weight.ravel())
    sides = [
        helper.make_tensor_value_info(name, single, shape)
        for name, shape in (("x", layer.input_shape), ("y", layer.output_shape))
    ]
    graph = helper.make_graph([node], "conv", sides[:1], sides[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return Peer(lambda: session.run(None, {"x": data.x})[0], None)


def _jax(layer: Conv, data: Data) -> Peer | None:
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault(
        "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    )
    jax: Any = import_module("jax")
    stride, dilation, pads = _geometry(layer)

    def conv(x: Any, w: Any) -> Any:
        return jax.lax.conv_general_dilated(
            x, w, stride, pads, rhs_dilation=dilation, feature_group_count=layer.groups
        )

    forward = jax.jit(conv)
    backward = jax.jit(lambda x, w, g: jax.vjp(conv, x, w)[1](g))
    x, w, g = (jax.device_put(a) for a in (data.x, data.weight, data.grad))
    return Peer(
        lambda: forward(x, w).block_until_ready(),
        lambda: jax.block_until_ready(backward(x, w, g)),
    )


def _scipy(layer: Conv, data: Data) -> Peer | None:
    """Correlate plane by plane: scipy.signal has no channels."""
    signal: Any = import_module("scipy.signal")
    stride, dilation, pads = _geometry(layer)
    n, channels = layer.input_shape[:2]
    each = layer.out_channels // layer.groups
    inside = channels // layer.groups
    plain = set(stride) == {1} and set(dilation) == {1} and all(lo == hi >= 0 for lo, hi in pads)
    if not plain or n * layer.out_channels * inside > n * PLANES:
        return None
    around = [(0, 0), (0, 0), *pads]
    cut = (..., *(slice(lo, -hi or None) for lo, hi in pads))

    def forward() -> Any:
        x = np.pad(data.x, around)
        y = np.zeros(layer.output_shape, np.float32)
        for image, o, c in itertools.product(range(n), range(layer.out_channels), range(inside)):
            at = o // each * inside + c
            y[image, o] += signal.correlate(x[image, at], data.weight[o, c], "valid")
        return y

    def backward() -> Any:
        x = np.pad(data.x, around)
        gx, gw = np.zeros(x.shape, np.float32), np.zeros(data.weight.shape, np.float32)
        for image, o, c in itertools.product(range(n), range(layer.out_channels), range(inside)):
            at = o // each * inside + c
            gx[image, at] += signal.convolve(data.grad[image, o], data.weight[o, c], "full")
            gw[o, c] += signal.correlate(x[image, at], data.grad[image, o], "valid")
        return gx[cut], gw

    return Peer(forward, backward)


def _autograd(layer: Conv, data: Data) -> Peer | None:
    """Use the convolution of HIPS autograd, which has stride 1 and flips its filter."""
    anp: Any = import_module("autograd.numpy")
    convolve = import_module("autograd.scipy.signal").convolve
    make_vjp = import_module("autograd").make_vjp
    stride, dilation, pads = _geometry(layer)
    plain = set(stride) == {1} and set(dilation) == {1} and layer.groups == 1 and len(pads) <= 2
    if not plain or min(min(pad) for pad in pads) < 0:
        return None
    axes = list(range(2, 2 + len(pads)))
    around = [(0, 0), (0, 0), *pads]
    flipped = (..., *[slice(None, None, -1)] * len(pads))

    def conv(pair: Any) -> Any:
        x, w = pair
        padded = anp.pad(x, around, "constant")
        return convolve(padded, w[flipped], (axes, axes), ([1], [1]), mode="valid")

    def backward() -> Any:
        vjp, _ = make_vjp(conv)((data.x, data.weight))
        return vjp(data.grad)

    return Peer(lambda: conv((data.x, data.weight)), backward)


def _im2col(layer: Conv, data: Data) -> Peer | None:
    """Copy every window, in fresh arrays, then one product: what tutorials write in NumPy."""
    stride, dilation, pads = _geometry(layer)
    if min(min(pair) for pair in pads) < 0:
        return None
    rank, groups = len(pads), layer.groups
    kernel, out = data.weight.shape[2:], layer.output_shape[2:]
    n, channels = layer.input_shape[:2]
    around = [(0, 0), (0, 0), *pads]
    inside: Any = (..., *(slice(w.lo, w.lo + w.size) for w in layer.windows))
    rows = data.weight.reshape(groups, layer.out_channels // groups, -1)
    axes, reach = tuple(range(2, 2 + rank)), tuple(w.reach + 1 for w in layer.windows)
    steps: Any = (..., *(slice(None, None, step) for step in (*stride, *dilation)))
    order = (0, 1, *range(2 + rank, 2 + 2 * rank), *axes)

    def columns() -> Any:
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(data.x, around), reach, axes)
        return windows[steps].transpose(order).reshape(n, groups, -1, prod(out))

    def forward() -> Any:
        return np.matmul(rows, columns()).reshape(layer.output_shape)

    def backward() -> Any:
        g = data.grad.reshape(n, groups, layer.out_channels // groups, -1)
        gw = np.matmul(g, columns().swapaxes(-1, -2)).sum(axis=0).reshape(data.weight.shape)
        terms = np.matmul(rows.swapaxes(-1, -2), g).reshape(n, channels, *kernel, *out)
        gx = np.zeros((n, channels, *(w.size + w.lo + w.hi for w in layer.windows)), np.float32)
        for tap in itertools.product(*map(range, kernel)):
            taps = zip(dilation, tap, stride, out, strict=True)
            place: Any = (slice(d * k, d * k + s * (p - 1) + 1, s) for d, k, s, p in taps)
            gx[(..., *place)] += terms[(slice(None), slice(None), *tap)]
        return gx[inside], gw

    return Peer(forward, backward)


PEERS: dict[str, tuple[str, Callable[[Conv, Data], Peer | None]]] = {
    "PyTorch": ("torch", _pytorch),
    "ONNX Runtime": ("onnxruntime", _onnxruntime),
    "JAX": ("jax", _jax),
    "SciPy": ("scipy", _scipy),
    "autograd": ("autograd", _autograd),
    "im2col": ("numpy", _im2col),
}
