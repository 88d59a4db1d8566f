"""The index view of any graph: its formulas, and the chain rule through its steps."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from symconv.derive.steps import Check, Formula, Step
from symconv.errors import SymconvError
from symconv.layers.layer import Layer
from symconv.notation.arrays import evaluate_arrays
from symconv.notation.backpropagation import gradient
from symconv.notation.contraction import Access, Program, Tensor, index
from symconv.notation.evaluate import evaluate
from symconv.notation.graph import Graph, folded, reads
from symconv.notation.monomials import term_count
from symconv.notation.names import element
from symconv.notation.step_text import graph_latex, graph_text
from symconv.notation.text import access_latex, access_text, name_latex

MOST = 20_000_000  # points that a check may visit before it turns to a smaller layer
MOST_IN_LOOPS = 20_000  # the same for plain loops
SPAN = 1 << 12  # integers that a check draws: their sums are exact in float64

Values = NDArray[np.float64]


def graph_steps(layer: Layer) -> tuple[Step, ...]:
    """Return the derivation of every gradient of a layer from its graph."""
    return (_forward(layer), *(_chain_rule(layer, name) for name in layer.tensors))


def formula(graph: Graph) -> Formula:
    """Return a graph on paper."""
    shown = folded(graph)
    return Formula(graph_text(shown), graph_latex(shown))


def _forward(layer: Layer) -> Step:
    used = _checked_layer(layer, MOST_IN_LOOPS)
    drawn = _drawn(used)
    arrays = evaluate_arrays(used.graph, drawn)
    loops = evaluate(used.graph, drawn)[used.graph.output.name]
    return Step(
        "Define the output (forward)",
        spaces_formula(layer),
        formula(layer.graph),
        _conventions(layer.graph),
        Check(
            f"plain loops and slices of arrays give the same O for random integers{_where(layer, used)}",
            arrays.shape == used.output_shape and np.allclose(arrays, loops.astype(float), 1e-9),
        ),
    )


def spaces_formula(layer: Layer) -> Formula:
    """Name the layer and the shapes of its tensors."""
    kind = type(layer).__name__
    tensors = [*layer.tensors.values(), Tensor("O", layer.output_shape)]
    text = ", ".join(f"{tensor.name} {tensor.sizes}" for tensor in tensors)
    spaces = [rf"{name_latex(t.name)}\in\mathbb{{R}}^{{{_times(t.sizes)}}}" for t in tensors]
    latex = r",\ ".join(spaces)
    return Formula(f"{kind}: {text}", rf"&\text{{{kind}}}:\ {latex}")


def chain_formula(layer: Layer, name: str) -> Formula:
    """Write the chain rule for one element of an input."""
    tensor = layer.tensors[name]
    place = place_of(layer, tensor)
    cell, below = access_text(place), access_latex(place)
    return Formula(
        f"∂E/∂{cell} = Σ G · ∂O/∂{cell}, where G = ∂E/∂O",
        rf"\frac{{\partial E}}{{\partial {below}}} &= "
        rf"\sum G \, \frac{{\partial O}}{{\partial {below}}},"
        r"\quad G = \frac{\partial E}{\partial O}",
    )


def place_of(layer: Layer, tensor: Tensor) -> Access:
    """Return an element of a tensor, at the indices that the layer's formula reads it with.

    Where a subscript is more than one index, a letter of its own stands for it. So the batch's letter
    never addresses a parameter.
    """
    found = [read for step in layer.graph.steps for read in reads(step) if read.tensor == tensor]
    subscripts = found[0].subscripts if found else ()
    spare = iter(letter for letter in "uvwtabdehk")
    names: list[str] = []
    for subscript in subscripts:
        plain = len(subscript.variables) == 1 and subscript == index(subscript.variables[0])
        free = plain and subscript.variables[0] not in names
        names.append(subscript.variables[0] if free else next(spare))
    return tensor[tuple(map(index, names or element(len(tensor.sizes))))]


def _times(sizes: tuple[int, ...]) -> str:
    return r" \times ".join(map(str, sizes))


def _conventions(graph: Graph) -> str:
    if _selects(graph):
        return (
            "this is the layer's definition; reads outside a tensor are left out, so padding never wins"
        )
    return "this is the layer's definition; reads outside a tensor are zero"


def _selects(graph: Graph) -> bool:
    programs = (step for step in graph.steps if isinstance(step, Program))
    return any(c.reduce == "max" for program in programs for c in program.contractions)


def _selects_products(graph: Graph) -> bool:
    programs = (step for step in graph.steps if isinstance(step, Program))
    return _selects(graph) and any(len(c.reads) > 1 for p in programs for c in p.contractions)


def _chain_rule(layer: Layer, name: str) -> Step:
    """Along a line on which no maximum changes its place, E is a polynomial: its slope is ⟨∂E/∂T, V⟩."""
    tensor = layer.tensors[name]
    used = _checked_layer(layer)
    back = gradient(layer.graph, tensor, layer.cotangent)
    reason = (
        f"E depends on an element of {tensor.name} through every element of O that reads it; so the "
        f"gradient is the same sum, written where {tensor.name} was read, reading G where O was written"
    )
    if _selects(layer.graph):
        reason += (
            ". A maximum passes its gradient to the element that it selects: S marks the first maximum, "
            "and without ties it is the only one"
        )
    return Step(
        f"Apply the chain rule for ∂E/∂{tensor.name}",
        chain_formula(layer, name),
        formula(back),
        reason,
        Check(
            f"{_slope_text(layer, tensor)}, for random integers{_where(layer, used)}",
            _has_this_slope(used, name),
        ),
    )


def _degree(layer: Layer, tensor: Tensor) -> int:
    """Return how often a product reads a tensor, or what is computed from it, at the most."""
    degrees: dict[Tensor, int] = {tensor: 1}
    for step in layer.graph.steps:
        if isinstance(step, Program):
            products = (sum(degrees.get(r.tensor, 0) for r in c.reads) for c in step.contractions)
            degrees[step.target] = max(products)
    return degrees[layer.graph.output]


def _slope_text(layer: Layer, tensor: Tensor) -> str:
    name, degree = tensor.name, _degree(layer, tensor)
    if degree == 1:
        return f"E changes by ⟨∂E/∂{name}, V⟩ when {name} does by V, exactly"
    polynomial = f"E({name} + t·V), a polynomial of degree {degree} in t,"
    return f"the slope at t = 0 of {polynomial} is ⟨∂E/∂{name}, V⟩"


SLOPES = {1: {1: 1.0, 0: -1.0}, 2: {1: 1 / 2, -1: -1 / 2}}  # exact for polynomials of the degree
SLOPES |= {4: {2: -1 / 12, 1: 2 / 3, -1: -2 / 3, -2: 1 / 12}}


def _has_this_slope(layer: Layer, name: str) -> bool:
    """Compare ⟨∂E/∂T, V⟩ with the slope of E along T + t·V at 0, from its values at integers t."""
    tensor = layer.tensors[name]
    point = _drawn(layer)
    rng = np.random.default_rng(1)
    way = rng.integers(-1, 1, tensor.sizes, endpoint=True).astype(float)
    cotangent = rng.integers(-8, 8, layer.output_shape, endpoint=True).astype(float)
    degree = _degree(layer, tensor)
    step = 2.0**-20 if _selects_products(layer.graph) else 1.0  # sums of these are exact, too
    weights = next((w for known, w in SLOPES.items() if known >= degree), SLOPES[4])
    energies = {}
    for t in weights:
        moved = {**point, tensor.name: point[tensor.name] + t * step * way}
        energies[t] = evaluate_arrays(layer.graph, moved) * cotangent
    back = gradient(layer.graph, tensor, layer.cotangent)
    found = evaluate_arrays(back, {**point, "G": cotangent})
    slope = math.fsum(weight * float(energies[t].sum()) for t, weight in weights.items()) / step
    scale = max(1.0, *(float(np.abs(energy).sum()) for energy in energies.values()))
    return found.shape == tensor.sizes and abs(slope - float((found * way).sum())) <= 1e-12 * scale


def _drawn(layer: Layer) -> dict[str, Values]:
    """Return integers for every tensor, so far apart that the changes tried keep their order."""
    rng = np.random.default_rng(0)
    drawn: dict[str, Values] = {}
    for tensor in layer.tensors.values():
        if _selects_products(layer.graph):
            numbers = rng.integers(-512, 512, tensor.sizes)
        elif _selects(layer.graph):
            numbers = 3 * rng.permutation(math.prod(tensor.sizes)).reshape(tensor.sizes)
        else:
            numbers = rng.integers(-SPAN, SPAN, tensor.sizes)
        drawn[tensor.name] = numbers.astype(np.float64)
    return drawn


def _checked_layer(layer: Layer, most: int = MOST) -> Layer:
    """Return the layer itself, or, if it is large, one of a few images and channels."""
    if term_count(layer.graph) <= most or not hasattr(layer, "input_shape"):
        return layer
    channels, *sizes = layer.input_shape[1:]
    few = [min(size, 8) for size in sizes]
    shapes = [(1, min(channels, 2), *sizes), (1, channels, *sizes)]
    for shape in [(1, min(channels, 2), *few), *shapes] if most < MOST else shapes:
        try:
            return dataclasses.replace(layer, input_shape=shape)  # type: ignore[type-var]  # every kind is a dataclass
        except SymconvError:
            continue
    return layer


def _where(layer: Layer, used: Layer) -> str:
    return "" if used is layer else f" for input_shape = {used.input_shape}"
