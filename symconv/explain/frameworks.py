"""The same layer in PyTorch, as its users write it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from symconv.layers.activation import Activation
from symconv.layers.conv import Conv, ConvLayer, ConvTranspose
from symconv.layers.layer import Layer
from symconv.layers.layer_norm import LayerNorm
from symconv.layers.linear import Linear
from symconv.layers.normalisation import BatchNorm
from symconv.layers.pool import AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool
from symconv.layers.softmax import Softmax
from symconv.layers.window import Window

_ACTIVATIONS = {
    "relu": "ReLU()",
    "leaky_relu": "LeakyReLU()",
    "relu6": "ReLU6()",
    "hardtanh": "Hardtanh()",
    "elu": "ELU()",
    "sigmoid": "Sigmoid()",
    "tanh": "Tanh()",
    "softplus": "Softplus()",
    "silu": "SiLU()",
    "gelu": "GELU()",
    "gelu_tanh": "GELU(approximate='tanh')",
}


def pytorch_line(layer: Layer) -> str:
    """Return the expression that makes the layer in PyTorch; nothing where no module is the same."""
    made = _made(layer)
    dtype = ", dtype=torch.float64" if layer.dtype == "float64" and "weight" in layer.inputs else ""
    return f"torch.nn.{made[:-1]}{dtype})" if made else ""


def _made(layer: Layer) -> str:
    match layer:
        case Conv() if not layer.flip and all(w.lo == w.hi >= 0 for w in layer.windows):
            return _convolution("Conv", layer, layer.windows, {})
        case ConvTranspose() if not layer.flip and all(w.lo == w.hi >= 0 for w in layer.roles.windows):
            windows = layer.roles.windows
            return _convolution(
                "ConvTranspose", layer, windows, {"output_padding": layer.output_padding}
            )
        case MaxPool() | AvgPool() if all(w.lo >= 0 for w in layer.windows) and _is_symmetric(layer):
            return _pool(layer)
        case GlobalMaxPool() | GlobalAvgPool():
            kind = "Max" if isinstance(layer, GlobalMaxPool) else "Avg"
            return f"Adaptive{kind}Pool{len(layer.windows)}d(1)"
        case Linear():
            return _call("Linear", [layer.input_shape[-1], layer.out_features], {"bias": layer.bias})
        case Activation():
            return _ACTIVATIONS.get(layer.function, "")
        case BatchNorm():
            rank = {2: 1, 3: 1, 4: 2, 5: 3}.get(len(layer.input_shape))
            options = {"eps": layer.eps, "momentum": layer.momentum, "affine": layer.affine}
            return _call(f"BatchNorm{rank}d", [layer.input_shape[1]], options) if rank else ""
        case LayerNorm():
            options = {"eps": layer.eps, "elementwise_affine": layer.elementwise_affine}
            shape = layer.parameters.get("weight") or layer.normalized_shape or layer.input_shape[1:]
            return _call("LayerNorm", [shape], options)
        case Softmax():
            return f"Softmax(dim={layer.axis})"
        case _:
            return ""


_DEFAULTS = {
    "stride": 1,
    "padding": 0,
    "dilation": 1,
    "groups": 1,
    "bias": True,
    "padding_mode": "zeros",
    "output_padding": 0,
    "ceil_mode": False,
    "count_include_pad": True,
    "eps": 1e-5,
    "momentum": 0.1,
    "affine": True,
    "elementwise_affine": True,
}


def _call(name: str, arguments: Sequence[object], options: dict[str, Any]) -> str:
    """Write a call; options at their defaults are left out."""
    given = [repr(argument) for argument in arguments]
    given += [f"{key}={value!r}" for key, value in options.items() if value != _DEFAULTS[key]]
    return f"{name}({', '.join(given)})"


def _per_axis(numbers: Sequence[int]) -> int | tuple[int, ...]:
    return numbers[0] if len(set(numbers)) == 1 else tuple(numbers)


def _convolution(
    name: str, layer: ConvLayer, windows: Sequence[Window[int]], more: dict[str, Any]
) -> str:
    options = {
        "stride": _per_axis([w.stride for w in windows]),
        "padding": _per_axis(_pads(layer)),
        "dilation": _per_axis([w.dilation for w in windows]),
        "groups": layer.groups,
        "bias": layer.bias,
        "padding_mode": layer.padding_mode,
        **more,
    }
    kernel = _per_axis([w.kernel for w in windows])
    channels = [layer.input_shape[1], layer.out_channels]
    return _call(f"{name}{len(windows)}d", [*channels, kernel], options)


def _pads(layer: ConvLayer) -> list[int]:
    windows = layer.windows if isinstance(layer, Conv) else layer.roles.windows
    return [w.lo for w in windows]


def _is_symmetric(layer: MaxPool | AvgPool) -> bool:
    """Whether the padding is the same on both sides: with ceil_mode the window adds some at the end."""
    return layer.padding == 0 or isinstance(layer.padding, int)


def _pool(layer: MaxPool | AvgPool) -> str:
    windows = layer.windows
    kernel, stride = (_per_axis([getattr(w, of) for w in windows]) for of in ("kernel", "stride"))
    options: dict[str, Any] = {
        "padding": _per_axis([w.lo for w in windows]),
        "ceil_mode": layer.ceil_mode,
    }
    dilation = _per_axis([w.dilation for w in windows])
    if isinstance(layer, AvgPool):
        options["count_include_pad"] = layer.count_include_pad
        if dilation != 1:
            return ""
    else:
        options["dilation"] = dilation
    name = f"{type(layer).__name__}{len(windows)}d"
    arguments = [kernel] if stride == kernel else [kernel, stride]
    return _call(name, arguments, options)
