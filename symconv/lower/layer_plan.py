"""From a layer to the plan of its module: each function with its formula, stages and choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from symconv.kernel.language import Buffer, Kernel
from symconv.kernel.rewrite import fresh_name
from symconv.layers.layer import Layer
from symconv.layers.module_names import gradient_array, gradient_function, upstream_array
from symconv.lower.algorithms import Candidate
from symconv.lower.fourier import Fourier
from symconv.lower.lowering import Choose, as_ranked, lower_graph
from symconv.lower.options import Options
from symconv.lower.tiles import Filtered
from symconv.notation.backpropagation import gradient_of
from symconv.notation.contraction import Size, Tensor, integers
from symconv.notation.graph import Elementwise, Graph, folded, written
from symconv.notation.tangent import tangent_of


@dataclass(frozen=True)
class Array:
    """An array of the module: its name and shape."""

    name: str
    shape: tuple[Size, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape, in numbers."""
        return integers(self.shape)


@dataclass(frozen=True)
class Source:
    """A graph, what the module calls its tensors, how it is to be computed, and the layer's arguments.

    A constant that is one of these is not written again.
    """

    graph: Graph
    names: Mapping[str, str]
    options: Options
    given: frozenset[str] = frozenset()


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
    kernel
        How it is computed.
    choices
        For each correlation, the algorithms that apply, fastest first: the first one is in ``kernel``.
    source
        What it was planned from.
    """

    name: str
    inputs: tuple[Array, ...]
    results: tuple[Array, ...]
    by: tuple[str, ...]
    formula: Graph
    kernel: Kernel
    choices: tuple[tuple[Candidate, ...], ...]
    source: Source

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The algorithms that apply to the only correlation; empty if there is none."""
        return self.choices[0] if len(self.choices) == 1 else ()

    @property
    def fast(self) -> tuple[Filtered | Fourier, ...]:
        """The chosen algorithms that round more than plain sums do."""
        chosen = (choice[0].algorithm for choice in self.choices)
        return tuple(algorithm for algorithm in chosen if isinstance(algorithm, Filtered | Fourier))


@dataclass(frozen=True)
class Plan:
    """A module: the layer, its definition and its functions.

    ``backward`` computes what the gradients share once; None if they share nothing. ``second`` are
    ``jvp`` and ``double_backward``, if derivatives of second order are wanted. ``tuned``: algorithms
    were chosen by what was measured; ``calibrated``: by the constants of a machine.
    """

    layer: Layer
    definition: Graph
    forward: Function
    gradients: tuple[Function, ...]
    backward: Function | None
    second: tuple[Function, ...]
    accuracy: str = "direct"
    tuned: bool = False
    calibrated: bool = False

    @property
    def functions(self) -> tuple[Function, ...]:
        """All functions that are planned."""
        together = [self.backward] if self.backward else []
        return (self.forward, *self.gradients, *together, *self.second)

    @property
    def order(self) -> int:
        """The order of the derivatives that the module has."""
        return 2 if self.second else 1


def layer_plan(layer: Layer, order: int, options: Options) -> Plan:
    """Choose how each function of a layer's module is computed."""
    assert not layer.any_batch  # whose plan is what several have in common
    return Plan(
        layer,
        folded(layer.graph),
        _function(layer, "forward", (), tuple(layer.inputs), layer.forward, options),
        tuple(_gradient(layer, name, options) for name in layer.differentiable),
        _backward(layer, options),
        (_jvp(layer, options), _double_backward(layer, options)) if order == 2 else (),
        options.accuracy,
    )


def _jvp(layer: Layer, options: Options) -> Function:
    """Plan the change of the output; the inputs' changes come after them."""
    changes = {name: f"t{name}" for name in layer.differentiable}
    inputs = [*_inputs(layer), *(Array(changes[name], layer.inputs[name]) for name in changes)]
    return _planned(layer, "jvp", inputs, ["ty"], (), layer.tangent(), changes, options)


def _double_backward(layer: Layer, options: Options) -> Function:
    """Plan the gradients of ⟨the gradients, what comes before them⟩, by grad_output first."""
    by = layer.differentiable
    changes = {name: upstream_array(name) for name in by}
    inputs = [
        *(Array(changes[name], layer.inputs[name]) for name in by),
        Array("grad_output", layer.output_shape),
        *_inputs(layer),
    ]
    called = ["ggo", *map(gradient_array, by)]
    return _planned(
        layer, "double_backward", inputs, called, ("grad_output", *by), layer.second(), changes, options
    )


def plan_change(layer: Layer, by: Sequence[str], options: Options) -> Function:
    """Plan the change of the output when some inputs change; it takes what its formula reads."""
    graph, changes = layer.tangent(by), {name: f"t{name}" for name in by}
    return _planned(layer, "jvp", _read(layer, graph, changes), ["ty"], (), graph, changes, options)


def plan_second(layer: Layer, by: Sequence[str], options: Options) -> Function | None:
    """Plan the gradients of ⟨G, dO⟩ by the inputs that change; None if all are 0."""
    second = layer.second(by)
    zero = {written(s) for s in second.steps if isinstance(s, Elementwise) and s.expression == 0}
    kept = [name for name in by if gradient_of(layer.tensors[name]) not in zero]
    if not kept:
        return None
    graph = second.only(*(gradient_of(layer.tensors[name]).name for name in kept))
    changes = {name: f"t{name}" for name in by}
    inputs = [Array("grad_output", layer.output_shape), *_read(layer, graph, changes)]
    called = [gradient_array(name) for name in kept]
    return _planned(layer, "second", inputs, called, tuple(kept), graph, changes, options)


def _read(layer: Layer, graph: Graph, changes: Mapping[str, str]) -> list[Array]:
    """Return the inputs, and their changes, that a graph reads."""
    found = [a for a in _inputs(layer) if layer.tensors[a.name].name in graph.inputs]
    moved = {n: a for n, a in changes.items() if tangent_of(layer.tensors[n]).name in graph.inputs}
    return [*found, *(Array(array, layer.inputs[name]) for name, array in moved.items())]


def _inputs(layer: Layer) -> list[Array]:
    return [Array(name, shape) for name, shape in layer.inputs.items()]


def _gradient(layer: Layer, name: str, options: Options) -> Function:
    """Plan the gradient by one of forward's inputs; it takes what its formula reads."""
    graph = layer.backward_by(name)
    reads = tuple(n for n, t in layer.tensors.items() if t.name in graph.inputs)
    return _function(layer, gradient_function(name), (name,), reads, graph, options)


def _backward(layer: Layer, options: Options) -> Function | None:
    """Plan all gradients together where they share a step."""
    steps = [set(layer.backward_by(name).steps) for name in layer.differentiable]
    if sum(map(len, steps)) == len(set.union(*steps)):
        return None
    return _function(
        layer, "backward", layer.differentiable, tuple(layer.inputs), layer.backward, options
    )


def _function(
    layer: Layer, name: str, by: tuple[str, ...], reads: tuple[str, ...], graph: Graph, options: Options
) -> Function:
    """Plan a function that computes a graph's results from some of forward's inputs."""
    inputs = [Array(n, layer.inputs[n]) for n in reads]
    called = [gradient_array(n) for n in by] or ["y", *layer.updates]
    if by:
        inputs.insert(0, Array("grad_output", layer.output_shape))
    return _planned(layer, name, inputs, called, by, graph, {}, options)


def _planned(
    layer: Layer,
    name: str,
    inputs: Sequence[Array],
    called: Sequence[str],
    by: tuple[str, ...],
    graph: Graph,
    changes: Mapping[str, str],
    options: Options,
) -> Function:
    """Plan a function; ``called`` are its results, ``changes`` the arrays of the inputs' changes."""
    results = tuple(Array(n, t.sizes) for n, t in zip(called, graph.outputs, strict=True))
    source = Source(
        graph, _array_names(layer, graph, called, changes), options, frozenset(layer.arguments)
    )
    return planned(name, tuple(inputs), results, by, source)


def planned(
    name: str,
    inputs: tuple[Array, ...],
    results: tuple[Array, ...],
    by: tuple[str, ...],
    source: Source,
    choose: Choose = as_ranked,
) -> Function:
    """Plan a function; ``choose`` puts the candidates for its correlations in order."""
    found = lower_graph(source.graph, source.names, source.options, choose)
    formula = Graph(found.steps, source.graph.results)
    given = (*(Buffer(Tensor(a.name, a.shape), "input") for a in inputs),)
    returned = (*(Buffer(Tensor(a.name, a.shape), "output") for a in results),)
    own = [b if set(b.given) <= source.given else replace(b, given=()) for b in found.buffers]
    kernel = Kernel(name, (*given, *returned, *own), found.body)
    return Function(name, inputs, results, by, formula, kernel, found.choices, source)


def _array_names(
    layer: Layer, graph: Graph, called: Sequence[str], changes: Mapping[str, str]
) -> dict[str, str]:
    """Return what the module calls each tensor: a padded X ``extended``, its gradient ``spread``.

    Behind ``g`` is the gradient by a tensor, behind ``t`` its change.
    """
    names = {symbol: name for name, symbol in layer.symbols.items()} | {"G": "grad_output"}
    names |= {tangent_of(layer.tensors[name]).name: array for name, array in changes.items()}
    names |= {tensor.name: name for tensor, name in zip(graph.outputs, called, strict=True)}
    computed = {written(step).name for step in graph.steps}

    def array(tensor: str) -> str:
        if tensor in names:
            return names[tensor]
        if tensor.startswith("∂E/∂X"):
            return "spread"
        if tensor.startswith("∂E/∂"):
            return f"g{array(tensor.removeprefix('∂E/∂'))}"
        if tensor.startswith("∂"):
            return "_by_".join(map(array, tensor.removeprefix("∂").split("/∂")))
        if tensor.startswith("d") and tensor[1:] in computed | set(names):
            return f"t{array(tensor[1:])}"
        return "extended" if tensor.startswith("X") else tensor.lower()

    taken = set(names.values())
    own = sorted(computed - set(names))
    return names | {name: fresh_name(array(name), set(taken)) for name in own}
