"""ONNX's operators as layers: each function returns a layer's arguments, or refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from symconv.errors import SymconvError

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]
LETTERS = "nabcdefg"  # of a value's axes in a formula


class NotSupportedError(SymconvError):
    """What cannot be a layer, and why."""


@dataclass(frozen=True)
class Call:
    """A node: its inputs, what is constant of them, and its attributes."""

    inputs: tuple[str, ...]
    outputs: int
    attributes: Mapping[str, Any]
    opset: int
    training: bool
    constants: Mapping[str, Array]
    shapes: Mapping[str, tuple[int, ...]]

    @staticmethod
    def of(
        node: onnx.NodeProto,
        opset: int,
        training: bool,
        constants: Mapping[str, Array],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> Call:
        """Return a node's call."""
        from onnx.helper import get_attribute_value

        attributes = {a.name: get_attribute_value(a) for a in node.attribute}
        named = {
            k: v.decode("utf-8", "replace") if isinstance(v, bytes) else v for k, v in attributes.items()
        }
        inputs = tuple(node.input)
        return Call(inputs, sum(map(bool, node.output)), named, opset, training, constants, shapes)

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute."""
        return self.attributes.get(name, default)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the first input."""
        return self.shapes[self.inputs[0]]

    def constant(self, at: int, what: str) -> Array | None:
        """Return an input that must be constant; None if it is left out."""
        if at >= len(self.inputs) or not self.inputs[at]:
            return None
        if self.inputs[at] not in self.constants:
            raise NotSupportedError(f"{what} must be constant")
        return self.constants[self.inputs[at]]

    def needed(self, at: int, what: str) -> Array:
        """Return an input that must be there, and constant."""
        found = self.constant(at, what)
        if found is None:
            raise NotSupportedError(f"{what} is missing")
        return found


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


@dataclass(frozen=True)
class Entry:
    """A layer: its kind, its arguments, the values that it takes, and its parameters."""

    kind: str
    arguments: Mapping[str, object]
    sources: tuple[str, ...]
    params: dict[str, Array] = field(default_factory=dict)


Operator: TypeAlias = Callable[[Call], Entry | str]


def _same(call: Call) -> str:
    return call.inputs[0]


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
        raise NotSupportedError("transA = 1, or A is no matrix")
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


def _flatten(call: Call) -> Entry:
    axis = call.get("axis", 1) % (len(call.shape) + 1)
    shape = (prod(call.shape[:axis]), prod(call.shape[axis:]))
    return Entry("Flatten", {}, call.inputs[:1]) if axis == 1 else _reshaped(call, shape)


def _reshape(call: Call) -> Entry:
    sizes = [int(size) for size in call.needed(1, "the shape")]
    if not call.get("allowzero", 0):
        sizes = [call.shape[at] if size == 0 else size for at, size in enumerate(sizes)]
    if -1 in sizes:
        known = -prod(sizes)
        if known < 1 or prod(call.shape) % known:
            raise NotSupportedError(f"shape {tuple(sizes)} of {call.shape}")
        sizes[sizes.index(-1)] = prod(call.shape) // known
    return _reshaped(call, tuple(sizes))


def _reshaped(call: Call, shape: tuple[int, ...]) -> Entry:
    if not shape or shape[0] != call.shape[0]:
        raise NotSupportedError(f"gives shape {shape}, not of the same number of samples")
    return Entry("Reshape", {"shape": shape}, call.inputs[:1])


def _axes(call: Call, at: int = 1) -> tuple[int, ...] | None:
    """Return axes, which are an attribute before opset 13 (18 for most reductions)."""
    axes = call.get("axes")
    if axes is None:
        constant = call.constant(at, "axes")
        axes = None if constant is None else constant.ravel().tolist()
    return None if axes is None else tuple(int(axis) for axis in axes)


def _squeeze(call: Call) -> Entry:
    rank = len(call.shape)
    axes = _axes(call) or tuple(a for a, size in enumerate(call.shape) if size == 1)
    left = {axis % rank for axis in axes}
    return _reshaped(call, tuple(size for at, size in enumerate(call.shape) if at not in left))


def _unsqueeze(call: Call) -> Entry:
    axes = _axes(call) or ()
    rank = len(call.shape) + len(axes)
    new = {axis % rank for axis in axes}
    sizes = iter(call.shape)
    return _reshaped(call, tuple(1 if at in new else next(sizes) for at in range(rank)))


def _transpose(call: Call) -> Entry:
    axes = tuple(call.get("perm", range(len(call.shape))[::-1]))
    return Entry("Transpose", {"axes": axes}, call.inputs[:1])


def _concat(call: Call) -> Entry:
    if any(name in call.constants for name in call.inputs):
        raise NotSupportedError("one of its inputs is constant")
    return Entry("Concat", {"axis": call.get("axis")}, call.inputs)


def _softmax(call: Call) -> Entry:
    axis = call.get("axis", -1 if call.opset >= 13 else 1)
    rank = len(call.shape)
    if call.opset < 13 and prod(call.shape[axis % rank + 1 :]) != 1:
        raise NotSupportedError(f"along all axes from {axis} on, as before opset 13")
    return Entry("Softmax", {"axis": axis}, call.inputs[:1])


def _reduction(kind: str) -> Operator:
    def reduced(call: Call) -> Entry:
        axes = _axes(call)
        if axes is None:
            raise NotSupportedError("reduces all axes")
        return Entry(kind, {"axes": axes, "keepdims": bool(call.get("keepdims", 1))}, call.inputs[:1])

    return reduced


def _resize(call: Call) -> Entry:
    """Return a layer that repeats elements: the only way of resizing that is known."""
    rank = len(call.shape)
    mode = call.get("mode", "nearest"), call.get("coordinate_transformation_mode", "half_pixel")
    rounding = call.get("nearest_mode", "round_prefer_floor")
    known = call.opset < 11 or (mode[1], rounding) in (
        ("asymmetric", "floor"),
        ("half_pixel", "round_prefer_floor"),
    )
    if mode[0] != "nearest" or not known:
        raise NotSupportedError(f"mode {', '.join((*mode, rounding))}")
    scales = call.get("scales")
    if scales is None:
        scales = call.constant(1 if call.opset < 11 else 2, "scales")
    sizes = call.constant(3, "sizes")
    if scales is None or not len(scales):
        if sizes is None:
            raise NotSupportedError("has neither scales nor sizes")
        scales = [int(size) / own for size, own in zip(sizes, call.shape, strict=True)]
    factors = [float(scale) for scale in scales]
    if factors[:2] != [1, 1] or len(factors) != rank or any(f != int(f) or f < 1 for f in factors):
        raise NotSupportedError(f"scales {tuple(factors)}")
    return Entry("Upsample", {"scale_factor": tuple(map(int, factors[2:]))}, call.inputs[:1])


def _slice(call: Call) -> Entry:
    rank = len(call.shape)
    given = [call.get(name) for name in ("starts", "ends", "axes", "steps")]
    if call.opset >= 10:
        found = [call.constant(at, "a limit") for at in range(1, 5)]
        given = [None if f is None else [int(n) for n in f] for f in found]
    starts, ends, axes, steps = given
    if starts is None or ends is None:
        raise NotSupportedError("starts or ends are missing")
    axes = [axis % rank for axis in (axes or range(len(starts)))]
    limits = [
        slice(*three).indices(call.shape[axis])
        for axis, three in zip(
            axes, zip(starts, ends, steps or [1] * len(starts), strict=True), strict=True
        )
    ]
    if 0 in axes or any(step < 1 or stop <= start for start, stop, step in limits):
        raise NotSupportedError("slices samples, backwards, or nothing")
    columns = [tuple(column) for column in zip(*limits, strict=True)]
    arguments = {"starts": columns[0], "ends": columns[1], "steps": columns[2], "axes": tuple(axes)}
    return Entry("Slice", arguments, call.inputs[:1])


def _pad(call: Call) -> Entry:
    rank = len(call.shape)
    pads, value = call.get("pads"), call.get("value", 0.0)
    if call.opset >= 11:
        pads = [int(n) for n in call.needed(1, "pads")]
        constant = call.constant(2, "the value")
        value = 0.0 if constant is None else float(constant.item())
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}.get(
        call.get("mode", "constant")
    )
    pairs = [(pads[at], pads[at + rank]) for at in range(rank)]
    if mode is None or len(call.inputs) > 3 or any(pairs[0]):
        raise NotSupportedError("pads samples, or some axes, or in another mode")
    arguments = {"padding": tuple(pairs), "mode": mode, "value": value}
    return Entry("Pad", arguments, call.inputs[:1])


def _activation(function: str, **defaults: float) -> Operator:
    def activated(call: Call) -> Entry:
        constants = tuple((name, float(call.get(name, value))) for name, value in defaults.items())
        return Entry("Activation", {"function": function, "constants": constants}, call.inputs[:1])

    return activated


def _clip(call: Call) -> Entry:
    limits = [call.get(name) for name in ("min", "max")]
    if call.opset >= 11:
        limits = [call.constant(at, name) for at, name in ((1, "min"), (2, "max"))]
    low, high = (None if limit is None else float(np.asarray(limit).item()) for limit in limits)
    text = "x" if high is None else "min(x, high)"
    text = text if low is None else f"max({text}, low)"
    named = {"low": low, "high": high}
    constants = tuple((name, value) for name, value in named.items() if value is not None)
    return Entry("Activation", {"function": text, "constants": constants}, call.inputs[:1])


def _gelu(call: Call) -> Entry:
    name = "gelu_tanh" if call.get("approximate", "none") == "tanh" else "gelu"
    return Entry("Activation", {"function": name}, call.inputs[:1])


def _arithmetic(sign: str, layer: str = "") -> Operator:
    """Return what combines two values, or a value with a constant."""

    def combined(call: Call) -> Entry:
        first, second = call.inputs
        constant = next((name for name in (first, second) if name in call.constants), None)
        if constant is None:
            if not layer:
                raise NotSupportedError("combines two values")
            return Entry(layer, {}, (first, second))
        value = second if constant == first else first
        numbers = call.constants[constant]
        if numbers.size == 1:
            text = f"c {sign} x" if constant == first else f"x {sign} c"
            named = {"function": text, "constants": (("c", float(numbers.item())),)}
            return Entry("Activation", named, (value,))
        if sign in "-/" and constant == first:
            raise NotSupportedError("takes a value from constants, or divides these by it")
        numbers = {"-": np.negative, "/": np.reciprocal}.get(sign, np.asarray)(numbers)
        return _broadcast(value, call.shapes[value], numbers, "+" if sign in "+-" else "*")

    return combined


def _broadcast(value: str, shape: Sequence[int], numbers: Array, sign: str) -> Entry:
    """Return a value plus, or times, constants along some of its axes: these are parameters."""
    sizes = (1,) * (len(shape) - numbers.ndim) + numbers.shape
    if len(sizes) != len(shape) or any(n not in (1, size) for n, size in zip(sizes, shape, strict=True)):
        raise NotSupportedError(f"combines {tuple(shape)} with {numbers.shape}")
    letters = LETTERS[: len(shape)]
    own = [letter for letter, n in zip(letters, sizes, strict=True) if n > 1]
    if letters[0] in own:
        raise NotSupportedError("has constants for each sample")
    axes = ",".join(letters)
    name = "shift" if sign == "+" else "scale"
    formula = f"O[{axes}] = X[{axes}] {sign} {name}[{','.join(own)}]"
    kept = tuple(n for n in sizes if n > 1)
    arguments: dict[str, object] = {"formula": formula, "shapes": {"X": tuple(shape), name: kept}}
    return Entry("Contraction", arguments, (value,), {name: numbers.reshape(kept)})


OPERATORS: Mapping[str, Operator] = {
    "Identity": _same,
    "Dropout": _same,  # of inference; nothing gives a mask
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
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Resize": _resize,
    "Upsample": _resize,
    "Slice": _slice,
    "Pad": _pad,
    "Concat": _concat,
    "Softmax": _softmax,
    "ReduceMean": _reduction("ReduceMean"),
    "ReduceSum": _reduction("ReduceSum"),
    "ReduceMax": _reduction("ReduceMax"),
    "Relu": _activation("relu"),
    "Sigmoid": _activation("sigmoid"),
    "Tanh": _activation("tanh"),
    "Softplus": _activation("softplus"),
    "Softsign": _activation("softsign"),
    "Exp": _activation("exp(x)"),
    "Erf": _activation("erf(x)"),
    "Sqrt": _activation("sqrt(x)"),
    "Neg": _activation("-x"),
    "Abs": _activation("abs(x)"),
    "LeakyRelu": _activation("where(x > 0, x, alpha*x)", alpha=0.01),
    "Elu": _activation("where(x > 0, x, alpha*expm1(min(x, 0)))", alpha=1.0),
    "HardSigmoid": _activation("max(0, min(1, alpha*x + beta))", alpha=0.2, beta=0.5),
    "HardSwish": _activation("x*max(0, min(1, x/6 + 1/2))"),
    "Clip": _clip,
    "Gelu": _gelu,
    "Sum": _sum,
    "Add": _arithmetic("+", "Add"),
    "Sub": _arithmetic("-"),
    "Mul": _arithmetic("*", "Multiply"),
    "Div": _arithmetic("/"),
}
