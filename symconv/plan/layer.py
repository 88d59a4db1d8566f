"""From a layer to the plan of its module: each function with its formula, stages and choice."""

from __future__ import annotations

from dataclasses import dataclass

from symconv.layers.layer import Layer
from symconv.notation.backpropagation import gradient_of
from symconv.notation.graph import Graph, written
from symconv.plan.algorithms import Candidate, Stage
from symconv.plan.graph import plan_graph

_SHORT = {"weight": "w", "bias": "b"}  # in the names of gradients: gw, gb
_WORDS = {"x": "input"}  # in the names of functions: input_gradient


@dataclass(frozen=True)
class Array:
    """An array of the module: its name and shape."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Function:
    """A function of the module.

    Parameters
    ----------
    name, inputs, result
        What it is called, takes and returns.
    by
        The input that it is the gradient by; empty for ``forward``.
    formula
        What it computes; a strided write in its solved form.
    stages
        What it does, in order.
    candidates
        The algorithms that apply to its correlation, fastest first: the first one is in ``stages``.
        Empty if it has no correlation.
    """

    name: str
    inputs: tuple[Array, ...]
    result: Array
    by: str
    formula: Graph
    stages: tuple[Stage, ...]
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Plan:
    """A module: the layer and its functions, ``forward`` first."""

    layer: Layer
    forward: Function
    gradients: tuple[Function, ...]


def plan_layer(layer: Layer) -> Plan:
    """Choose how each function of a layer's module is computed."""
    inputs = tuple(Array(name, shape) for name, shape in layer.inputs.items())
    output = Array("y", layer.output_shape)
    return Plan(
        layer,
        _function(layer, "forward", "", inputs, output, layer.forward),
        tuple(_gradient(layer, name) for name in layer.differentiable),
    )


def _gradient(layer: Layer, name: str) -> Function:
    """Plan the gradient by one of forward's inputs; it takes what its formula reads."""
    graph = layer.backward.only(gradient_of(layer.tensors[name]).name)
    arrays = [Array("grad_output", layer.output_shape)]
    arrays += [Array(n, t.sizes) for n, t in layer.tensors.items() if t.name in graph.inputs]
    result = Array(f"g{_SHORT.get(name, name)}", layer.inputs[name])
    return _function(layer, f"{_WORDS.get(name, name)}_gradient", name, tuple(arrays), result, graph)


def _function(
    layer: Layer, name: str, by: str, inputs: tuple[Array, ...], result: Array, graph: Graph
) -> Function:
    plan = plan_graph(graph, _array_names(layer, graph, result))
    return Function(name, inputs, result, by, Graph(plan.steps), plan.stages, plan.candidates)


def _array_names(layer: Layer, graph: Graph, result: Array) -> dict[str, str]:
    """Return what the module calls each tensor: a padded X ``extended``, its gradient ``spread``."""
    names = {tensor.name: name for name, tensor in layer.tensors.items()} | {"G": "grad_output"}
    for step in graph.steps:
        name = written(step).name
        of = name.removeprefix("∂E/∂")
        if of.startswith("X"):
            names.setdefault(name, "extended" if name == of else "spread")
        else:
            names.setdefault(name, of.lower() if name == of else f"g{of.lower()}")
    names[graph.output.name] = result.name
    return names
