"""A model with layers replaced by symconv's where that is faster."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from symconv.errors import SymconvError
from symconv.layers.layer import Layer
from symconv.notation.layout import table
from symconv.torch.autograd_functions import function
from symconv.torch.modules_as_layers import layer_of, parameters_of

ROUNDS = 7  # of which a time is the median
LEAST = 0.002  # seconds of a round


@dataclass(frozen=True)
class Row:
    """What became of a module.

    Attributes
    ----------
    name
        Its name in the model.
    kind
        Its class.
    ratio
        The time of symconv's forward and backward pass over that of PyTorch's; 0 if nothing was timed.
    kept
        Why PyTorch's module was kept; empty if it was replaced.
    """

    name: str
    kind: str
    ratio: float
    kept: str = ""


class Conversion(NamedTuple):
    """A converted model, and what became of each of its modules."""

    model: nn.Module
    rows: tuple[Row, ...]

    def text(self) -> str:
        """Return a line for each module."""
        cells = [("module", "class", "time / PyTorch's", "")]
        for row in self.rows:
            said = f"kept: {row.kept}" if row.kept else "replaced"
            cells.append((row.name, row.kind, f"{row.ratio:.2f}" if row.ratio else "", said))
        return table(cells)


def convert(
    model: nn.Module,
    *example: Any,
    target: str | None = None,
    accuracy: str = "direct",
    measure: bool = True,
) -> Conversion:
    """Return a copy of a model whose layers are computed by symconv where that is faster.

    Names, parameters and the state dict stay as they are. A replaced module computes inputs of the
    example's shape; PyTorch computes those of other shapes, such as an epoch's last batch.

    Parameters
    ----------
    model
        The model, on the CPU. It is not changed.
    example
        Arguments of the model: the shapes in it are those that the layers are generated for.
    target, accuracy
        As for :func:`function`.
    measure
        Whether each layer is timed in turns with PyTorch's own, with as many threads as PyTorch has, and
        kept unless symconv's is faster. False replaces every layer that can be.

    Raises
    ------
    SymconvError
        If a parameter is not on the CPU.

    Examples
    --------
    >>> model, rows = symconv.torch.convert(resnet, x)  # doctest: +SKIP
    """
    for name, tensor in model.named_parameters():
        if not tensor.is_cpu:
            raise SymconvError(f"{name}: is on {tensor.device}: only the CPU is supported")
    converted = copy.deepcopy(model)
    rows = []
    known: dict[Layer, tuple[Callable[..., Any], float]] = {}
    for name, (module, tensors) in _seen(converted, example).items():
        kind = type(module).__name__
        try:
            layer = _layer(module, tensors)
            if layer not in known:
                made = function(layer, target=target, accuracy=accuracy)
                known[layer] = (made, _ratio(module, layer, made) if measure else 0.0)
        except SymconvError as error:
            rows.append(Row(name, kind, 0.0, str(error)))
            continue
        made, ratio = known[layer]
        if ratio >= 1:
            rows.append(Row(name, kind, ratio, "PyTorch's is as fast"))
            continue
        module.forward = _Replaced(module, layer, made)
        rows.append(Row(name, kind, ratio))
    return Conversion(converted, tuple(rows))


class _Replaced:
    """The forward pass of a module that symconv computes."""

    def __init__(self, module: nn.Module, layer: Layer, made: Callable[..., Any]) -> None:
        self.module, self.layer, self.made = module, layer, made
        self.dtype = getattr(torch, layer.dtype)

    def __call__(self, x: Any) -> Any:
        if tuple(x.shape) != self.layer.input_shape or x.dtype != self.dtype:
            return type(self.module).forward(self.module, x)
        return self.made(x.contiguous(), *parameters_of(self.layer, self.module))


def _seen(model: nn.Module, example: Sequence[Any]) -> dict[str, tuple[nn.Module, list[Any]]]:
    """Run a model, and return its modules without children that were called, with what they took."""
    found: dict[str, tuple[nn.Module, list[Any]]] = {}
    hooks = []
    for name, module in model.named_modules():
        if not any(module.children()):
            taken: list[Any] = []
            found[name] = (module, taken)
            hooks.append(module.register_forward_hook(lambda m, given, out, to=taken: to.append(given)))
    with torch.no_grad():
        training = model.training
        model.train(False)(*example)
        model.train(training)
    for hook in hooks:
        hook.remove()
    return {name: entry for name, entry in found.items() if entry[1]}


def _layer(module: nn.Module, calls: Sequence[Any]) -> Layer:
    """Return the layer of a module that is called once, or always with the same shape."""
    if getattr(module, "inplace", False):
        raise SymconvError("changes its input in place")
    shapes = {tuple(given[0].shape) for given in calls if len(given) == 1}
    if len(shapes) != 1 or any(len(given) != 1 for given in calls):
        raise SymconvError("takes inputs of several shapes, or several inputs")
    dtype = str(calls[0][0].dtype).removeprefix("torch.")
    return layer_of(module, shapes.pop(), dtype)


def _ratio(module: nn.Module, layer: Layer, made: Callable[..., Any]) -> float:
    """Return the time of a layer over that of PyTorch's module, forward and backward, in turns."""
    dtype = getattr(torch, layer.dtype)
    x = torch.randn(layer.input_shape, dtype=dtype, requires_grad=True)
    grad = torch.randn(layer.output_shape, dtype=dtype)
    inputs = [x, *(p.detach().clone().requires_grad_() for p in parameters_of(layer, module))]

    def ours() -> None:
        torch.autograd.grad(made(*inputs), inputs, grad)

    def theirs() -> None:
        torch.autograd.grad(module(x), [x, *module.parameters()], grad)

    calls = max(1, int(LEAST / max(_seconds(theirs, 2), 1e-9)))
    _seconds(ours, 2)
    pairs = [(_seconds(ours, calls), _seconds(theirs, calls)) for _ in range(ROUNDS)]
    return statistics.median(a for a, _ in pairs) / statistics.median(b for _, b in pairs)


def _seconds(call: Callable[[], None], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times
