"""From a layer to the plan of its module: each function with its formula, stages and choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from symconv.layers.layer import Layer
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
    name, inputs, results
        What it is called, takes and returns.
    by
        The inputs that it returns the gradients by; none for ``forward``.
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
    results: tuple[Array, ...]
    by: tuple[str, ...]
    formula: Graph
    stages: tuple[Stage, ...]
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Plan:
    """A module: the layer and its functions.

    ``backward`` computes what the gradients share once; None if they share nothing.
    """

    layer: Layer
    forward: Function
    gradients: tuple[Function, ...]
    backward: Function | None

    @property
    def functions(self) -> tuple[Function, ...]:
        """All functions, in the module's order."""
        return (self.forward, *self.gradients, *([self.backward] if self.backward else []))


def plan_layer(layer: Layer) -> Plan:
    """Choose how each function of a layer's module is computed."""
    return Plan(
        layer,
        _function(layer, "forward", (), tuple(layer.inputs), layer.forward),
        tuple(_gradient(layer, name) for name in layer.differentiable),
        _backward(layer),
    )


def _gradient(layer: Layer, name: str) -> Function:
    """Plan the gradient by one of forward's inputs; it takes what its formula reads."""
    graph = layer.backward_by(name)
    reads = tuple(n for n, t in layer.tensors.items() if t.name in graph.inputs)
    return _function(layer, f"{_WORDS.get(name, name)}_gradient", (name,), reads, graph)


def _backward(layer: Layer) -> Function | None:
    """Plan all gradients together where they share a step."""
    steps = [set(layer.backward_by(name).steps) for name in layer.differentiable]
    if sum(map(len, steps)) == len(set.union(*steps)):
        return None
    return _function(layer, "backward", layer.differentiable, tuple(layer.inputs), layer.backward)


def _function(
    layer: Layer, name: str, by: tuple[str, ...], reads: tuple[str, ...], graph: Graph
) -> Function:
    """Plan a function that computes a graph's results from some of forward's inputs."""
    inputs = [Array(n, layer.inputs[n]) for n in reads]
    called = [f"g{_SHORT.get(n, n)}" for n in by] or ["y", *layer.updates]
    if by:
        inputs.insert(0, Array("grad_output", layer.output_shape))
    results = tuple(Array(n, t.sizes) for n, t in zip(called, graph.outputs, strict=True))
    plan = plan_graph(graph, _array_names(layer, graph, called))
    formula = Graph(plan.steps, graph.results)
    return Function(name, tuple(inputs), results, by, formula, plan.stages, plan.candidates)


def _array_names(layer: Layer, graph: Graph, called: Sequence[str]) -> dict[str, str]:
    """Return what the module calls each tensor: a padded X ``extended``, its gradient ``spread``."""
    names = {symbol: name for name, symbol in layer.symbols.items()} | {"G": "grad_output"}
    for step in graph.steps:
        name = written(step).name
        of = name.removeprefix("∂E/∂")
        if of.startswith("X") and name not in names:
            names[name] = "extended" if name == of else "spread"
        else:
            of = names.get(of, of)
            names.setdefault(name, of.lower() if name == of else f"g{of.lower()}")
    return names | {tensor.name: name for tensor, name in zip(graph.outputs, called, strict=True)}
