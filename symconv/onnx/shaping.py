"""ONNX's operators that move elements, or reduce axes."""

from __future__ import annotations

from math import prod

from symconv.onnx.nodes import Call, Entry, NotSupportedError, Operator


def flatten(call: Call) -> Entry:
    """Return the axes in two groups."""
    axis = call.get("axis", 1) % (len(call.shape) + 1)
    shape = (prod(call.shape[:axis]), prod(call.shape[axis:]))
    return Entry("Flatten", {}, call.inputs[:1]) if axis == 1 else _reshaped(call, shape)


def reshape(call: Call) -> Entry:
    """Return another shape of the same number of samples."""
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


def squeeze(call: Call) -> Entry:
    """Return a value without axes of length 1."""
    rank = len(call.shape)
    axes = _axes(call) or tuple(a for a, size in enumerate(call.shape) if size == 1)
    left = {axis % rank for axis in axes}
    return _reshaped(call, tuple(size for at, size in enumerate(call.shape) if at not in left))


def unsqueeze(call: Call) -> Entry:
    """Return a value with new axes of length 1."""
    axes = _axes(call) or ()
    rank = len(call.shape) + len(axes)
    new = {axis % rank for axis in axes}
    sizes = iter(call.shape)
    return _reshaped(call, tuple(1 if at in new else next(sizes) for at in range(rank)))


def transpose(call: Call) -> Entry:
    """Return the axes in another order."""
    axes = tuple(call.get("perm", range(len(call.shape))[::-1]))
    return Entry("Transpose", {"axes": axes}, call.inputs[:1])


def concat(call: Call) -> Entry:
    """Return values side by side."""
    if any(name in call.constants for name in call.inputs):
        raise NotSupportedError("one of its inputs is constant")
    return Entry("Concat", {"axis": call.get("axis")}, call.inputs)


def softmax(call: Call) -> Entry:
    """Return a softmax, which goes along all later axes before opset 13."""
    axis = call.get("axis", -1 if call.opset >= 13 else 1)
    rank = len(call.shape)
    if call.opset < 13 and prod(call.shape[axis % rank + 1 :]) != 1:
        raise NotSupportedError(f"along all axes from {axis} on, as before opset 13")
    return Entry("Softmax", {"axis": axis}, call.inputs[:1])


def reduction(kind: str) -> Operator:
    """Return the operator of a reduction."""

    def reduced(call: Call) -> Entry:
        axes = _axes(call)
        if not axes:
            raise NotSupportedError("reduces all axes, or none")
        return Entry(kind, {"axes": axes, "keepdims": bool(call.get("keepdims", 1))}, call.inputs[:1])

    return reduced


def resize(call: Call) -> Entry:
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


def sliced(call: Call) -> Entry:
    """Return a part of a value; limits are attributes before opset 10."""
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


def padded(call: Call) -> Entry:
    """Return a value with a border; its widths are an attribute before opset 11."""
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
