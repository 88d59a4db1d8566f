"""ONNX's operators that move elements: their order, shape, parts and borders."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import numpy as np

from symconv.building import Array, NotSupportedError, Value
from symconv.onnx.arithmetic import LETTERS, scaled
from symconv.onnx.nodes import Call
from symconv.onnx.reducing import axes_of

MOST_PARTS = 64  # that a value is gathered from, or split into


def flatten(call: Call) -> Value:
    """Return the axes in two groups."""
    axis = call.get("axis", 1)
    axis += len(call.shape) if axis < 0 else 0
    if axis == 1:
        return call.layer("Flatten", call.value(0))
    return _reshaped(call, (prod(call.shape[:axis]), prod(call.shape[axis:])))


def reshape(call: Call) -> Value:
    """Return the same elements in another shape."""
    sizes = [int(size) for size in call.needed(1, "the shape")]
    if not call.get("allowzero", 0):
        sizes = [call.shape[at] if size == 0 else size for at, size in enumerate(sizes)]
    return _reshaped(call, tuple(sizes))


def _reshaped(call: Call, shape: tuple[int, ...]) -> Value:
    return call.layer("Reshape", call.value(0), shape=shape)


def squeeze(call: Call) -> Value:
    """Return a value without axes of length 1."""
    rank = len(call.shape)
    axes = axes_of(call) or tuple(a for a, size in enumerate(call.shape) if size == 1)
    left = {axis % rank for axis in axes}
    return _reshaped(call, tuple(size for at, size in enumerate(call.shape) if at not in left))


def unsqueeze(call: Call) -> Value:
    """Return a value with new axes of length 1."""
    axes = axes_of(call) or ()
    rank = len(call.shape) + len(axes)
    new = {axis % rank for axis in axes}
    sizes = iter(call.shape)
    return _reshaped(call, tuple(1 if at in new else next(sizes) for at in range(rank)))


def transpose(call: Call) -> Value:
    """Return the axes in another order."""
    axes = tuple(call.get("perm", range(len(call.shape))[::-1]))
    return call.layer("Transpose", call.value(0), axes=axes)


def concat(call: Call) -> Value:
    """Return the concatenation of values and constants along an axis."""
    if any(not isinstance(given, Value) for given in call.inputs):
        return _with_constants(call)
    values = call.values()
    return joined(call, list(values), call.get("axis"), "") if values[1:] else values[0]


def _with_constants(call: Call) -> Value:
    """Return values with borders of zeros as wide as what is beside them, plus the constants there."""
    axis = call.get("axis") % max(len(g.shape) for g in call.inputs if g is not None)
    shapes = [given.shape for given in call.inputs if given is not None]
    starts = [sum(shape[axis] for shape in shapes[:at]) for at in range(len(shapes) + 1)]
    constants, parts = [], []
    for at, given in enumerate(call.inputs):
        if isinstance(given, Value):
            pairs = [(0, 0)] * len(given.shape)
            pairs[axis] = (starts[at], starts[-1] - starts[at + 1])
            parts.append(call.layer("Pad", given, part=f"placed{at + 1}", padding=tuple(pairs)))
            constants.append(np.zeros(given.shape))
        else:
            constants.append(np.asarray(given))
    whole = parts[0] if len(parts) == 1 else call.layer("Add", *parts, part="values")
    return scaled(call, whole, np.concatenate(constants, axis), "+", trained=False)


def split(call: Call) -> tuple[Value, ...]:
    """Return parts of a value; their lengths are an attribute before opset 13."""
    x, axis = call.value(0), call.get("axis", 0) % len(call.shape)
    whole, count = x.shape[axis], call.count
    lengths = call.get("split")
    if lengths is None:
        given = call.constant(1, "the lengths")
        lengths = None if given is None else given.tolist()
    if lengths is None:
        each = -(-whole // count)
        lengths = [min(each, whole - each * at) for at in range(count)]
    if len(lengths) != count or count > MOST_PARTS:
        raise NotSupportedError(f"splits into {len(lengths)} parts")
    starts = [sum(lengths[:at]) for at in range(count)]
    return tuple(
        part(call, x, axis, start, start + int(length), f"part{number}")
        for number, (start, length) in enumerate(zip(starts, lengths, strict=True), 1)
    )


def part(call: Call, x: Value, axis: int, start: int, stop: int, name: str = "", step: int = 1) -> Value:
    """Return a range of one axis."""
    return call.layer("Slice", x, part=name, starts=(start,), ends=(stop,), axes=(axis,), steps=(step,))


def sliced(call: Call) -> Value:
    """Return a part of a value; limits are attributes before opset 10."""
    given = [call.get(name) for name in ("starts", "ends", "axes", "steps")]
    if call.opset >= 10:
        found = [call.constant(at, "a limit") for at in range(1, 5)]
        given = [None if f is None else f.tolist() for f in found]
    starts, ends, axes, steps = given
    if starts is None or ends is None:
        raise NotSupportedError("starts or ends are missing")
    rank = len(call.shape)
    axes = [axis % rank for axis in (axes or range(len(starts)))]
    limits = [
        slice(start, None if step < 0 and stop < -call.shape[axis] else stop, step)
        for axis, start, stop, step in zip(axes, starts, ends, steps or [1] * len(axes), strict=True)
    ]
    ranges = [range(*limit.indices(call.shape[axis])) for axis, limit in zip(axes, limits, strict=True)]
    if not all(ranges):
        raise NotSupportedError("selects no elements")
    return call.layer(
        "Slice",
        call.value(0),
        starts=tuple(r.start for r in ranges),
        ends=tuple(
            r.stop if r.stop >= 0 else -call.shape[a] - 1 for a, r in zip(axes, ranges, strict=True)
        ),
        steps=tuple(r.step for r in ranges),
        axes=tuple(axes),
    )


def gather(call: Call) -> Value:
    """Return elements of one axis by constant indices."""
    x, axis = call.value(0), call.get("axis", 0) % len(call.shape)
    indices = call.needed(1, "the index")
    size = x.shape[axis]
    at = [int(i) + size * (i < 0) for i in indices.ravel()]
    if not at or min(at) < 0 or max(at) >= size:
        raise NotSupportedError(f"an index is outside an axis of {size} elements")
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    last = "rows" if shape != (*x.shape[:axis], len(at), *x.shape[axis + 1 :]) else ""
    found = picked(call, x, axis, at, last)
    if not last:
        return found
    if not shape:
        raise NotSupportedError("gives a single number without axes")
    return call.layer("Reshape", found, shape=shape)


def picked(call: Call, x: Value, axis: int, at: list[int], name: str = "") -> Value:
    """Return some elements of an axis, in any order: ranges of it, side by side."""
    steps = np.diff(at)
    if len(at) == 1 or (len(set(steps.tolist())) == 1 and steps[0] > 0):
        step = int(steps[0]) if len(at) > 1 else 1
        return part(call, x, axis, at[0], at[-1] + 1, name, step)
    starts = [0, *(int(i) + 1 for i in np.flatnonzero(steps != 1)), len(at)]
    if len(starts) > MOST_PARTS:
        raise NotSupportedError(f"takes more than {MOST_PARTS} ranges of an axis")
    ranges = [
        part(call, x, axis, at[first], at[last - 1] + 1, f"{name or 'part'}{number}")
        for number, (first, last) in enumerate(pairwise(starts), 1)
    ]
    return joined(call, ranges, axis, name)


def joined(call: Call, values: list[Value], axis: int, name: str) -> Value:
    """Return many values side by side, some at a time: a layer takes only so many."""
    if len(values) == 1:
        return values[0]
    most = 15
    for level in range(1, 9):
        if len(values) <= most:
            return call.layer("Concat", *values, part=name, axis=axis)
        groups = [values[at : at + most] for at in range(0, len(values), most)]
        values = [
            call.layer("Concat", *group, part=f"group{level}_{number}", axis=axis)
            if group[1:]
            else group[0]
            for number, group in enumerate(groups, 1)
        ]
    raise NotSupportedError("joins too many values")


def expand(call: Call) -> Value:
    """Return a value repeated along axes of length 1."""
    x = call.value(0)
    sizes = tuple(int(size) for size in call.needed(1, "the shape"))
    shape = np.broadcast_shapes(x.shape, sizes)
    if shape == x.shape:
        return x
    letters = LETTERS[: len(shape)]
    own = zip(letters[::-1], shape[::-1], x.shape[::-1], strict=False)
    read = [a if n == size else "0" for a, n, size in own][::-1]
    return call.layer(
        "Contraction",
        x,
        formula=f"O[{','.join(letters)}] = X[{','.join(read)}]",
        shapes={"X": x.shape, "O": shape},
        extents=dict(zip(letters, shape, strict=True)),
    )


def tile(call: Call) -> Value:
    """Return a value repeated along axes."""
    x, repeats = call.value(0), [int(n) for n in call.needed(1, "the repeats")]
    if sum(repeats) > MOST_PARTS or min(repeats) < 1:
        raise NotSupportedError(f"repeats {tuple(repeats)}")
    for axis, times in enumerate(repeats):
        if times > 1:
            x = joined(call, [x] * times, axis, f"axis{axis}")
    return x


def padded(call: Call) -> Value:
    """Return a value with a border; its widths are an attribute before opset 11."""
    rank = len(call.shape)
    pads, value = call.get("pads"), call.get("value", 0.0)
    if call.opset >= 11:
        pads = [int(n) for n in call.needed(1, "pads")]
        constant = call.constant(2, "the value")
        value = 0.0 if constant is None else float(constant.item())
    named: Array | None = call.constant(3, "axes")
    axes = range(rank) if named is None else [int(a) % rank for a in named]
    pairs = [(0, 0)] * rank
    for at, axis in enumerate(axes):
        pairs[axis] = (pads[at], pads[at + len(axes)])
    modes = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}
    mode = call.get("mode", "constant")
    if mode not in modes:
        raise NotSupportedError(f"mode {mode!r}")
    value = value if mode == "constant" else 0.0
    return call.layer("Pad", call.value(0), padding=tuple(pairs), mode=modes[mode], value=value)


def depth_to_space(call: Call) -> Value:
    """Return blocks of channels as blocks of pixels, whose two orders differ in the channels'."""
    x, size = call.value(0), call.get("blocksize")
    if call.get("mode", "DCR") == "CRD":
        return call.layer("PixelShuffle", x, upscale_factor=size)
    n, c, h, w = x.shape
    left = c // size**2
    split_ = call.layer("Reshape", x, part="blocks", shape=(n, size**2, left, h, w))
    turned = call.layer("Transpose", split_, part="turned", axes=(0, 2, 1, 3, 4))
    channels = call.layer("Reshape", turned, part="channels", shape=(n, c, h, w))
    return call.layer("PixelShuffle", channels, upscale_factor=size)


def space_to_depth(call: Call) -> Value:
    """Return blocks of pixels as channels: slices of every second, third, … pixel, side by side."""
    x, size = call.value(0), call.get("blocksize")
    n, c, h, w = x.shape
    if size**2 > MOST_PARTS:
        raise NotSupportedError(f"blocksize = {size}")
    blocks = [
        call.layer(
            "Slice",
            x,
            part=f"block{i}_{j}",
            starts=(i, j),
            ends=(h, w),
            axes=(2, 3),
            steps=(size, size),
        )
        for i in range(size)
        for j in range(size)
    ]
    if call.get("mode", "DCR") == "DCR":
        return joined(call, blocks, 1, "")
    inner = (h // size, w // size)
    groups = call.layer(
        "Reshape", joined(call, blocks, 1, "blocks"), part="groups", shape=(n, size**2, c, *inner)
    )
    turned = call.layer("Transpose", groups, part="turned", axes=(0, 2, 1, 3, 4))
    return call.layer("Reshape", turned, shape=(n, c * size**2, *inner))
