"""The derivation of a layer of several steps: its definition, the chain rule, the closed form."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np

from symconv.derive.graph_view import chain_formula, formula, spaces_formula
from symconv.derive.steps import Check, Step
from symconv.layers.layer import Layer
from symconv.layers.random_labels import labels_of
from symconv.notation.evaluate import Values, evaluate
from symconv.notation.graph import Graph

DIGITS = 40


def composite_steps(layer: Layer) -> tuple[Step, ...]:
    """Return the derivation of every gradient of a layer of several steps."""
    small = layer.smaller()
    steps = [
        Step(
            "Define the output (forward)",
            spaces_formula(layer),
            formula(layer.graph),
            "this is the layer's definition",
            _finite(small),
        )
    ]
    if layer.forward != layer.graph:
        steps.append(
            Step(
                "Rewrite the output in the form that is computed",
                formula(layer.graph),
                formula(layer.forward),
                layer.reasons["forward"],
                Check(
                    f"both are equal, to 20 digits, {_where(small)}",
                    _agree(small, small.graph, small.forward),
                ),
            )
        )
    for name in layer.differentiable:
        steps += _gradient(layer, small, name)
    return tuple(steps)


def _gradient(layer: Layer, small: Layer, name: str) -> list[Step]:
    """Return the chain rule for one gradient, and the closed form that is computed."""
    chain_rule, closed = layer.gradient(name), layer.backward_by(name)
    tensor = layer.tensors[name].name
    steps = [
        Step(
            f"Apply the chain rule for ∂E/∂{tensor}",
            chain_formula(layer, name),
            formula(chain_rule),
            f"E depends on {tensor} through every step that reads it; the contributions of these steps "
            "are added, from the last step back to the first",
            Check(
                f"equals the difference quotient of E, to 20 digits, {_where(small)}",
                is_the_slope(small, name),
            ),
        )
    ]
    if closed.steps != chain_rule.steps:
        steps.append(
            Step(
                f"Simplify to the closed form of ∂E/∂{tensor}",
                formula(chain_rule),
                formula(closed),
                layer.reasons["backward"],
                Check(
                    f"both are equal, to 20 digits, {_where(small)}",
                    _agree(small, small.gradient(name), small.backward_by(name)),
                ),
            )
        )
    return steps


def _where(small: Layer) -> str:
    return f"for random numbers, input_shape = {getattr(small, 'input_shape', '')}"


def _drawn(layer: Layer, seed: int = 0) -> dict[str, Values]:
    """Return random inputs with 40 digits, positive where they may be a variance, and ∂E/∂O."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, Values] = {
        tensor.name: labels_of(layer, name, rng).astype(object)
        if name in layer.classes
        else _precise(rng.uniform(0.5, 2, tensor.sizes))
        for name, tensor in layer.tensors.items()
    }
    return {**tensors, layer.cotangent.name: _precise(rng.uniform(-1, 1, layer.output_shape))}


def _precise(numbers: Any) -> Values:
    array = np.empty(np.shape(numbers), dtype=object)
    array[...] = np.vectorize(mpmath.mpf, otypes=[object])(numbers)
    return array


def _finite(layer: Layer) -> Check:
    output = evaluate(layer.graph, _drawn(layer))[layer.graph.output.name]
    finite = all(mpmath.isfinite(number) for number in output.flat)
    return Check(f"every element of O is a number, {_where(layer)}", finite)


def _agree(layer: Layer, one: Graph, other: Graph) -> bool:
    with mpmath.workdps(DIGITS):
        tensors = _drawn(layer)
        values = [evaluate(graph, tensors)[graph.output.name] for graph in (one, other)]
        return bool(np.max(np.abs(values[0] - values[1])) < mpmath.mpf(10) ** -20)


def is_the_slope(layer: Layer, name: str) -> bool:
    """Compare ⟨∂E/∂T, V⟩ with (E(T + hV) − E(T − hV)) / 2h."""
    with mpmath.workdps(2 * DIGITS):
        tensors, tensor = _drawn(layer), layer.tensors[name]
        way = _precise(np.random.default_rng(1).uniform(-1, 1, tensor.sizes))
        h = mpmath.mpf(10) ** -DIGITS
        energies = []
        for sign in (1, -1):
            moved = {**tensors, tensor.name: tensors[tensor.name] + sign * h * way}
            output = evaluate(layer.graph, moved)[layer.graph.output.name]
            energies.append(np.sum(output * tensors[layer.cotangent.name]))
        graph = layer.gradient(name)
        slope = np.sum(evaluate(graph, tensors)[graph.output.name] * way)
        quotient = (energies[0] - energies[1]) / (2 * h)
        return bool(abs(slope - quotient) <= mpmath.mpf(10) ** -20 * (1 + abs(slope)))
