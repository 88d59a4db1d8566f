"""The theorems about a network: its layers' theorems, and that their gradients compose."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from symconv.derive.network_view import by_tensor, drawn
from symconv.layers.entries import Node
from symconv.layers.layer import Layer
from symconv.layers.network import SEED, Network
from symconv.notation.arrays import evaluate_arrays
from symconv.notation.backpropagation import gradient_of, gradients
from symconv.notation.contraction import Tensor
from symconv.notation.graph import Step, renamed, written
from symconv.notation.text import shape_text
from symconv.prove.claims import Counterexample
from symconv.prove.theorems import Control, Theorem

AGREE = 1e-9

Values = NDArray[np.float64]
Named = dict[str, Values]  # by the names of the network's inputs and values


def network_theorems(
    network: Network, theorems_of: Callable[[Layer], Iterable[Theorem]]
) -> tuple[Theorem, ...]:
    """Return the theorems about each layer, equal ones once, and that about the whole."""
    users: dict[Layer, list[str]] = {}
    for node in network.nodes:
        users.setdefault(node.layer, []).append(node.name)
    own = [
        replace(theorem, name=f"{', '.join(names)}: {theorem.name}")
        for layer, names in users.items()
        for theorem in theorems_of(layer)
    ]
    small = network.smaller()  # the same network for fewer samples
    return (*own, _composition(small, all(theorem.holds for theorem in own)))


def _composition(network: Network, rests: bool) -> Theorem:
    """Compare the chain rule through the whole network with its layers' gradients, in reverse.

    Its proof rests on that the layers' theorems hold.
    """
    point = drawn(network)
    whole = _whole(network, point)
    finite = all(np.isfinite(array).all() for array in whole.values())
    counterexample = _difference(network, whole, _in_reverse(network, point)) if finite else None
    ones = _in_reverse(network, point, above=np.ones_like)
    controls = [
        Control(
            "each layer's own gradient, not times what comes from above",
            _difference(network, whole, ones),
        )
    ]
    wired = rests and _is_wired(network)
    grounds = [("symbolic", WIRED)] if wired else []
    if finite:
        agree = f"all {len(whole)} gradients agree in float64, for random numbers, to {AGREE:.0e}"
        grounds.append(("numeric", agree))
    sources = [
        source for node in network.nodes for source in node.sources if source not in network.values
    ]
    if len(set(sources)) < len(sources):
        wrong = _in_reverse(network, point, together=lambda before, last: last)
        found = _difference(network, whole, wrong)
        controls.append(Control("a value's gradient is its last reader's share alone", found))
    return Theorem(
        "C1",
        "the layers' gradients, computed one after the other in reverse, those through several readers "
        "added up, are the gradients of the network as one function",
        "refuted" if counterexample else "proved" if wired else "tested" if finite else "open",
        () if counterexample else tuple(grounds),
        counterexample,
        tuple(controls) if finite else (),
    )


WIRED = (
    "the multivariate chain rule: every layer's gradients are right for any ∂E/∂O (its own theorems), "
    "the network's graph is its layers' graphs, each reading only its parameters and the values that it "
    "takes, and every value is computed once"
)


def _is_wired(network: Network) -> bool:
    """Whether the network's graph is the composition of its layers' graphs, and nothing else."""
    # composed here once more, on purpose: what is compared must not be made by what it is compared with
    own = network.tensors
    values = {name: own[name] for name in network.values}
    expected: dict[str, Step] = {}
    for node in network.nodes:
        graph = node.layer.graph.only(node.layer.graph.output.name)
        tensors = {
            tensor.name: values[node.data[name]]
            if name in node.data
            else network.tensors[node.own(name)]
            for name, tensor in node.layer.tensors.items()
        }
        for target in map(written, graph.steps):
            tensors[target.name] = Tensor(f"{node.name}.{target.name}", target.shape)
        values[node.name] = Tensor(node.name, graph.output.shape)
        tensors[graph.output.name] = values[node.name]
        for step in graph.steps:
            step = renamed(step, tensors)
            expected[written(step).name] = step
    steps = {written(step).name: step for step in network.graph.steps}
    return len(steps) == len(network.graph.steps) and steps == expected


def _whole(network: Network, point: Named) -> Named:
    """Return the gradients that the chain rule through the network's own graph gives."""
    tensors = network.tensors
    back = gradients(network.energy, [tensors[name] for name in network.differentiable], SEED)
    given = by_tensor(network, point)
    return {
        name: evaluate_arrays(back.only(gradient_of(tensors[name]).name), given)
        for name in network.differentiable
    }


def _in_reverse(
    network: Network,
    point: Named,
    together: Callable[[Values, Values], Values] = np.add,
    above: Callable[[Values], Values] = np.asarray,
) -> Named:
    """Compute every layer's output as it is computed, then each layer's gradients, the last one first.

    ``together`` puts a share to what other readers of a value gave, ``above`` is done to what comes
    from the layers behind.
    """
    values = dict(point)
    for node in network.nodes:
        layer = node.layer
        output = layer.forward.only(layer.forward.output.name)
        values[node.name] = evaluate_arrays(output, _given(node, values))
    found: Named = {name: point[g.name] for name, g in network.cotangents.items()}
    for node in reversed(network.nodes):
        given = _given(node, values)
        given[node.layer.cotangent.name] = above(found[node.name])
        for name in node.layer.differentiable:
            share = evaluate_arrays(node.layer.backward_by(name), given)
            of = node.own(name)
            found[of] = together(found[of], share) if of in found else share
    return {name: found[name] for name in network.differentiable}


def _given(node: Node, values: Named) -> Named:
    """Return what a layer reads, by the names of its tensors."""
    return {tensor.name: values[node.own(name)] for name, tensor in node.layer.tensors.items()}


def _difference(network: Network, right: Named, claimed: Named) -> Counterexample | None:
    """Return where gradients differ most; None if they agree."""
    scale = max(float(np.abs(array).max(initial=0.0)) for array in right.values())
    errors = {name: np.abs(array - claimed[name]) for name, array in right.items()}
    name = max(errors, key=lambda name: float(errors[name].max(initial=0.0)))
    if errors[name].max(initial=0.0) <= AGREE * scale:
        return None
    at = np.unravel_index(int(np.argmax(errors[name])), errors[name].shape)
    place = ", ".join(str(int(i)) for i in at)
    text = f"∂E/∂{name}[{place}] = {right[name][at]:g}, but the claim gives {claimed[name][at]:g}"
    sizes = ", ".join(f"{name} {shape_text(shape)}" for name, shape in network.values.items())
    return Counterexample(sizes, text, right[name], claimed[name])
