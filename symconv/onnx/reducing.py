"""ONNX's reductions, and what is made of them."""

from __future__ import annotations

from symconv.building import NotSupportedError, Value
from symconv.onnx.arithmetic import applied
from symconv.onnx.nodes import Call, Operator


def axes_of(call: Call, at: int = 1) -> tuple[int, ...] | None:
    """Return axes, which are an attribute before opset 13 (18 for most reductions)."""
    axes = call.get("axes")
    if axes is None:
        constant = call.constant(at, "axes")
        axes = None if constant is None else constant.ravel().tolist()
    return None if axes is None else tuple(int(axis) for axis in axes)


def _over(call: Call) -> tuple[int, ...]:
    """Return the axes that are reduced: all of them where none is named, but not with a flag."""
    axes = axes_of(call)
    if not axes and call.get("noop_with_empty_axes", 0):
        return ()
    return axes or tuple(range(len(call.shape)))


def reduction(kind: str, before: str = "", after: str = "") -> Operator:
    """Return a reduction of a function of each element, and a function of the result."""

    def reduced(call: Call) -> Value:
        x, axes = call.value(0), _over(call)
        if before:
            x = applied(call, x, before, "each")
        keep = bool(call.get("keepdims", 1))
        if not axes:
            if not before:
                return call.layer("Reshape", x, shape=x.shape)
            found = x
        elif not keep and len({axis % len(x.shape) for axis in axes}) == len(x.shape):
            raise NotSupportedError("gives a single number without axes")
        else:
            part = "total" if after else ""
            found = call.layer(kind, x, part=part, axes=axes, keepdims=keep)
        return applied(call, found, after) if after else found

    return reduced


def log_sum_exp(call: Call) -> Value:
    """Return the logarithm of a sum of exponentials, from which their maximum is taken out."""
    axes, keep = _over(call), bool(call.get("keepdims", 1))
    x = call.value(0)
    largest, _, total = exponentials(call, x, axes)
    logarithm = applied(call, total, "log(x)", "logarithm")
    if keep:
        return call.layer("Add", logarithm, largest)
    kept = call.layer("Add", logarithm, largest, part="kept")
    left = {axis % len(x.shape) for axis in axes}
    shape = tuple(size for at, size in enumerate(x.shape) if at not in left)
    return call.layer("Reshape", kept, shape=shape)


def log_softmax(call: Call) -> Value:
    """Return the logarithm of softmax along an axis."""
    axis = call.get("axis", -1 if call.opset >= 13 else 1)
    x, rows = one_axis(call, axis)
    _, shifted, total = exponentials(call, x, (rows,))
    logarithm = applied(call, total, "-log(x)", "logarithm")
    if x.shape == call.shape:
        return call.layer("Add", shifted, logarithm)
    found = call.layer("Add", shifted, logarithm, part="rows")
    return call.layer("Reshape", found, shape=call.shape)


def exponentials(call: Call, x: Value, axes: tuple[int, ...]) -> tuple[Value, Value, Value]:
    """Return the maximum along axes, the value less it, and the sum of exponentials of that."""
    largest = call.layer("ReduceMax", x, part="largest", axes=axes, keepdims=True)
    shifted = call.layer("Add", x, applied(call, largest, "-x", "less"), part="shifted")
    powers = applied(call, shifted, "exp(x)", "powers")
    return largest, shifted, call.layer("ReduceSum", powers, part="total", axes=axes, keepdims=True)


def one_axis(call: Call, axis: int) -> tuple[Value, int]:
    """Return a value whose classes are one axis: before opset 13 all axes from one on were classes."""
    x = call.value(0)
    axis %= len(x.shape)
    rest = x.shape[axis:]
    if call.opset >= 13 or all(size == 1 for size in rest[1:]):
        return x, axis
    size = 1
    for length in rest:
        size *= length
    return call.layer("Reshape", x, part="flat", shape=(*x.shape[:axis], size)), axis


def softmax(call: Call) -> Value:
    """Return softmax along an axis."""
    x = call.value(0)
    flat, axis = one_axis(call, call.get("axis", -1 if call.opset >= 13 else 1))
    if flat == x:
        return call.layer("Softmax", x, axis=axis)
    found = call.layer("Softmax", flat, part="rows", axis=axis)
    return call.layer("Reshape", found, shape=x.shape)
