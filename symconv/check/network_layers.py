"""A network's layers: each of their functions, on its own, against the layer's definition."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.check.exact import exact_range
from symconv.check.interface import positional
from symconv.check.report import Result, difference, largest
from symconv.check.values import AGREE, FLOOR
from symconv.layers.layer import Layer
from symconv.layers.network import Network
from symconv.layers.random_labels import labels_of
from symconv.lower.network import LayerFunction
from symconv.notation.arrays import evaluate_arrays
from symconv.notation.backpropagation import gradient_of, gradients
from symconv.notation.graph import Graph, chained
from symconv.notation.tangent import second_gradients, tangent, tangent_of
from symconv.targets.numpy.plan import plan_network

Array = NDArray[Any]
Arrays = dict[str, Array]


def check_layers(network: Network, module: ModuleType) -> list[Result]:
    """Check the functions of every layer, on their own, against the layer's definition."""
    order = 2 if hasattr(module, "jvp") else 1
    functions: dict[str, list[LayerFunction]] = {}
    accuracy = getattr(module, "ACCURACY", "direct")
    for function in plan_network(network, order, accuracy).functions:
        if _has(module, function):
            functions.setdefault(function.node.name, []).append(function)
    return [_layer(module, found) for found in functions.values()]


def _has(module: ModuleType, f: LayerFunction) -> bool:
    """Whether a module has a layer's function with the arguments that are expected here.

    One that another version generated may be cut in another way: then the whole network is compared.
    """
    inputs = tuple(array.name for array in f.function.inputs)
    return hasattr(module, f.name) and positional(getattr(module, f.name))[: len(inputs)] == inputs


def _layer(module: ModuleType, functions: list[LayerFunction]) -> Result:
    node = functions[0].node
    layer = node.layer
    sums = [_is_sum(f) for f in functions]
    method: Any = "exact" if all(sums) else "numeric"
    checked = []
    for f, summed in zip(functions, sums, strict=True):
        wanted, values = _expected(layer, f, summed)
        results = [np.full(array.shape, np.nan) for array in wanted.values()]
        module.release()  # what another one computed must not be right by luck
        getattr(module, f.name)(*(values[a.name] for a in f.function.inputs), *results)
        for (name, array), received in zip(wanted.items(), results, strict=True):
            scale = max(largest([array]), FLOOR * largest(values.values()))
            most = 0.0 if summed else AGREE["float64"] * scale
            wrong = difference(received, array, most)
            if wrong:
                return Result(node.name, method, False, f"{f.name}: {name} {wrong}")
        checked.append(f.function.name)
    how = f"to {AGREE['float64']:.0e} of the definition"
    if any(sums):
        how = "integers whose sums are exact" + ("" if all(sums) else f", others {how}")
    return Result(node.name, method, True, f"{', '.join(checked)}: {how}")


def _is_sum(f: LayerFunction) -> bool:
    """Whether a function only adds products, of numbers that are not transformed."""
    layer = f.node.layer
    alone = not layer.pointwise and not layer.composite
    return alone and not f.applied and not f.function.fast


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
    function, tensors = f.function, layer.tensors
    if function.name == "forward":
        return chained(layer.graph, f.applied.layer.graph) if f.applied else layer.graph
    if function.name == "inference":
        return layer.inference.graph
    if function.name in ("jvp", "second"):
        change = tangent(layer.graph.only(layer.graph.output.name), [tensors[n] for n in f.moved])
        if function.name == "jvp":
            return change
        second = second_gradients(change, [tensors[name] for name in function.by], layer.cotangent)
        return second.only(*(gradient_of(tensors[name]).name for name in function.by))
    return gradients(layer.graph, [tensors[name] for name in function.by], layer.cotangent)


def _given(f: LayerFunction) -> dict[str, tuple[int, ...]]:
    """Return what a function must be given, and what its definition reads besides."""
    layer = f.node.layer
    shapes = dict(layer.inputs) | {array.name: array.sizes for array in f.function.inputs}
    return shapes | {f"t{name}": layer.inputs[name] for name in layer.differentiable}


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
