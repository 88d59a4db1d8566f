"""ONNX's Resize: repeated elements, and any other way as a matrix for each axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from symconv.building import Array, NotSupportedError, Value
from symconv.onnx.nodes import Call

IMAGES = (3, 4, 5)  # axes of a batch of images
MOST = 1 << 22  # elements of a matrix


def resize(call: Call) -> Value:
    """Return a value whose axes have other sizes."""
    x, mode = call.value(0), call.get("mode", "nearest")
    scales, sizes = _scales(call)
    axes = [
        at for at, (n, m) in enumerate(zip(x.shape, sizes, strict=True)) if n != m or scales[at] != 1
    ]
    if call.get("coordinate_transformation_mode") == "tf_crop_and_resize":
        raise NotSupportedError("crops")
    whole = all(scale == int(scale) >= 1 and at > 1 for at, scale in enumerate(scales) if scale != 1)
    if mode == "nearest" and whole and _repeats(call) and len(x.shape) in IMAGES:
        return call.layer("Upsample", x, scale_factor=tuple(map(int, scales[2:])))
    for number, at in enumerate(axes):
        x = _along(call, x, at, scales[at], sizes[at], "" if number + 1 == len(axes) else f"axis{at}")
    return x


def _repeats(call: Call) -> bool:
    """Whether whole factors repeat every element so many times."""
    ways = (
        call.get("coordinate_transformation_mode", "half_pixel"),
        call.get("nearest_mode", "round_prefer_floor"),
    )
    return call.opset < 11 or ways in (("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"))


def _scales(call: Call) -> tuple[list[float], tuple[int, ...]]:
    """Return the factor of each axis, and its new size."""
    rank = len(call.shape)
    named = call.get("axes")
    axes = range(rank) if named is None else [axis % rank for axis in named]
    scales: Sequence[float] | Array | None = call.get("scales")
    if scales is None:
        scales = call.constant(1 if call.opset < 11 else 2, "scales")
    sizes = call.constant(3, "sizes")
    factors, found = [1.0] * rank, list(call.shape)
    if scales is not None and len(scales):
        for axis, scale in zip(axes, scales, strict=True):
            factors[axis] = float(scale)
            found[axis] = int(np.floor(call.shape[axis] * float(scale)))
        return factors, tuple(found)
    if sizes is None:
        raise NotSupportedError("has neither scales nor sizes")
    for axis, size in zip(axes, sizes, strict=True):
        found[axis], factors[axis] = int(size), int(size) / call.shape[axis]
    policy = call.get("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        one = (min if policy == "not_larger" else max)(factors[axis] for axis in axes)
        for axis in axes:
            factors[axis], found[axis] = one, int(np.floor(one * call.shape[axis] + 0.5))
    return factors, tuple(found)


def _along(call: Call, x: Value, axis: int, scale: float, size: int, part: str) -> Value:
    """Return a value resized along one axis: a product with the matrix that resizes unit vectors."""
    if size * x.shape[axis] > MOST:
        raise NotSupportedError(f"axis {axis} is too long for a matrix")
    letters = "nabcdefg"[: len(x.shape)]
    read = letters.replace(letters[axis], "k")
    return call.layer(
        "Contraction",
        x,
        part=part,
        params={"resizing": _matrix(call, x.shape[axis], scale, size)},
        trained=False,
        formula=f"O[{','.join(letters)}] = X[{','.join(read)}] * resizing[{letters[axis]},k]",
        shapes={"X": x.shape, "resizing": (size, x.shape[axis])},
    )


def _matrix(call: Call, length: int, scale: float, size: int) -> Array:
    """Return the matrix of a resizing of one axis, as ONNX's own evaluator computes it."""
    from onnx.helper import make_node
    from onnx.reference import ReferenceEvaluator

    ways = {
        name: value
        for name, value in call.attributes.items()
        if name not in ("axes", "scales", "keep_aspect_ratio_policy")
    }
    if call.opset < 11:
        ways |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    unit = np.eye(length, dtype=np.float64)
    by_size = abs(scale - size / length) < 1e-12  # and not by a scale that was rounded
    names = ["x", "", "", "m"] if by_size else ["x", "", "s"]
    node = make_node("Resize", names, ["y"], **ways)
    given = {"x": unit, "s": np.array([1, scale], np.float32), "m": np.array([length, size])}
    run = ReferenceEvaluator(node, opsets={"": max(call.opset, 13)})
    (found,) = run.run(None, {name: given[name] for name in names if name})
    return np.ascontiguousarray(np.asarray(found).T)
