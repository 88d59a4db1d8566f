"""ONNX's operators of sliding windows: convolutions and pools."""

from __future__ import annotations

from math import prod
from typing import Any

from symconv.building import NotSupportedError, Value
from symconv.onnx.arithmetic import applied
from symconv.onnx.nodes import Call, Operator, with_bias


def _window(call: Call) -> dict[str, Any]:
    """Return the stride, padding and dilation of a window."""
    rank = len(call.shape) - 2
    automatic = call.get("auto_pad", "NOTSET")
    if automatic in ("NOTSET", "VALID"):
        pads = call.get("pads", [0] * 2 * rank) if automatic == "NOTSET" else [0] * 2 * rank
        padding: object = tuple((pads[at], pads[at + rank]) for at in range(rank))
    else:
        padding = {"SAME_UPPER": "same", "SAME_LOWER": "same_lower"}.get(automatic)
        if padding is None:
            raise NotSupportedError(f"auto_pad = {automatic!r}")
    return {
        "stride": tuple(call.get("strides", [1] * rank)),
        "padding": padding,
        "dilation": tuple(call.get("dilations", [1] * rank)),
    }


def conv(call: Call) -> Value:
    """Return a correlation, which ONNX calls a convolution."""
    weight, bias = call.needed(1, "the filter"), call.constant(2, "the bias")
    return call.layer(
        "Conv",
        call.value(0),
        params=with_bias(weight, bias),
        out_channels=weight.shape[0],
        kernel_size=tuple(weight.shape[2:]),
        groups=call.get("group", 1),
        bias=bias is not None,
        **_window(call),
    )


def conv_transpose(call: Call) -> Value:
    """Return a transposed convolution; ``output_shape`` and ``auto_pad`` decide its padding.

    References
    ----------
    ONNX, operator ConvTranspose, version 22: the total padding, and which end gets the odd element.
    """
    weight, bias = call.needed(1, "the filter"), call.constant(2, "the bias")
    rank, groups = len(call.shape) - 2, call.get("group", 1)
    kernel, window = tuple(weight.shape[2:]), _window_of_transposed(call)
    strides, dilations = window["stride"], window["dilation"]
    extra = tuple(call.get("output_padding", [0] * rank))
    automatic = call.get("auto_pad", "NOTSET")
    wanted = call.get("output_shape")
    if wanted is None and automatic.startswith("SAME"):
        wanted = [size * step for size, step in zip(call.shape[2:], strides, strict=True)]
    if wanted is not None:
        full = [
            (size - 1) * step + d * (k - 1) + 1 + more
            for size, step, d, k, more in zip(
                call.shape[2:], strides, dilations, kernel, extra, strict=True
            )
        ]
        total = [whole - asked for whole, asked in zip(full, wanted[-rank:], strict=True)]
        if min(total) < 0:
            raise NotSupportedError("output_shape is larger than all that the input reaches")
        less = [cropped // 2 for cropped in total]
        more_first = automatic != "SAME_UPPER"
        window["padding"] = tuple(
            (all_ - half, half) if more_first else (half, all_ - half)
            for all_, half in zip(total, less, strict=True)
        )
    return call.layer(
        "ConvTranspose",
        call.value(0),
        params=with_bias(weight, bias),
        out_channels=weight.shape[1] * groups,
        kernel_size=kernel,
        output_padding=extra,
        groups=groups,
        bias=bias is not None,
        **window,
    )


def _window_of_transposed(call: Call) -> dict[str, Any]:
    rank = len(call.shape) - 2
    pads = call.get("pads", [0] * 2 * rank)
    return {
        "stride": tuple(call.get("strides", [1] * rank)),
        "padding": tuple((pads[at], pads[at + rank]) for at in range(rank)),
        "dilation": tuple(call.get("dilations", [1] * rank)),
    }


def max_pool(call: Call) -> Value:
    """Return a maximum of windows."""
    if call.outputs > 1:
        raise NotSupportedError("returns indices")
    if call.get("storage_order", 0):
        raise NotSupportedError("storage_order = 1")
    return _pool(call, "MaxPool")


def average_pool(call: Call) -> Value:
    """Return a mean of windows."""
    return _pool(call, "AvgPool", count_include_pad=bool(call.get("count_include_pad", 0)))


def _pool(call: Call, kind: str, **more: Any) -> Value:
    if call.get("ceil_mode", 0) and any(call.get("pads", [])):
        raise NotSupportedError("ceil_mode with pads, whose last windows versions count differently")
    return call.layer(
        kind,
        call.value(0),
        kernel_size=tuple(call.get("kernel_shape")),
        ceil_mode=bool(call.get("ceil_mode", 0)),
        **_window(call),
        **more,
    )


def lp_pool(call: Call) -> Value:
    """Return the norm of windows: the power of a mean of powers."""
    power = call.get("p", 2)
    if call.get("ceil_mode", 0):
        raise NotSupportedError("ceil_mode = 1")
    kernel = tuple(call.get("kernel_shape"))
    raised = applied(call, call.value(0), f"abs(x)^{power}", "powers")
    mean = call.layer("AvgPool", raised, part="mean", kernel_size=kernel, **_window(call))
    return applied(call, mean, "(n*x)^root", n=prod(kernel), root=1 / power)


def plain(kind: str) -> Operator:
    """Return the operator of a layer without arguments."""
    return lambda call: call.layer(kind, call.value(0))
