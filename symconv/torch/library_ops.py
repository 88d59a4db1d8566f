"""A layer as an operator of ``torch.library``, which ``torch.compile`` and ``torch.export`` know."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import forward_ad

from symconv.errors import SymconvError
from symconv.layers.layer import Layer
from symconv.torch.module_on_tensors import OnTensors, on_tensors

_LIBRARY = torch.library.Library("symconv", "DEF")
_KNOWN: dict[str, Callable[..., Any]] = {}


def op(
    layer: Layer,
    name: str | None = None,
    order: int = 1,
    target: str | None = None,
    accuracy: str = "direct",
) -> Callable[..., Any]:
    """Return an operator of PyTorch that computes a layer: ``torch.ops.symconv.NAME``.

    It has a fake implementation, so it works under ``torch.compile`` and ``torch.export``, and passes
    ``torch.library.opcheck``. The same layer and name give the same operator.

    Parameters
    ----------
    layer
        The layer; the operator takes its inputs in the order of ``layer.inputs``.
    name
        The operator's name; by default the layer's kind and a digest of its arguments.
    order
        2 adds second derivatives.
    target, accuracy
        As for :func:`function`.

    Raises
    ------
    SymconvError
        If an argument is not valid, or another layer has an operator of this name.
    """
    words = f"{layer!r} {order} {target} {accuracy}"
    digest = hashlib.sha256(words.encode()).hexdigest()[:12]
    name = name or f"{type(layer).__name__.lower()}_{digest}"
    if not re.fullmatch("[a-z][a-z0-9_]{0,99}", name):
        raise SymconvError(f"name = {name!r}: must be lower-case letters, digits and _")
    if name not in _KNOWN:
        run = on_tensors(layer, order, target, accuracy)
        if layer.any_batch or layer.statistic_names:
            raise SymconvError("layer: must have a number of samples, and no running statistics")
        _define(name, run)
        _KNOWN[name] = getattr(torch.ops.symconv, name).default
        _WORDS[name] = words
    if _WORDS[name] != words:
        raise SymconvError(f"name = {name!r}: is another layer's operator")
    return _KNOWN[name]


_WORDS: dict[str, str] = {}


def _define(name: str, run: OnTensors) -> None:
    """Define the operators of the output, of the gradients and of their gradients."""
    layer, places = run.layer, run.places
    inputs = ", ".join(f"Tensor {own}" for own in layer.inputs)
    results = ", ".join(["Tensor"] * len(places))
    shapes = [*layer.inputs.values()]
    dtype = getattr(torch, layer.dtype)

    def one_or_all(found: list[Any]) -> Any:
        return tuple(found) if len(found) > 1 else found[0]

    def empty(shape: Any) -> Any:
        return torch.empty(shape, dtype=dtype)

    _LIBRARY.define(f"{name}({inputs}) -> Tensor")

    def forward(*given: Any) -> Any:
        if forward_ad._current_level >= 0:  # PyTorch would drop the changes without a word
            raise SymconvError(
                f"{name}: has no forward mode; symconv.torch.function(layer, order=2) has"
            )
        return run.forward(given)

    _LIBRARY.impl(name, forward, "CPU")
    torch.library.register_fake(
        f"symconv::{name}", lambda *given: given[0].new_empty(layer.output_shape), lib=_LIBRARY
    )

    back = f"{name}_backward"
    _LIBRARY.define(f"{back}(Tensor grad_output, {inputs}, bool[] needed) -> ({results})")

    def gradients(grad: Any, *given: Any) -> Any:
        *arrays, needed = given
        found = run.backward(grad, arrays, needed)
        return one_or_all([empty(0) if found[at] is None else found[at] for at in places])

    def no_gradients(grad: Any, *given: Any) -> Any:
        return one_or_all([grad.new_empty(shapes[at] if given[-1][at] else (0,)) for at in places])

    _LIBRARY.impl(back, gradients, "CPU")
    torch.library.register_fake(f"symconv::{back}", no_gradients, lib=_LIBRARY)
    backward = getattr(torch.ops.symconv, back).default

    def save(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    def pull(ctx: Any, grad: Any) -> Any:
        needed = list(ctx.needs_input_grad)
        found = backward(grad.contiguous(), *ctx.saved_tensors, needed)
        found = found if len(places) > 1 else (found,)
        given: list[Any] = [None] * len(shapes)
        for at, tensor in zip(places, found, strict=True):
            given[at] = tensor if needed[at] else None
        return tuple(given)

    torch.library.register_autograd(f"symconv::{name}", pull, setup_context=save, lib=_LIBRARY)
    if run.order == 2:
        _define_second(back, run)
    else:
        torch.library.register_autograd(f"symconv::{back}", _no_second, lib=_LIBRARY)


def _no_second(ctx: Any, *changes: Any) -> Any:
    raise SymconvError("order = 1: must be 2 for second derivatives")


def _define_second(back: str, run: OnTensors) -> None:
    """Define the operator of second derivatives, and let the gradients' operator know it."""
    layer, places = run.layer, run.places
    shapes = [*layer.inputs.values()]
    inputs = ", ".join(f"Tensor {own}" for own in layer.inputs)
    changes = ", ".join(f"Tensor gg{at}" for at in places)
    results = ", ".join(["Tensor"] * (1 + len(places)))
    name = f"{back}_backward"
    _LIBRARY.define(f"{name}({changes}, Tensor grad_output, {inputs}) -> ({results})")

    def second(*given: Any) -> Any:
        count = len(places)
        return run.double_backward(given[:count], given[count], given[count + 1 :])

    def no_second(*given: Any) -> Any:
        of_grad = given[0].new_empty(layer.output_shape)
        return (of_grad, *(given[0].new_empty(shapes[at]) for at in places))

    _LIBRARY.impl(name, second, "CPU")
    torch.library.register_fake(f"symconv::{name}", no_second, lib=_LIBRARY)
    double = getattr(torch.ops.symconv, name).default

    def save(ctx: Any, inputs: Any, output: Any) -> None:
        grad, *arrays, needed = inputs
        ctx.save_for_backward(grad, *arrays)
        ctx.needed = needed

    def pull(ctx: Any, *changes: Any) -> Any:
        grad, *arrays = ctx.saved_tensors
        known = [
            change is not None and ctx.needed[at] for at, change in zip(places, changes, strict=True)
        ]
        given = [
            change.contiguous() if there else torch.zeros_like(arrays[at])
            for at, change, there in zip(places, changes, known, strict=True)
        ]
        of_grad, *found = double(*given, grad, *arrays)
        whole: list[Any] = [None] * len(arrays)
        for at, tensor in zip(places, found, strict=True):
            whole[at] = tensor
        return of_grad, *whole, None

    torch.library.register_autograd(f"symconv::{back}", pull, setup_context=save, lib=_LIBRARY)
