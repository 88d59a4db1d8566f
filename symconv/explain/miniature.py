"""A layer small enough to draw, that behaves as a large one does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from symconv.errors import SymconvError
from symconv.layers.conv import ConvLayer
from symconv.layers.layer import Layer, rebuild
from symconv.layers.window import Window

POSITIONS = 4  # of the output along an axis, at most, for one or two spatial axes
POSITIONS_IN_SPACE = 2  # for three
KERNEL = 7  # elements of a filter along an axis, at most
CHANNELS = 2  # in each group, and groups
FEATURES = 5


def miniature(layer: Layer) -> Layer:
    """Return a layer to draw: fewer positions, channels and samples, and everything else the same.

    Stride, dilation, padding and the elements that the stride leaves over are those of the layer. A
    filter of more than 7 elements along an axis is drawn with 7.
    """
    if "input_shape" not in layer.arguments:  # several inputs, in shapes that depend on each other
        return layer
    if "out_features" in layer.arguments:
        features = min(layer.output_shape[-1], FEATURES)
        shape = _at_most(layer.input_shape, FEATURES)
        return rebuild({**layer.as_dict(), "input_shape": shape, "out_features": features})
    if layer.convolution:
        return _smaller_convolution(layer.convolution)
    if layer.pooling and not layer.pooling.covers_axes:
        windows = layer.pooling.windows
        sizes = [_smaller(w, len(windows)) for w in windows]
        shape = (1, min(layer.input_shape[1], CHANNELS), *(w.size for w in sizes))
        kernel = tuple(w.kernel for w in sizes)
        return _the_first_that_fits(layer, ({"input_shape": shape, "kernel_size": kernel},))
    return _the_first_that_fits(layer, ({"input_shape": _at_most(layer.input_shape, FEATURES)},))


def what_differs(layer: Layer, drawn: Layer) -> str:
    """Say in one sentence how the layer that is drawn is smaller; nothing if it is the layer."""
    if drawn == layer:
        return ""
    shape = "×".join(map(str, drawn.input_shape))
    same = "The stride, dilation, padding and the elements that the stride leaves over are the same."
    windows = [_windows(of) for of in (layer, drawn)]
    if all(windows):
        kernels = [[w.kernel for w in each] for each in windows]
        smaller = (
            ""
            if kernels[0] == kernels[1]
            else f" with a filter of {'×'.join(map(str, kernels[1]))} instead of "
            f"{'×'.join(map(str, kernels[0]))} elements"
        )
        return f"The pictures show a smaller layer, of input {shape}{smaller}. {same}"
    return f"The pictures show a smaller layer, of input {shape}."


def _at_most(shape: Sequence[int], most: int) -> tuple[int, ...]:
    batch, *rest = shape
    return (min(batch, CHANNELS), *(min(size, most) for size in rest))


def _smaller(window: Window[int], rank: int) -> Window[int]:
    """Return a window with fewer elements and positions along an axis."""
    kernel = min(window.kernel, KERNEL)
    outputs = min(window.outputs, POSITIONS if rank < 3 else POSITIONS_IN_SPACE)
    size = window.size - window.stride * (window.outputs - outputs)
    size -= window.dilation * (window.kernel - kernel)
    while size < 1:  # a padding that is wider than what is left of the input
        outputs, size = outputs + 1, size + window.stride
    return replace(window, size=size, kernel=kernel, outputs=outputs)


def _smaller_convolution(layer: ConvLayer) -> Layer:
    groups = min(layer.groups, CHANNELS)
    channels = groups * min(layer.input_shape[1] // layer.groups, CHANNELS)
    filters = groups * min(layer.out_channels // layer.groups, CHANNELS)
    sizes = [_smaller(w, len(layer.windows)) for w in layer.windows]
    wider = [replace(w, size=w.size + w.stride * POSITIONS) for w in sizes]  # room for reflections
    transposed = layer.transposed
    common: dict[str, Any] = {"out_channels": filters, "groups": groups}
    common["padding"] = tuple((w.lo, w.hi) for w in layer.windows)
    return _the_first_that_fits(
        layer,
        [
            common
            | {
                "input_shape": (1, channels, *(w.outputs if transposed else w.size for w in found)),
                "kernel_size": tuple(w.kernel for w in found),
            }
            for found in (sizes, wider)
        ],
    )


def _windows(layer: Layer) -> Sequence[Window[int]]:
    """Return the windows that slide over a layer's input, if they do."""
    if layer.convolution:
        return layer.convolution.windows
    return layer.pooling.windows if layer.pooling and not layer.pooling.covers_axes else ()


def _the_first_that_fits(layer: Layer, candidates: Sequence[dict[str, Any]]) -> Layer:
    """Return the layer with the first arguments that are valid, or else the layer itself."""
    for arguments in candidates:
        try:
            found: Layer = replace(layer, **arguments)  # type: ignore[type-var]  # every kind is a dataclass
        except SymconvError:
            continue
        return layer if _same(layer, found) else found
    return layer


def _same(layer: Layer, other: Layer) -> bool:
    """Whether two layers have the same sizes, however their padding is written."""
    return layer.inputs == other.inputs and layer.output_shape == other.output_shape
