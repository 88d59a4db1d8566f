"""A model with layers replaced by symconv's where that is faster."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

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
    order: int = 1,
    target: str | None = None,
    accuracy: str = "direct",
    measure: bool = True,
) -> Conversion:
    """Return a copy of a model whose layers are computed by symconv where that is faster.

    Names, parameters and the state dict stay as they are. A replaced module computes inputs of the
    example's shape and dtype. PyTorch's own computes others, such as an epoch's last batch, and what is
    under automatic casts, compiled, exported or traced.

    Parameters
    ----------
    model
        The model, on the CPU. It is not changed.
    example
        Arguments of the model: the shapes in it are those that the layers are generated for.
    order, target, accuracy
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
    if not isinstance(model, nn.Module):
        raise SymconvError(f"model = {type(model).__name__}: must be a module of PyTorch")
    for name, tensor in model.named_parameters():
        if not tensor.is_cpu:
            raise SymconvError(f"{name}: is on {tensor.device}: only the CPU is supported")
    converted = copy.deepcopy(model)
    rows = []
    known: dict[Layer, float] = {}
    how = (order, target, accuracy)
    for name, (module, tensors) in _seen(converted, example).items():
        kind = type(module).__name__
        try:
            layer = _layer(module, tensors)
            if layer not in known:
                made = _made(layer, *how)
                known[layer] = _ratio(module, layer, made) if measure else 0.0
        except SymconvError as error:
            rows.append(Row(name, kind, 0.0, str(error)))
            continue
        ratio = known[layer]
        if ratio >= 1:
            rows.append(Row(name, kind, ratio, "PyTorch's is as fast"))
            continue
        module.forward = _Replaced(module, layer, how)
        rows.append(Row(name, kind, ratio))
    return Conversion(converted, tuple(rows))


@cache
def _made(layer: Layer, order: int, target: str | None, accuracy: str) -> Callable[..., Any]:
    return function(layer, order, target, accuracy)


class _Replaced:
    """The forward pass of a module that symconv computes where it can; it is copied and pickled."""

    def __init__(self, module: nn.Module, layer: Layer, how: tuple[int, str | None, str]) -> None:
        self.module, self.layer, self.how = module, layer, how
        self.dtype = getattr(torch, layer.dtype)

    def __call__(self, input: Any) -> Any:  # what PyTorch's modules call it
        fits = tuple(input.shape) == self.layer.input_shape and input.dtype == self.dtype
        if not fits or not input.is_cpu or torch.is_autocast_enabled("cpu") or _is_traced(input):
            return type(self.module).forward(self.module, input)
        made = _made(self.layer, *self.how)
        return made(input.contiguous(), *parameters_of(self.layer, self.module))


def _is_traced(tensor: Any) -> bool:
    """Whether PyTorch compiles, exports or traces."""
    if torch.compiler.is_compiling() or torch.jit._trace.is_tracing():
        return True
    return isinstance(tensor, FakeTensor)


def _seen(model: nn.Module, example: Sequence[Any]) -> dict[str, tuple[nn.Module, list[Any]]]:
    """Run a model, and return its modules without children that were called, with what they took."""
    found: dict[str, tuple[nn.Module, list[Any]]] = {}
    hooks = []
    for name, module in model.named_modules():
        if not any(module.children()):
            taken: list[Any] = []
            found[name] = (module, taken)
            hooks.append(module.register_forward_hook(lambda m, given, out, to=taken: to.append(given)))
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            model.train(False)(*example)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise SymconvError(f"example: the model does not take it: {said}") from error
    finally:
        for module, mode in modes.items():
            module.training = mode
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
    params = parameters_of(layer, module)
    trained = [x, *(p for p in params if p.requires_grad)]

    def ours() -> None:
        torch.autograd.grad(made(x, *params), trained, grad)

    def theirs() -> None:
        torch.autograd.grad(module(x), trained, grad)

    calls = max(1, int(LEAST / max(_seconds(theirs, 2), 1e-9)))
    _seconds(ours, 2)
    pairs = [(_seconds(ours, calls), _seconds(theirs, calls)) for _ in range(ROUNDS)]
    return statistics.median(a for a, _ in pairs) / statistics.median(b for _, b in pairs)


def _seconds(call: Callable[[], None], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times
