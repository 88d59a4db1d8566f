"""PyTorch's operators that move elements: their order, shape, parts and borders."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from symconv.building import NotSupportedError, Value
from symconv.torch.aten_calls import Call


def view(call: Call) -> Value:
    """Return the same elements in another shape."""
    x = call.value()
    shape = tuple(call.given.get("size", call.given.get("shape", ())))
    return call.layer("Reshape", x, shape=shape)


def flatten(call: Call) -> Value:
    """Return a value with some axes merged."""
    x = call.value()
    rank = len(x.shape)
    start, end = call["start_dim"] % rank, call["end_dim"] % rank
    shape = (*x.shape[:start], prod(x.shape[start : end + 1]), *x.shape[end + 1 :])
    return call.layer("Reshape", x, shape=shape)


def unsqueeze(call: Call) -> Value:
    """Return a value with a new axis of length 1."""
    x = call.value()
    at = call["dim"] % (len(x.shape) + 1)
    return call.layer("Reshape", x, shape=(*x.shape[:at], 1, *x.shape[at:]))


def squeeze(call: Call) -> Value:
    """Return a value without axes of length 1."""
    x = call.value()
    dims = call.given.get("dim", range(len(x.shape)))
    dims = [dims] if isinstance(dims, int) else dims
    left = {at % len(x.shape) for at in dims}
    shape = tuple(n for at, n in enumerate(x.shape) if at not in left or n != 1)
    return call.layer("Reshape", x, shape=shape)


def permute(call: Call) -> Value:
    """Return the axes in another order."""
    return call.layer("Transpose", call.value(), axes=tuple(call["dims"]))


def transpose(call: Call) -> Value:
    """Return a value with two axes exchanged."""
    x = call.value()
    axes = [*range(len(x.shape))]
    one, other = call["dim0"], call["dim1"]
    axes[one], axes[other] = axes[other], axes[one]
    return call.layer("Transpose", x, axes=tuple(axes))


def cat(call: Call) -> Value:
    """Return values side by side."""
    values = call["tensors"]
    if not all(isinstance(value, Value) for value in values):
        raise NotSupportedError("joins parameters")
    return call.layer("Concat", *values, axis=call["dim"])


def sliced(call: Call) -> Value:
    """Return a range of one axis."""
    x, axis = call.value(), call["dim"]
    start, end = call["start"] or 0, call["end"]
    end = x.shape[axis] if end is None else min(end, x.shape[axis])
    if (start, end, call["step"]) == (0, x.shape[axis], 1):
        return x
    return call.layer("Slice", x, starts=(start,), ends=(end,), axes=(axis,), steps=(call["step"],))


def chunk(call: Call) -> list[Value]:
    """Return parts of equal length."""
    x, axis = call.value(), call["dim"] % len(call.value().shape)
    each = -(-x.shape[axis] // call["chunks"])
    return _parts(call, x, axis, each)


def split(call: Call) -> list[Value]:
    """Return parts of given lengths."""
    sizes = call.given.get("split_size", call.given.get("split_sizes"))
    return _parts(call, call.value(), call["dim"] % len(call.value().shape), sizes)


def _parts(call: Call, x: Value, axis: int, sizes: Any) -> list[Value]:
    whole = x.shape[axis]
    lengths = (
        [min(sizes, whole - at) for at in range(0, whole, sizes)] if isinstance(sizes, int) else sizes
    )
    starts = np.cumsum([0, *lengths]).tolist()
    return [
        call.layer("Slice", x, part=f"part{n}", starts=(a,), ends=(b,), axes=(axis,))
        for n, (a, b) in enumerate(pairwise(starts), 1)
    ]


def padded(call: Call) -> Value:
    """Return a value with a border."""
    x, pads = call.value(), call["pad"]
    pairs = [(0, 0)] * len(x.shape)
    for at in range(len(pads) // 2):
        pairs[len(x.shape) - 1 - at] = (pads[2 * at], pads[2 * at + 1])
    mode = call.given.get("mode", "constant")
    value = call.given.get("value") or 0.0
    return call.layer("Pad", x, padding=tuple(pairs), mode=mode, value=float(value))


def nearest(call: Call) -> Value:
    """Return larger images of repeated elements."""
    return _upsampled(call, {})


def bilinear(call: Call) -> Value:
    """Return larger images, linear between elements."""
    mode = {3: "linear", 4: "bilinear", 5: "trilinear"}[len(call.value().shape)]
    return _upsampled(call, {"mode": mode, "align_corners": bool(call["align_corners"])})


def _upsampled(call: Call, more: dict[str, Any]) -> Value:
    x, size = call.value(), call.given.get("output_size", call.given.get("size"))
    if size is None:
        factors = call.given.get("scale_factors") or ()
        if any(factor != int(factor) for factor in factors):
            raise NotSupportedError(f"scale_factor = {tuple(factors)}: must be whole")
        size = [n * int(f) for n, f in zip(x.shape[2:], factors, strict=True)]
    return call.layer("Upsample", x, size=tuple(map(int, size)), **more)
