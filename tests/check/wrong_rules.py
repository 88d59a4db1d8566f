"""Wrong rules to plant, and the layers that they are planted in."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, cast

import numpy as np

from symconv import (
    Activation,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Contraction,
    Conv,
    ConvTranspose,
    Filter,
    Flatten,
    GlobalAvgPool,
    GlobalMaxPool,
    LayerNorm,
    Linear,
    MaxPool,
    MeanSquaredError,
    Reshape,
    Softmax,
    SoftmaxCrossEntropy,
    generate,
)
from symconv.layers import Layer

Array = Any

Forward = Callable[..., Any]

SOBEL = [[[[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]]]
LAYERS: dict[str, Any] = {
    "conv": functools.partial(Conv, (2, 2, 6, 5), 3, 3, padding=1),
    "strided": functools.partial(Conv, (2, 2, 8, 8), 2, 3, stride=2, padding=1, bias=False),
    "dilated": functools.partial(Conv, (1, 1, 9, 8), 2, 2, dilation=2, stride=2),
    "grouped": functools.partial(Conv, (2, 4, 5, 5), 4, 3, groups=2),
    "reflected": functools.partial(Conv, (1, 2, 6, 6), 2, 3, padding=1, padding_mode="reflect"),
    "same": functools.partial(Conv, (1, 1, 6, 6), 2, 2, padding="same"),
    "signal": functools.partial(Conv, (2, 2, 12), 2, 4, stride=3),
    "volume": functools.partial(Conv, (1, 1, 4, 4, 3), 2, 2),
    "transposed": functools.partial(ConvTranspose, (1, 2, 4, 4), 3, 3, stride=2, output_padding=1),
    "filter": functools.partial(Filter, (1, 1, 6, 6), SOBEL, padding=1),
    "linear": functools.partial(Linear, (3, 4), 5),
    "maxpool": functools.partial(MaxPool, (2, 2, 6, 6), 2),
    "overlapping": functools.partial(MaxPool, (2, 2, 7, 7), 3, stride=2, padding=1),
    "avgpool": functools.partial(AvgPool, (2, 2, 7, 7), 3, stride=2, padding=1),
    "globalmax": functools.partial(GlobalMaxPool, (2, 3, 4, 4)),
    "globalavg": functools.partial(GlobalAvgPool, (2, 3, 4, 4)),
    "relu": functools.partial(Activation, (3, 8), "relu"),
    "tanh": functools.partial(Activation, (3, 8), "tanh"),
    "gelu": functools.partial(Activation, (3, 8), "gelu"),
    "expression": functools.partial(Activation, (3, 8), "x/(1+abs(x))"),
    "softmax": functools.partial(Softmax, (3, 5)),
    "cross entropy": functools.partial(SoftmaxCrossEntropy, (4, 3)),
    "weighted cross entropy": functools.partial(
        SoftmaxCrossEntropy, (4, 3), weight=(1, 2, 0.5), ignore_index=1, label_smoothing=0.1
    ),
    "losses": functools.partial(SoftmaxCrossEntropy, (4, 3), reduction="none"),
    "summed squares": functools.partial(MeanSquaredError, (4, 3), reduction="sum"),
    "squares": functools.partial(MeanSquaredError, (4, 3)),
    "batchnorm": functools.partial(BatchNorm, (4, 3, 3)),
    "layernorm": functools.partial(LayerNorm, (3, 6)),
    "flatten": functools.partial(Flatten, (2, 3, 4)),
    "reshape": functools.partial(Reshape, (2, 3, 4), (2, 4, 3)),
    "add": functools.partial(Add, ((3, 4), (3, 4))),
    "concat": functools.partial(Concat, ((2, 3), (2, 2))),
    "formula": functools.partial(
        Contraction.parse, "O[n,i,j] = X[n,i,c]*W[n,j,c]", X=(2, 3, 4), W=(2, 3, 4)
    ),
}


@functools.cache
def module_of(layer: Layer) -> ModuleType:
    return generate(layer, "right").load()


@dataclass(frozen=True)
class Rule:
    """A wrong rule: what it makes of a right module's functions; None where it is not wrong."""

    name: str
    plant: Callable[[Layer], tuple[Forward | None, Forward | None] | None]
    rare: bool = False  # wrong only where values are equal, or nearly


def of_results(name: str, change: Callable[[Array], Array]) -> Rule:
    """Change everything that is returned."""

    def plant(layer: Layer) -> tuple[Forward, Forward]:
        m = module_of(layer)

        def forward(*given: Array) -> Any:
            found = m.forward(*given)
            return tuple(map(change, found)) if isinstance(found, tuple) else change(found)

        return forward, lambda g, *given: tuple(map(change, m.backward(g, *given)))

    return Rule(name, plant)


def of_inputs(name: str, change: Callable[[Array], Array]) -> Rule:
    """Change every array of numbers that comes in."""

    def changed(array: Array) -> Array:
        return change(array).astype(array.dtype) if array.dtype.kind == "f" else array

    def plant(layer: Layer) -> tuple[Forward, Forward]:
        m = module_of(layer)
        return (
            lambda *given: m.forward(*map(changed, given)),
            lambda g, *given: m.backward(changed(g), *map(changed, given)),
        )

    return Rule(name, plant)


def of_upstream(name: str, change: Callable[[Array], Array]) -> Rule:
    """Change grad_output."""

    def plant(layer: Layer) -> tuple[None, Forward] | None:
        m = module_of(layer)
        tried = np.asarray(np.random.default_rng(0).standard_normal(layer.output_shape))
        if np.allclose(change(tried), tried):
            return None
        return None, lambda g, *given: m.backward(np.asarray(change(g), g.dtype), *given)

    return Rule(name, plant)


def of_gradients(name: str, change: Callable[[list[Array], Array], list[Array] | None]) -> Rule:
    """Change the list of gradients; ``change`` also sees grad_output."""

    def plant(layer: Layer) -> tuple[None, Forward] | None:
        m = module_of(layer)
        shapes = [
            np.arange(1.0, 1 + np.prod(layer.inputs[n])).reshape(layer.inputs[n])
            for n in layer.differentiable
        ]
        found = change(shapes, np.ones(layer.output_shape))
        if found is None:
            return None
        return None, lambda g, *given: change(list(m.backward(g, *given)), g)

    return Rule(name, plant)


def of_another(name: str, other: Callable[[Any], Layer | None], sweeps: str = "both") -> Rule:
    """Use the functions of another layer with the same shapes."""

    def plant(layer: Layer) -> tuple[Forward | None, Forward | None] | None:
        wrong = other(layer)
        if wrong is None or wrong.inputs != layer.inputs or wrong.output_shape != layer.output_shape:
            return None
        m = module_of(wrong)
        return (None if sweeps == "backward" else m.forward), m.backward

    return Rule(name, plant)


def truncated(bits: int) -> Callable[[Array], Array]:
    """Return what keeps some bits of the mantissa, as bfloat16 (7) and TF32 (10) do."""

    def change(a: Array) -> Array:
        mantissa, exponent = np.frexp(np.asarray(a, float))
        return np.ldexp(np.round(mantissa * 2.0 ** (bits + 1)) / 2.0 ** (bits + 1), exponent).astype(
            np.asarray(a).dtype
        )

    return change


def _last(a: Array) -> Array:
    """Leave the last row along the last axis out."""
    b = np.array(a, copy=True)
    if b.ndim and b.size > 1:
        b[..., -1] = 0
    return b


def _first_sample(a: Array) -> Array:
    if not np.ndim(a):
        return a
    b = np.zeros_like(a)
    b[:1] = a[:1]
    return b


def _stale(layer: Layer) -> tuple[Forward, Forward]:
    m = module_of(layer)
    kept: dict[Any, Any] = {}

    def once(name: str, function: Forward) -> Forward:
        def call(*given: Array) -> Any:
            key = name, tuple(np.shape(a) for a in given)
            return kept.setdefault(key, function(*given))

        return call

    return once("forward", m.forward), once("backward", m.backward)


def _close_mask(layer: Layer, slack: float, normalised: bool) -> tuple[None, Forward] | None:
    """Credit every element that is as close to the maximum as the slack says."""
    if not isinstance(layer, MaxPool) or layer.padding != 0:
        return None

    def backward(g: Array, x: Array) -> tuple[Array]:
        gx = np.zeros_like(x)
        for n, c, i, j in np.ndindex(g.shape):
            window = x[n, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            mask = (window >= window.max() - slack * abs(window.max())).astype(x.dtype)
            share = mask / mask.sum() if normalised else mask
            gx[n, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2] += share * g[n, c, i, j]
        return (gx,)

    return None, backward


def _rows_and_columns(layer: Layer) -> tuple[None, Forward] | None:
    """Find the maximum as the largest row and the largest column: right unless several are equal."""
    if not isinstance(layer, MaxPool) or layer.padding != 0:
        return None

    def backward(g: Array, x: Array) -> tuple[Array]:
        gx = np.zeros_like(x)
        for n, c, i, j in np.ndindex(g.shape):
            window = x[n, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            rows, columns = window.max(1) == window.max(), window.max(0) == window.max()
            gx[n, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2] += np.outer(rows, columns) * g[n, c, i, j]
        return (gx,)

    return None, backward


def _overwritten(layer: Layer) -> tuple[None, Forward] | None:
    """Assign the gradient of each window where it should be added."""
    if not isinstance(layer, MaxPool | AvgPool) or not any(w.stride < w.kernel for w in layer.windows):
        return None
    m = module_of(layer)

    def backward(g: Array, x: Array) -> tuple[Array]:
        gx = np.zeros_like(x)
        for place in np.ndindex(g.shape):
            only = np.zeros_like(g)
            only[place] = g[place]
            (part,) = m.backward(only, x)
            gx = np.where(part != 0, part, gx)
        return (gx,)

    return None, backward


def _of_norm(change: Callable[[Layer, Any], tuple[Forward | None, Forward | None] | None]) -> Any:
    return lambda layer: change(layer, None) if isinstance(layer, BatchNorm | LayerNorm) else None


def _constants(layer: Any, _: Any) -> tuple[None, Forward]:
    """Take mean and variance for constants in the gradient."""
    m = module_of(layer)
    axes = (0, *range(2, len(layer.input_shape))) if isinstance(layer, BatchNorm) else (1,)

    def backward(g: Array, x: Array, weight: Array, *others: Array) -> list[Array]:
        found = list(m.backward(g, x, weight, *others))
        shape = (-1, *[1] * (x.ndim - 2)) if isinstance(layer, BatchNorm) else (-1,)
        scale = weight.reshape(shape) / np.sqrt(x.var(axis=axes, keepdims=True) + layer.eps)
        found[0] = (g * scale).astype(x.dtype)
        return found

    return None, backward


def _statistics(which: int, change: Callable[[BatchNorm, Array, Array], Array]) -> Any:
    def plant(layer: Layer) -> tuple[Forward, None] | None:
        if not isinstance(layer, BatchNorm):
            return None
        m = module_of(layer)

        def forward(*given: Array) -> Any:
            found = list(m.forward(*given))
            found[which] = change(layer, found[which], given[2 + which])
            return tuple(found)

        return forward, None

    return plant


def _eps_outside(layer: Any) -> tuple[Forward, None] | None:
    """Add ε to the standard deviation, not to the variance."""
    if not isinstance(layer, LayerNorm):
        return None

    def forward(x: Array, weight: Array, bias: Array) -> Array:
        y = (x - x.mean(1, keepdims=True)) / (x.std(1, keepdims=True) + x.dtype.type(layer.eps))
        return y * weight + bias

    return forward, None


def _diagonal(layer: Layer) -> tuple[None, Forward] | None:
    if not isinstance(layer, Softmax):
        return None
    m = module_of(layer)

    def backward(g: Array, x: Array) -> tuple[Array]:
        y = m.forward(x)
        return (g * y * (1 - y),)

    return None, backward


def _shifted_padding(layer: Any) -> Layer | None:
    if not isinstance(layer, Conv) or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return None
    return replace(layer, padding=tuple((w.lo + 1, w.hi - 1) for w in layer.windows))


def having(*kinds: type, **arguments: object) -> Callable[[Any], Layer | None]:
    """Return what gives a layer of these kinds other arguments; a pair is the old value and the new."""

    def changed(layer: Any) -> Layer | None:
        if not isinstance(layer, kinds):
            return None
        new = {}
        for name, value in arguments.items():
            if isinstance(value, tuple):
                old, value = value
                if getattr(layer, name) != old:
                    return None
            new[name] = value
        return cast(Layer, replace(cast(Any, layer), **new))

    return changed


def _biased(layer: BatchNorm, new: Array, old: Array) -> Array:
    count = layer.input_shape[0] * int(np.prod(layer.input_shape[2:]))
    kept = (1 - layer.momentum) * old
    return (kept + (new - kept) * (count - 1) / count).astype(new.dtype)


def _divided(found: list[Array], g: Array) -> list[Array] | None:
    return [a / g.size for a in found] if g.size > 1 else None


def _scaled_last(found: list[Array], g: Array) -> list[Array]:
    return [*found[:-1], found[-1] * 1.001]


def _mean_over_batch(found: list[Array], g: Array) -> list[Array] | None:
    return (
        [found[0], *(a / len(g) for a in found[1:])]
        if np.ndim(g) and len(found) > 1 and len(g) > 1
        else None
    )


def _rotated(found: list[Array], g: Array) -> list[Array] | None:
    if len(found) < 2 or found[1].ndim < 3:
        return None
    axes = tuple(range(2, found[1].ndim))
    return [found[0], np.flip(found[1], axes), *found[2:]]


def _transposed(found: list[Array], g: Array) -> list[Array] | None:
    square = found[0].ndim >= 2 and found[0].shape[-1] == found[0].shape[-2]
    return [np.swapaxes(found[0], -1, -2), *found[1:]] if square else None


RULES = [
    of_results("results are truncated to whole numbers", lambda a: np.trunc(a)),
    of_results("results are rounded to three decimals", lambda a: np.round(a, 3)),
    of_results("results are rounded to half precision", lambda a: a.astype(np.float16).astype(a.dtype)),
    of_results("results have the digits of bfloat16", truncated(7)),
    of_results("results have the digits of TF32", truncated(10)),
    of_results("results have an integer dtype", lambda a: a.astype(np.int64)),
    of_results("results have dtype float16", lambda a: a.astype(np.float16)),
    of_results("results are clipped to ±8", lambda a: np.clip(a, -8, 8)),
    of_results("results below a half are zero", lambda a: np.where(np.abs(a) < 0.5, 0, a)),
    of_results("results are 0.1 % too large", lambda a: a * a.dtype.type(1.001)),
    of_results("the last row of every result is zero", _last),
    of_results("everything after the first sample is zero", _first_sample),
    of_results("results are complex", lambda a: a + 0j),
    of_results("results are not finite", lambda a: a / a.dtype.type(0) * 0),
    Rule("results of an earlier call are returned", _stale),
    of_inputs("inputs are rounded to whole numbers", np.round),
    of_inputs("inputs are rounded to half precision", lambda a: a.astype(np.float16)),
    of_inputs("inputs have the digits of bfloat16", truncated(7)),
    of_inputs("inputs are clipped to ±8", lambda a: np.clip(a, -8, 8)),
    of_inputs("inputs below 0.01 are taken for zero", lambda a: np.where(np.abs(a) < 0.01, 0, a)),
    of_inputs("inputs lose their sign", np.abs),
    of_upstream("grad_output is ignored", np.ones_like),
    of_upstream("grad_output has the wrong sign", lambda g: -g),
    of_upstream("grad_output is averaged", lambda g: np.full_like(g, np.mean(g)) if np.ndim(g) else g),
    of_upstream("grad_output is only positive", np.abs),
    of_upstream("grad_output is halved", lambda g: g / 2),
    of_upstream("samples of grad_output are exchanged", lambda g: g[::-1] if np.ndim(g) else g),
    of_gradients("the last gradient is missing", lambda found, g: found[:-1]),
    of_gradients("the last gradient is zero", lambda found, g: [*found[:-1], 0 * found[-1]]),
    of_gradients("the last gradient is None", lambda found, g: [*found[:-1], None]),
    of_gradients("the last gradient is 0.1 % too large", _scaled_last),
    of_gradients("the order of the gradients is reversed", lambda found, g: found[::-1]),
    of_gradients("gradients of parameters are divided by the batch", _mean_over_batch),
    of_gradients("the filter's gradient is rotated by 180°", _rotated),
    of_gradients("two axes of the input's gradient are swapped", _transposed),
    of_gradients("gradients are divided by the number of outputs", _divided),
    of_another("the filter is rotated", having(Conv, ConvTranspose, flip=True)),
    of_another("the filter is rotated in backward", having(Conv, ConvTranspose, flip=True), "backward"),
    of_another("the padding is off by one", _shifted_padding),
    of_another("SAME is the other way round", having(Conv, padding=("same", "same_lower"))),
    of_another("zeros are padded, not reflected", having(Conv, padding_mode=("reflect", "zeros"))),
    of_another("the border is repeated", having(Conv, padding_mode=("reflect", "replicate"))),
    of_another("padding is not counted by the average", having(AvgPool, count_include_pad=False)),
    of_another("gelu is its approximation", having(Activation, function=("gelu", "gelu_tanh"))),
    of_another("relu leaks", having(Activation, function=("relu", "leaky_relu"))),
    of_another("relu is cut at 6", having(Activation, function=("relu", "relu6"))),
    of_another("the softmax is over the wrong axis", having(Softmax, axis=0)),
    of_another("the loss is a sum", having(SoftmaxCrossEntropy, MeanSquaredError, reduction="sum")),
    of_another("the classes' weights are forgotten", having(SoftmaxCrossEntropy, weight=None)),
    of_another("ignored labels count", having(SoftmaxCrossEntropy, ignore_index=None)),
    of_another("labels are not smoothed", having(SoftmaxCrossEntropy, label_smoothing=0.0)),
    of_another("ε is forgotten", having(BatchNorm, LayerNorm, eps=1e-12)),
    of_another("the momentum is that of the old statistics", having(BatchNorm, momentum=0.9)),
    Rule("maxima are found by closeness (1e-5)", lambda at: _close_mask(at, 1e-5, False), rare=True),
    Rule("maxima are found by closeness and share", lambda at: _close_mask(at, 1e-5, True), rare=True),
    Rule("every maximum of a tie gets all", lambda at: _close_mask(at, 0.0, False), rare=True),
    Rule("a maximum is the largest row and column", _rows_and_columns, rare=True),
    Rule("overlapping windows are assigned, not added", _overwritten),
    Rule("mean and variance are taken for constants", _of_norm(_constants)),
    Rule("the running variance is biased", _statistics(2, _biased)),
    Rule("the running mean is not moved", _statistics(1, lambda layer, new, old: old)),
    Rule("ε is added to the deviation, not to the variance", _eps_outside),
    Rule("only the diagonal of softmax's Jacobian is used", _diagonal),
]  # fmt: skip
