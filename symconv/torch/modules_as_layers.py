"""PyTorch's modules as layers, for the shape of an input."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from symconv.errors import SymconvError
from symconv.layers.activation import Activation
from symconv.layers.conv import Conv, ConvTranspose
from symconv.layers.group_norm import GroupNorm
from symconv.layers.layer import Layer
from symconv.layers.layer_norm import LayerNorm
from symconv.layers.linear import Linear
from symconv.layers.pool import AvgPool, MaxPool
from symconv.layers.prelu import PReLU

Shape = tuple[int, ...]
ACTIVATIONS: Mapping[type, str] = {
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
    nn.SiLU: "silu",
}


def layer_of(module: nn.Module, shape: Shape, dtype: str) -> Layer:
    """Return the layer that a module is, for an input's shape.

    Raises
    ------
    SymconvError
        If there is none.

    Examples
    --------
    >>> layer_of(nn.Linear(3, 4), (2, 3), "float32").output_shape  # doctest: +SKIP
    (2, 4)
    """
    for kind, made in _KINDS.items():
        if type(module) is kind:
            axes = re.search(r"([123])d$", kind.__name__)
            if axes and len(shape) != int(axes[1]) + 2:
                raise SymconvError("takes an input without samples")
            return made(module, shape, dtype)
    if type(module) in ACTIVATIONS:
        return Activation(shape, ACTIVATIONS[type(module)], dtype=dtype)
    raise SymconvError(f"{type(module).__name__} is not supported")


def parameters_of(layer: Layer, module: nn.Module) -> list[Any]:
    """Return a module's parameters in the order in which its layer takes them."""
    return [getattr(module, name) for name in layer.parameters]


def _conv(module: Any, shape: Shape, dtype: str) -> Layer:
    padding = module.padding
    if padding == "same":
        padding = tuple(
            (d * (k - 1) // 2, d * (k - 1) - d * (k - 1) // 2)
            for d, k in zip(module.dilation, module.kernel_size, strict=True)
        )
    return Conv(
        shape,
        module.out_channels,
        tuple(module.kernel_size),
        stride=tuple(module.stride),
        padding=padding,
        dilation=tuple(module.dilation),
        groups=module.groups,
        bias=module.bias is not None,
        padding_mode=module.padding_mode,
        dtype=dtype,
    )


def _conv_transpose(module: Any, shape: Shape, dtype: str) -> Layer:
    return ConvTranspose(
        shape,
        module.out_channels,
        tuple(module.kernel_size),
        stride=tuple(module.stride),
        padding=tuple(module.padding),
        output_padding=tuple(module.output_padding),
        dilation=tuple(module.dilation),
        groups=module.groups,
        bias=module.bias is not None,
        dtype=dtype,
    )


def _linear(module: Any, shape: Shape, dtype: str) -> Layer:
    return Linear(shape, module.out_features, bias=module.bias is not None, dtype=dtype)


def _max_pool(module: Any, shape: Shape, dtype: str) -> Layer:
    if module.return_indices:
        raise SymconvError("returns indices")
    return MaxPool(
        shape,
        _listed(module.kernel_size),
        stride=_listed(module.stride),
        padding=_listed(module.padding),
        dilation=_listed(module.dilation),
        ceil_mode=module.ceil_mode,
        dtype=dtype,
    )


def _avg_pool(module: Any, shape: Shape, dtype: str) -> Layer:
    if getattr(module, "divisor_override", None):
        raise SymconvError("has a divisor of its own")
    return AvgPool(
        shape,
        _listed(module.kernel_size),
        stride=_listed(module.stride),
        padding=_listed(module.padding),
        ceil_mode=module.ceil_mode,
        count_include_pad=module.count_include_pad,
        dtype=dtype,
    )


def _listed(sizes: Any) -> Any:
    return tuple(sizes) if isinstance(sizes, tuple | list) else sizes


def _layer_norm(module: Any, shape: Shape, dtype: str) -> Layer:
    if (module.weight is None) != (module.bias is None):
        raise SymconvError("has a weight without a bias")
    affine = module.weight is not None
    return LayerNorm(shape, tuple(module.normalized_shape), module.eps, affine, dtype=dtype)


def _group_norm(module: Any, shape: Shape, dtype: str) -> Layer:
    return GroupNorm(shape, module.num_groups, module.eps, module.affine, dtype=dtype)


def _leaky(module: Any, shape: Shape, dtype: str) -> Layer:
    slope = (("a", module.negative_slope),)
    return Activation(shape, "where(x > 0, x, a*x)", constants=slope, dtype=dtype)


def _elu(module: Any, shape: Shape, dtype: str) -> Layer:
    constants = (("a", module.alpha),)
    return Activation(shape, "where(x > 0, x, a*expm1(min(x, 0)))", constants=constants, dtype=dtype)


def _gelu(module: Any, shape: Shape, dtype: str) -> Layer:
    return Activation(shape, "gelu_tanh" if module.approximate == "tanh" else "gelu", dtype=dtype)


def _prelu(module: Any, shape: Shape, dtype: str) -> Layer:
    return PReLU(shape, module.num_parameters, dtype=dtype)


_KINDS: Mapping[type, Callable[[Any, Shape, str], Layer]] = {
    nn.Conv1d: _conv,
    nn.Conv2d: _conv,
    nn.Conv3d: _conv,
    nn.ConvTranspose1d: _conv_transpose,
    nn.ConvTranspose2d: _conv_transpose,
    nn.ConvTranspose3d: _conv_transpose,
    nn.Linear: _linear,
    nn.MaxPool1d: _max_pool,
    nn.MaxPool2d: _max_pool,
    nn.MaxPool3d: _max_pool,
    nn.AvgPool1d: _avg_pool,
    nn.AvgPool2d: _avg_pool,
    nn.AvgPool3d: _avg_pool,
    nn.LayerNorm: _layer_norm,
    nn.GroupNorm: _group_norm,
    nn.LeakyReLU: _leaky,
    nn.ELU: _elu,
    nn.GELU: _gelu,
    nn.PReLU: _prelu,
}
