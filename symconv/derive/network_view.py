"""The derivation of a network: its layers one after the other, then the chain rule in reverse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from symconv.derive.graph_view import formula
from symconv.derive.steps import Check, Formula, Step
from symconv.layers.entries import Node
from symconv.layers.layer import Layer
from symconv.layers.network import SEED, Network
from symconv.layers.random_labels import labels_of
from symconv.notation.arrays import evaluate_arrays
from symconv.notation.backpropagation import gradient_of, gradients, varying_with
from symconv.notation.contraction import Access, Program, Tensor, index
from symconv.notation.graph import Elementwise, Graph, renamed, written
from symconv.notation.graph import Step as GraphStep
from symconv.notation.names import element
from symconv.notation.text import (
    access_latex,
    access_text,
    assignments,
    name_latex,
    shape_latex,
    shape_text,
)

STEP, MOST = 1e-6, 1e-5  # of a difference quotient in float64, and its relative error

Values = NDArray[np.float64]
Steps = Callable[[Layer], Sequence[Step]]


def network_steps(network: Network, steps_of: Steps) -> tuple[Step, ...]:
    """Return the derivation of every parameter's gradient; ``steps_of`` derives a layer's on its own."""
    by = [network.tensors[name] for name in network.trained] or [
        network.tensors[name] for name in network.values
    ]
    varying = {tensor.name for tensor in varying_with(network.energy, by)}
    through = [node for node in reversed(network.nodes) if node.name in varying]
    checks = {node.layer: _checked(steps_of(node.layer)) for node in through}
    back = [_through(network, node, varying, checks[node.layer]) for node in through]
    return (_forward(network), *back, _whole(network, by))


def _checked(steps: Sequence[Step]) -> Check:
    passed = all(step.check.passed for step in steps)
    count = len(steps)
    return Check(f"all {count} steps of this layer's own derivation were checked", passed)


def _forward(network: Network) -> Step:
    """List the layers, what they take, and the shapes of what they give."""
    rows = []
    for node in network.nodes:
        masks = [node.own(name) for name in node.layer.masks]
        taken = [*node.sources, *masks, *node.layer.label_names]
        given = [network.tensors[n].name if n in network.tensors else n for n in taken]
        rows.append((node.name, type(node.layer).__name__, given, node.layer.output_shape))
    text = [
        f"{name} = {kind}({', '.join(given)}): {shape_text(sizes)}" for name, kind, given, sizes in rows
    ]
    latex = [
        rf"{name_latex(name)} &= \text{{{kind}}}({', '.join(map(name_latex, given))}) :"
        rf"\ {shape_latex(sizes)}"
        for name, kind, given, sizes in rows
    ]
    energy = evaluate_arrays(network.energy, by_tensor(network, drawn(network)))
    finite = bool(np.isfinite(energy))
    values = [(network.tensors[name].name, sizes) for name, sizes in network.values.items()]
    return Step(
        "Define the network (forward), layer by layer",
        Formula(
            "\n".join(f"{x}: {shape_text(sizes)}" for x, sizes in values),
            " \\\\\n".join(rf"{name_latex(x)} &:\ {shape_latex(sizes)}" for x, sizes in values),
        ),
        Formula("\n".join(text), " \\\\\n".join(latex)),
        "each layer takes what the layers named in brackets give",
        Check("every output has its shape, and is finite, for random numbers", finite),
    )


def _through(network: Network, node: Node, varying: set[str], check: Check) -> Step:
    """Go back through one layer: from the gradient by what it gives to those by what it takes."""
    tensors = {name: _in_network(network, node, name) for name in node.layer.differentiable}
    by = [name for name, tensor in tensors.items() if tensor.name in varying]
    layer = node.layer
    output = Tensor(node.name, layer.output_shape)
    back = backward_graph(network, node, by)
    chains = [_chain(_element(tensors[name], back.steps), output) for name in by]
    names_of = [tensors[name].name for name in by]
    acts = " and ".join(names_of)
    verb = "influences" if len(names_of) == 1 else "influence"
    reason = f"{acts} {verb} E only through the output of {node.name}, {shape_text(layer.output_shape)}"
    if node.is_loss:
        reason += f"; E is {node.name}: ∂E/∂{node.name} = 1"
    for source in dict.fromkeys(node.sources):
        others = [other.name for other in network.nodes if source in other.sources]
        if len(others) > 1 and source in varying:
            reason += f"; ∂E/∂{source} is the sum of what comes through {' and '.join(others)}"
    return Step(
        f"Go back through {node.name}: {type(layer).__name__}",
        Formula("\n".join(text for text, _ in chains), " \\\\\n".join(latex for _, latex in chains)),
        formula(back),
        reason,
        check,
    )


def forward_graph(network: Network, node: Node) -> Graph:
    """Return a layer's graph with the network's names for its tensors."""
    return _named(node.layer.graph, _names(network, node))


def backward_graph(network: Network, node: Node, by: Sequence[str]) -> Graph:
    """Return the graph of a layer's gradients, for some of its inputs, with the network's names."""
    layer = node.layer
    back = gradients(layer.graph, [layer.tensors[name] for name in by], layer.cotangent)
    names = _names(network, node)
    return _named(back, names | _slopes(back, names))


def _named(graph: Graph, names: Mapping[str, Tensor]) -> Graph:
    return Graph(tuple(renamed(step, names) for step in graph.steps))


def _names(network: Network, node: Node) -> dict[str, Tensor]:
    """Return the network's tensors for those of a layer and their gradients, by the layer's names."""
    layer = node.layer
    tensors = {name: _in_network(network, node, name) for name in layer.tensors}
    output = Tensor(node.name, layer.output_shape)
    names = {layer.tensors[name].name: tensor for name, tensor in tensors.items()}
    names |= {gradient_of(layer.tensors[n]).name: gradient_of(t) for n, t in tensors.items()}
    return names | {layer.graph.output.name: output, layer.cotangent.name: gradient_of(output)}


def _in_network(network: Network, node: Node, name: str) -> Tensor:
    """Return the network's tensor for one of a layer's inputs."""
    if name not in node.data:
        return network.tensors[node.own(name)]
    source = node.data[name]
    return network.tensors.get(source) or Tensor(source, node.layer.inputs[name])


def _slopes(back: Graph, names: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name the derivatives of a layer's parts, ∂O/∂V, after what the network calls them."""
    found = {}
    for tensor in map(written, back.steps):
        of, _, by = tensor.name.removeprefix("∂").partition("/∂")
        if tensor.name not in names and by:
            symbols = [names[symbol].name if symbol in names else symbol for symbol in (of, by)]
            found[tensor.name] = Tensor("∂{}/∂{}".format(*symbols), tensor.sizes)
    return found


def _element(tensor: Tensor, steps: Sequence[GraphStep]) -> Access:
    """Return the element that the formula of a tensor's gradient gives; any, if that adds to many."""
    step = next(step for step in steps if written(step) == gradient_of(tensor))
    if isinstance(step, Elementwise):
        return tensor[step.target.subscripts]
    signs = assignments(step) if isinstance(step, Program) else {}
    if list(signs.values()) == ["="]:
        return tensor[next(iter(signs)).subscripts]
    return tensor[tuple(map(index, element(len(tensor.sizes))))]


def _chain(place: Access, output: Tensor) -> tuple[str, str]:
    """Write the chain rule for one element, as text and as LaTeX."""
    cell, below = access_text(place), access_latex(place)
    value = name_latex(output.name)
    return (
        f"∂E/∂{cell} = Σ ∂E/∂{output.name} · ∂{output.name}/∂{cell}",
        rf"\frac{{\partial E}}{{\partial {below}}} &= \sum \frac{{\partial E}}{{\partial {value}}} \, "
        rf"\frac{{\partial {value}}}{{\partial {below}}}",
    )


def _whole(network: Network, by: list[Tensor]) -> Step:
    """Compare all gradients together with a difference quotient of the whole network."""
    shapes = {tensor.name: tensor.sizes for tensor in by}
    text = "\n".join(f"∂E/∂{name}: {shape_text(sizes)}" for name, sizes in shapes.items())
    latex = " \\\\\n".join(
        rf"{name_latex(f'∂E/∂{name}')} &:\ {shape_latex(sizes)}" for name, sizes in shapes.items()
    )
    names = ", ".join(shapes)
    return Step(
        "Collect all gradients",
        Formula(f"∂E/∂θ for θ = {names}", r"&\frac{\partial E}{\partial \theta}"),
        Formula(text, latex),
        "each gradient was found on the way back; a layer needs only its inputs and the gradient with "
        "respect to its output",
        Check(
            f"⟨∂E/∂θ, V⟩ equals the difference quotient of E in float64, to {MOST:.0e}, for random V",
            _is_the_slope(network, by),
        ),
    )


def _is_the_slope(network: Network, by: list[Tensor]) -> bool:
    rng = np.random.default_rng(1)
    point = by_tensor(network, drawn(network))
    ways = {tensor.name: rng.standard_normal(tensor.sizes) for tensor in by}

    def energy(h: float) -> float:
        moved = {name: array + h * ways.get(name, 0.0) for name, array in point.items()}
        return float(evaluate_arrays(network.energy, moved))

    back = gradients(network.energy, by, SEED)
    slope = sum(
        float(np.sum(evaluate_arrays(back.only(gradient_of(t).name), point) * ways[t.name])) for t in by
    )
    quotient = (energy(STEP) - energy(-STEP)) / (2 * STEP)
    return abs(slope - quotient) <= MOST * max(abs(slope), 1e-6)


def drawn(network: Network) -> dict[str, Values]:
    """Return random numbers for what the network reads, and the gradient by its output, by name.

    Positive ones where others have no finite output, as behind a logarithm.
    """
    for positive in (False, True):
        found = _drawn(network, positive)
        with np.errstate(all="ignore"):
            energy = evaluate_arrays(network.energy, by_tensor(network, found))
        if np.isfinite(energy):
            break
    return found


def by_tensor(network: Network, values: Mapping[str, Values]) -> dict[str, Values]:
    """Return numbers by the names of the network's tensors."""
    named = {t.name: np.asarray(values[name], float) for name, t in network.tensors.items()}
    return named | {g.name: values[g.name] for g in (SEED, *network.cotangents.values())}


def _drawn(network: Network, positive: bool) -> dict[str, Values]:
    """Return random numbers; weights as small as a fan-in asks."""
    rng = np.random.default_rng(0)
    found: dict[str, Values] = {}
    for name, tensor in network.tensors.items():
        if name in network.classes:
            found[name] = labels_of(network, name, rng).astype(float)
            continue
        if name in network.masks:
            found[name] = (rng.random(tensor.sizes) < network.masks[name]).astype(float)
            continue
        fan_in = max(prod(tensor.sizes[1:]), 1) if name in network.parameters else 1
        found[name] = rng.standard_normal(tensor.sizes) / fan_in**0.5
        if positive or name.endswith("running_var"):
            found[name] = np.abs(found[name]) + 0.25
    found[SEED.name] = np.ones(())
    for g in network.cotangents.values():
        found[g.name] = np.ones(()) if network.loss else np.asarray(rng.uniform(0.5, 1, g.sizes))
    return found
