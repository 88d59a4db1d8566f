"""A network's layers: each of their functions, on its own, against the layer's definition.

Which functions there are, and what they take and return, is read from the module: a file that another
version generated is cut in its own way, and is checked like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.check.exact_range import exact_range
from symconv.check.interface import positional
from symconv.check.report import Result, difference, largest
from symconv.check.values import AGREE, FLOOR
from symconv.layers.entries import Node
from symconv.layers.layer import Layer
from symconv.layers.module_names import gradient_array, gradient_function
from symconv.layers.network import Network
from symconv.layers.random_labels import labels_of
from symconv.notation.arrays import evaluate_arrays
from symconv.notation.backpropagation import gradient_of, gradients
from symconv.notation.graph import Graph, chained
from symconv.notation.tangent import second_gradients, tangent, tangent_of

Array = NDArray[Any]
Arrays = dict[str, Array]


@dataclass(frozen=True)
class LayerFunction:
    """A module's function of a layer, read from its name and its signature.

    ``by`` are the inputs whose gradients it returns, ``moved`` those that change in a function of second
    order, and ``applied`` is the activation that it applies to its result.
    """

    name: str
    node: Node
    what: str
    inputs: tuple[str, ...]
    by: tuple[str, ...]
    moved: tuple[str, ...]
    applied: Node | None


def check_layers(network: Network, module: ModuleType) -> list[Result]:
    """Check the functions of every layer, on their own, against the layer's definition."""
    exact = not hasattr(module, "ACCURACY")
    found = ((node, _functions(network, node, module)) for node in network.nodes)
    return [_layer(module, functions, exact) for _, functions in found if functions]


def _functions(network: Network, node: Node, module: ModuleType) -> list[LayerFunction]:
    """Return a module's functions of a layer."""
    layer = node.layer
    short = {gradient_array(name): name for name in layer.differentiable}
    found = []
    for what in _kinds(layer):
        function = getattr(module, f"_{node.name}_{what}", None)
        if function is None:
            continue
        names = positional(function)
        returned = _returned(layer, what, names, short)
        inputs = names[: len(names) - len(returned)]
        moved = tuple(name for name in layer.differentiable if f"t{name}" in inputs)
        by = tuple(short[name] for name in returned if name in short)
        applied = _applied(network, node, module) if what == "forward" else None
        found.append(LayerFunction(function.__name__, node, what, inputs, by, moved, applied))
    return found


def _kinds(layer: Layer) -> list[str]:
    """Return what functions of a layer are called behind its name."""
    gradients_ = [gradient_function(name) for name in layer.differentiable]
    return ["forward", "inference", *gradients_, "backward", "jvp", "second"]


def _returned(
    layer: Layer, what: str, names: Sequence[str], short: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the last arguments of a function: the arrays that it writes into."""
    if what in ("forward", "inference"):
        return tuple(names[-1 - len(layer.updates if what == "forward" else ()) :])
    if what == "jvp":
        return tuple(names[-1:])
    count = next((at for at, name in enumerate(reversed(names)) if name not in short), len(names))
    return tuple(names[len(names) - count :])


def _applied(network: Network, node: Node, module: ModuleType) -> Node | None:
    """Return the activation without a function of its own that reads what a layer gives."""
    return next(
        (
            other
            for other in network.nodes
            if other.layer.pointwise
            and other.sources == (node.name,)
            and not hasattr(module, f"_{other.name}_forward")
        ),
        None,
    )


def _layer(module: ModuleType, functions: list[LayerFunction], exact: bool) -> Result:
    node = functions[0].node
    layer = node.layer
    sums = [exact and _is_sum(f) for f in functions]
    method: Any = "exact" if all(sums) else "numeric"
    checked = []
    for f, summed in zip(functions, sums, strict=True):
        wanted, values = _expected(layer, f, summed)
        results = [np.full(array.shape, np.nan) for array in wanted.values()]
        module.release()  # what another one computed must not be right by luck
        getattr(module, f.name)(*(values[name] for name in f.inputs), *results)
        for (name, array), received in zip(wanted.items(), results, strict=True):
            scale = max(largest([array]), FLOOR * largest(values.values()))
            most = 0.0 if summed else AGREE["float64"] * scale
            wrong = difference(received, array, most)
            if wrong:
                return Result(node.name, method, False, f"{f.name}: {name} {wrong}")
        checked.append(f.what)
    how = f"to {AGREE['float64']:.0e} of the definition"
    if any(sums):
        how = "integers whose sums are exact" + ("" if all(sums) else f", others {how}")
    return Result(node.name, method, True, f"{', '.join(checked)}: {how}")


def _is_sum(f: LayerFunction) -> bool:
    """Whether a function only adds products."""
    layer = f.node.layer
    return not layer.pointwise and not layer.composite and not f.applied


def _expected(layer: Layer, f: LayerFunction, summed: bool) -> tuple[Arrays, Arrays]:
    """Return what a function's definition gives, and the numbers for which it does.

    Integers whose sums are exact; for functions any numbers, or positive ones if those have no value.
    """
    graph, names = _definition(layer, f), _tensor_names(layer, f)
    span = exact_range([graph])[:2] if summed else (0, 0)
    for positive in (False, True):
        rng = np.random.default_rng(1)
        values = {name: _drawn(layer, name, shape, span, rng) for name, shape in _given(f).items()}
        if positive and not summed:
            values = {n: a if n in layer.classes else np.abs(a) + 0.25 for n, a in values.items()}
        tensors = {names[name]: np.asarray(array, float) for name, array in values.items()}
        with np.errstate(all="ignore"):
            wanted = {t.name: evaluate_arrays(graph.only(t.name), tensors) for t in graph.outputs}
        if all(np.isfinite(array).all() for array in wanted.values()):
            break
    return {n: np.rint(array) if summed else array for n, array in wanted.items()}, values


def _definition(layer: Layer, f: LayerFunction) -> Graph:
    """Return the graph of what a layer's function is, from the layer's definition."""
    tensors = layer.tensors
    if f.what == "forward":
        return chained(layer.graph, f.applied.layer.graph) if f.applied else layer.graph
    if f.what == "inference":
        return layer.inference.graph
    if f.what in ("jvp", "second"):
        change = tangent(layer.graph.only(layer.graph.output.name), [tensors[n] for n in f.moved])
        if f.what == "jvp":
            return change
        second = second_gradients(change, [tensors[name] for name in f.by], layer.cotangent)
        return second.only(*(gradient_of(tensors[name]).name for name in f.by))
    return gradients(layer.graph, [tensors[name] for name in f.by], layer.cotangent)


def _given(f: LayerFunction) -> dict[str, tuple[int, ...]]:
    """Return what a function must be given, and what its definition reads besides."""
    layer = f.node.layer
    changes = {f"t{name}": layer.inputs[name] for name in layer.differentiable}
    return layer.inputs | {"grad_output": layer.output_shape} | changes


def _tensor_names(layer: Layer, f: LayerFunction) -> dict[str, str]:
    """Return the tensor that each array is in the definition."""
    names = {name: tensor.name for name, tensor in layer.tensors.items()}
    names |= {f"t{name}": tangent_of(layer.tensors[name]).name for name in layer.differentiable}
    return {name: names.get(name, layer.cotangent.name) for name in _given(f)}


def _drawn(
    layer: Layer,
    name: str,
    shape: tuple[int, ...],
    integers: tuple[int, int],
    rng: np.random.Generator,
) -> Array:
    if name in layer.classes:
        return labels_of(layer, name, rng)
    span, divisor = integers
    if span:
        return divisor * rng.integers(-span, span, shape, endpoint=True).astype(np.float64)
    numbers = np.asarray(rng.standard_normal(shape))
    return np.abs(numbers) + 0.5 if name == "running_var" else numbers
