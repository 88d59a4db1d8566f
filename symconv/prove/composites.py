"""Theorems about layers of several steps: what is computed is what is defined, and the chain rule."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np

from symconv.derive.composite_view import is_the_slope
from symconv.layers.layer import Layer
from symconv.layers.random_labels import labels_of
from symconv.notation.arrays import evaluate_arrays
from symconv.notation.backpropagation import gradients
from symconv.notation.contraction import Access, Program
from symconv.notation.expression import derivative
from symconv.notation.graph import Elementwise, Graph, Step, written
from symconv.notation.text import shape_text
from symconv.prove.claims import Counterexample
from symconv.prove.differentiation import same_derivative
from symconv.prove.formal import same
from symconv.prove.theorems import Control, Theorem

FORMAL = (
    "for these sizes",
    "both become the same expression of elements and formal sums: a sum over an index is linear, what "
    "does not depend on the index is taken out of it, and a sum of ones is the index's size",
)
AGREE = 1e-9
BY_RULES = (
    "each sum is passed on to by its adjoint; SymPy's derivatives of each expression are those that the "
    "sum, product and chain rules give with a table of our own, case by case"
)


def composite_theorems(layer: Layer) -> tuple[Theorem, ...]:
    """Return what is found about a layer of several steps."""
    found = []
    if layer.forward != layer.graph:
        held = "".join(f", whatever {name} is" for name in layer.forward.held)
        statement = f"what is computed for O equals its definition{held}"
        found.append(_theorem(layer, "N1", statement, layer.graph, layer.forward, ()))
    for name in layer.differentiable:
        tensor = layer.tensors[name].name
        statement = f"what is computed for ∂E/∂{tensor} is what the chain rule gives"
        chain_rule, computed = layer.gradient(name), layer.backward_by(name)
        controls = _sums_held(layer, name)
        if computed.steps == chain_rule.steps:
            found.append(_by_chain_rule(layer, name, controls))
        else:
            found.append(_theorem(layer, "N2", statement, chain_rule, computed, controls))
    return tuple(found)


def _theorem(
    layer: Layer, name: str, statement: str, right: Graph, computed: Graph, controls: tuple[Control, ...]
) -> Theorem:
    """Compare two graphs by formal sums; where that does not see them equal, by numbers."""
    if same(right, computed):
        return Theorem(name, statement, "proved", (FORMAL,), None, controls)
    counterexample = difference(layer, right, computed)
    grounds = (("numeric", f"both agree in float64, for random numbers, to {AGREE:.0e}"),)
    if counterexample:
        return Theorem(name, statement, "refuted", (), counterexample, controls)
    return Theorem(name, statement, "tested", grounds, None, controls)


def _by_chain_rule(layer: Layer, name: str, controls: tuple[Control, ...]) -> Theorem:
    """State that a gradient without a closed form is the chain rule's: its slope is compared."""
    tensor = layer.tensors[name].name
    statement = f"∂E/∂{tensor} is computed by the chain rule, step by step"
    if not is_the_slope(layer, name):
        grounds = (("numeric", f"⟨∂E/∂{tensor}, V⟩ is not the slope of E along a random V"),)
        return Theorem("N2", statement, "refuted", grounds, None, controls)
    grounds = (("numeric", f"⟨∂E/∂{tensor}, V⟩ is the slope of E along V, to 20 digits"),)
    if all(map(_derived_by_rules, layer.graph.steps)):
        return Theorem("N2", statement, "proved", (("symbolic", BY_RULES), *grounds), None, controls)
    return Theorem("N2", statement, "tested", grounds, None, controls)


def _derived_by_rules(step: Step) -> bool:
    """Whether SymPy's derivatives of a step by what it reads are those by the rules of calculus."""
    import sympy

    if not isinstance(step, Elementwise):
        return True
    names = [sympy.Symbol(name, real=True) for name, read in step.arguments if isinstance(read, Access)]
    f = step.expression
    return all(same_derivative(f, derivative(f, x), x) for x in names if x in f.free_symbols)


def _sums_held(layer: Layer, name: str) -> tuple[Control, ...]:
    """Refute the gradient that takes the sums between input and output for constants."""
    small = layer.smaller()
    sums = [
        written(step).name
        for step in small.graph.steps
        if isinstance(step, Program) and written(step) != small.graph.output
    ]
    held = replace(small.graph, held=tuple(sums))
    if not sums or name != next(iter(small.inputs)):
        return ()
    with contextlib.suppress(ValueError):  # then nothing is left to differentiate
        wrong = gradients(held, (small.tensors[name],), small.cotangent)
        counterexample = difference(small, small.gradient(name), wrong)
        return (Control(f"{', '.join(sums)} taken for constants", counterexample),)
    return ()


def difference(layer: Layer, right: Graph, wrong: Graph) -> Counterexample | None:
    """Return numbers for which two graphs differ."""
    rng = np.random.default_rng(0)
    tensors = {layer.cotangent.name: np.asarray(rng.integers(1, 4, layer.output_shape), float)}
    for name, tensor in layer.tensors.items():
        labels = name in layer.classes
        numbers = labels_of(layer, name, rng) if labels else rng.integers(1, 4, tensor.sizes)
        tensors[tensor.name] = numbers.astype(float)
    one, other = evaluate_arrays(right, tensors), evaluate_arrays(wrong, tensors)
    error = np.abs(one - other)
    if not error.size or error.max() <= AGREE * (1 + np.abs(one).max()):
        return None
    at = np.unravel_index(int(np.argmax(error)), error.shape)
    place = ", ".join(str(int(i)) for i in at)
    text = f"{right.output.name}[{place}] = {one[at]:g}, but the claim gives {other[at]:g}"
    return Counterexample(f"X {shape_text(layer.input_shape)}", text, one, other)
