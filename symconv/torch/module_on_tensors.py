"""A layer's module on PyTorch's tensors: memory is shared, and nothing is copied."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import torch

from symconv.errors import SymconvError
from symconv.files import compiler
from symconv.layers.layer import Layer
from symconv.layers.module_names import gradient_function
from symconv.verbs import a_layer, generate

Tensors = tuple[Any, ...]  # torch.Tensor is Any where PyTorch is not installed


@dataclass(frozen=True)
class OnTensors:
    """The functions of a layer's module, which take and return tensors of the CPU."""

    layer: Layer
    order: int
    module: ModuleType

    @cached_property
    def places(self) -> tuple[int, ...]:
        """The places of the inputs that have gradients."""
        names = self.layer.differentiable
        return tuple(at for at, name in enumerate(self.layer.inputs) if name in names)

    @cached_property
    def gradients(self) -> dict[int, tuple[Any, tuple[int, ...]]]:
        """By an input's place: the function of its gradient, and the places of what that takes.

        Place -1 is the upstream gradient.
        """
        names = [*self.layer.inputs]
        found = {}
        for at in self.places:
            function = getattr(self.module, gradient_function(names[at]))
            parameters = inspect.signature(function).parameters.values()
            taken = [p.name for p in parameters if p.kind != p.KEYWORD_ONLY]
            found[at] = (function, tuple(-1 if n == "grad_output" else names.index(n) for n in taken))
        return found

    def forward(self, inputs: Sequence[Any]) -> Any:
        """Return the output, or the outputs."""
        found = self.module.forward(*_arrays(inputs))
        return tuple(map(torch.from_numpy, found)) if isinstance(found, tuple) else _tensor(found)

    def backward(self, grad: Any, inputs: Sequence[Any], needed: Sequence[bool]) -> list[Any]:
        """Return the gradient with respect to each input that needs it; None for the others."""
        wanted = [at for at in self.places if needed[at]]
        results: list[Any] = [None] * len(inputs)
        if len(wanted) == len(self.places) > 1:
            found = self.module.backward(*_arrays((grad, *inputs)))
            for at, array in zip(self.places, found, strict=True):
                results[at] = _tensor(array)
            return results
        arrays = _arrays((*inputs, grad))
        for at in wanted:
            function, taken = self.gradients[at]
            results[at] = _tensor(function(*(arrays[place] for place in taken)))
        return results

    def tangent(self, inputs: Sequence[Any], changes: Sequence[Any]) -> Any:
        """Return the output's change to first order."""
        return _tensor(self.module.jvp(*_arrays((*inputs, *changes))))

    def double_backward(self, changes: Sequence[Any], grad: Any, inputs: Sequence[Any]) -> Tensors:
        """Return the gradients of second order: of the upstream gradient, then of the inputs."""
        return tuple(map(_tensor, self.module.double_backward(*_arrays((*changes, grad, *inputs)))))


def on_tensors(layer: Layer, order: int, target: str | None, accuracy: str) -> OnTensors:
    """Return a layer's functions; by default in C where there is a compiler.

    Raises
    ------
    SymconvError
        If an argument is not valid.
    """
    if a_layer(layer).network:
        raise SymconvError("layer: must be a single layer, not a network")
    chosen = target or ("c" if compiler() and not layer.any_batch else "numpy")
    unit = generate(layer, "layer", order=order, accuracy=accuracy, target=chosen)
    return OnTensors(layer, order, unit.load())


def check_places(tensors: Sequence[Any]) -> bool:
    """Return whether a tensor requires a gradient; refuse those of another device, and casts.

    Raises
    ------
    SymconvError
        If there are any.
    """
    differentiated = False
    try:
        for tensor in tensors:
            if not tensor.is_cpu:
                raise SymconvError(f"a tensor is on {tensor.device}: only the CPU is supported")
            differentiated = differentiated or tensor.requires_grad
    except AttributeError as error:
        raise SymconvError(f"received a {type(tensor).__name__}: must be a tensor of PyTorch") from error
    if torch.is_autocast_enabled("cpu"):
        raise SymconvError("torch.autocast: must be off, since a layer has one dtype")
    return differentiated


def _arrays(tensors: Sequence[Any]) -> list[Any]:
    return [tensor.detach().numpy() for tensor in tensors]


def _tensor(array: Any) -> Any:
    return torch.from_numpy(array)
