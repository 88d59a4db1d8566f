"""PyTorch's operators that are layers: convolutions, pools, normalisations, products."""

from __future__ import annotations

from typing import Any

from symconv.building import Array, NotSupportedError, Value
from symconv.torch.aten_calls import Call, Op


def _given(**params: Array | None) -> dict[str, Array]:
    return {name: array for name, array in params.items() if array is not None}


def _each(sizes: Any, rank: int) -> tuple[int, ...]:
    return tuple(sizes) * (rank // len(sizes))


def conv(call: Call) -> Value:
    """Return a correlation, which PyTorch calls a convolution."""
    x, weight, bias = call.value(), call.array("weight"), call.array("bias")
    assert weight is not None  # a convolution has one
    rank = weight.ndim - 2
    padding = call["padding"]
    if padding == "same":
        dilation = _each(call["dilation"], rank)
        spans = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        padding = tuple((span // 2, span - span // 2) for span in spans)
    elif not isinstance(padding, str):
        padding = _each(padding, rank)
    return call.layer(
        "Conv",
        x,
        params=_given(weight=weight, bias=bias),
        out_channels=weight.shape[0],
        kernel_size=weight.shape[2:],
        stride=_each(call["stride"], rank),
        padding=padding,
        dilation=_each(call["dilation"], rank),
        groups=call["groups"],
        bias=bias is not None,
    )


def conv_transpose(call: Call) -> Value:
    """Return a transposed convolution."""
    x, weight, bias = call.value(), call.array("weight"), call.array("bias")
    assert weight is not None  # a convolution has one
    rank = weight.ndim - 2
    return call.layer(
        "ConvTranspose",
        x,
        params=_given(weight=weight, bias=bias),
        out_channels=weight.shape[1] * call["groups"],
        kernel_size=weight.shape[2:],
        stride=_each(call["stride"], rank),
        padding=_each(call["padding"], rank),
        output_padding=_each(call["output_padding"], rank),
        dilation=_each(call["dilation"], rank),
        groups=call["groups"],
        bias=bias is not None,
    )


def linear(call: Call) -> Value:
    """Return a linear layer."""
    weight, bias = call.array("weight"), call.array("bias")
    assert weight is not None  # a linear layer has one
    params = _given(weight=weight, bias=bias)
    return call.layer(
        "Linear", call.value(), params=params, out_features=len(weight), bias=bias is not None
    )


def batch_norm(call: Call) -> Value:
    """Return a normalisation by running statistics, or by a batch's own in training."""
    names = ("weight", "bias", "running_mean", "running_var")
    params = {name: call.array(name) for name in names}
    if call.given.get("training") and not call.training:
        raise NotSupportedError("training = True: normalises with the batch's own statistics")
    if any(array is None for array in params.values()):
        raise NotSupportedError("has no weight, or no running statistics")
    return call.layer(
        "BatchNorm",
        call.value(),
        params=params,
        eps=call["eps"],
        momentum=call["momentum"],
        training=call.training,
    )


def batch_norm_in_inference(call: Call) -> list[Value]:
    """Return a normalisation by running statistics, which is the first of several results."""
    return [batch_norm(call)]


def layer_norm(call: Call) -> Value:
    """Return a normalisation over the last axes."""
    params = _given(weight=call.array("weight"), bias=call.array("bias"))
    if len(params) == 1:
        raise NotSupportedError("has a weight without a bias")
    shape = tuple(call["normalized_shape"])
    affine = bool(params)
    return call.layer(
        "LayerNorm",
        call.value(),
        params=params,
        normalized_shape=shape,
        eps=call["eps"],
        elementwise_affine=affine,
    )


def group_norm(call: Call) -> Value:
    """Return a normalisation of groups of channels."""
    params = _given(weight=call.array("weight"), bias=call.array("bias"))
    groups = call["num_groups"]
    return call.layer(
        "GroupNorm", call.value(), params=params, num_groups=groups, eps=call["eps"], affine=bool(params)
    )


def pool(kind: str) -> Op:
    """Return the operator of a maximum, or a mean, of windows."""

    def pooled(call: Call) -> Value:
        x, kernel = call.value(), call["kernel_size"]
        rank = len(x.shape) - 2
        if len(kernel) not in (1, rank):
            raise NotSupportedError("takes an input without samples")
        if call.given.get("divisor_override"):
            raise NotSupportedError("has a divisor of its own")
        more = {"count_include_pad": call["count_include_pad"]} if kind == "AvgPool" else {}
        more |= {"dilation": _each(call["dilation"], rank)} if "dilation" in call.given else {}
        return call.layer(
            kind,
            x,
            kernel_size=_each(kernel, rank),
            stride=_each(call["stride"] or kernel, rank),
            padding=_each(call["padding"], rank),
            ceil_mode=call["ceil_mode"],
            **more,
        )

    return pooled


def adaptive(kind: str, whole: str) -> Op:
    """Return a pool whose windows follow from its output's size, where they are all alike."""

    def pooled(call: Call) -> Value:
        x, wanted = call.value(), call["output_size"]
        if len(x.shape) != len(wanted) + 2:
            raise NotSupportedError("takes an input without samples")
        sizes = tuple(wanted)
        if all(size == 1 for size in sizes):
            return call.layer(whole, x)
        if any(n % size for n, size in zip(x.shape[2:], sizes, strict=True)):
            raise NotSupportedError(f"pools {x.shape[2:]} to {sizes}: its windows are not all alike")
        kernel = tuple(n // size for n, size in zip(x.shape[2:], sizes, strict=True))
        return call.layer(kind, x, kernel_size=kernel, stride=kernel)

    return pooled


def prelu(call: Call) -> Value:
    """Return the rectifier with slopes that are parameters."""
    weight = call.array("weight")
    assert weight is not None  # the slope
    return call.layer("PReLU", call.value(), params={"weight": weight}, num_parameters=weight.size)
