"""Layers of several steps, such as softmax: against their definition, in float64, and by slope."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.check.bounds import terms_scale
from symconv.check.interface import gradient_functions
from symconv.check.report import Result
from symconv.check.slope import falls
from symconv.check.unwritten import unwritten_is_nan
from symconv.layers.layer import Layer
from symconv.layers.random_labels import labels_of
from symconv.notation.arrays import evaluate_arrays
from symconv.notation.graph import Graph

AGREE = {"float32": 2e-5, "float64": 1e-11}  # of the largest number
FAR = {"float32": 2e-2, "float64": 1e-9}  # the same where numbers are large, or cancel
FLOOR = 0.1  # of G's largest number: what cancels may leave a gradient of less
LEAST = 1e-6  # a gradient below it is rounding, where numbers are large

Array = NDArray[Any]
Loader = Callable[[object], ModuleType]
Point = dict[str, Array]  # by the names of forward's inputs, and grad_output


def check_values(layer: Layer, load: Loader) -> tuple[Result, ...]:
    """Compare a module with the layer's definition, and its gradients with the chain rule.

    Parameters
    ----------
    layer
        The layer.
    load
        Returns the module with another ``DTYPE``, or with its own for None.
    """
    dtype = str(np.dtype(load(None).DTYPE))
    declared = Result("DTYPE", "numeric", dtype == layer.dtype, f"{dtype}, LAYER has {layer.dtype}")
    if not declared.passed:
        return (declared,)
    chain_rule = {name: layer.gradient(name) for name in layer.differentiable}
    point = drawn(layer, np.random.default_rng(0), np.float64)
    module = load(np.float64)
    with unwritten_is_nan(module):
        found = agreement(layer, module, point, layer.graph, chain_rule, AGREE["float64"])
    results = [declared, *found, taylor(layer, module)]
    if hasattr(module, "jvp"):
        results += second_order(layer, module)
    return (*results, *_in_own_dtype(layer, load(None)))


def drawn(layer: Layer, rng: np.random.Generator, dtype: Any) -> Point:
    """Return random inputs, positive where they may be a variance, and ∂E/∂O."""
    point: Point = {}
    for name, shape in layer.inputs.items():
        if name in layer.classes:
            point[name] = labels_of(layer, name, rng)
        else:
            numbers = rng.standard_normal(shape)
            point[name] = (np.abs(numbers) + 0.5 if name == "running_var" else numbers).astype(dtype)
    point["grad_output"] = np.asarray(rng.standard_normal(layer.output_shape)).astype(dtype)
    return point


def agreement(
    layer: Layer,
    module: ModuleType,
    point: Point,
    graph: Graph,
    gradients: Mapping[str, Graph],
    most: float,
    least: float = 1e-300,
) -> list[Result]:
    """Compare a module's functions with graphs in float64: to ``most`` of the largest number."""
    tensors = {tensor.name: np.asarray(point[n], float) for n, tensor in layer.tensors.items()}
    tensors[layer.cotangent.name] = np.asarray(point["grad_output"], float)
    inputs = [point[name] for name in layer.inputs]
    floor = max(least, FLOOR * float(np.abs(point["grad_output"]).max()))  # where all should be 0
    tiny = max(least, 1e-3 * max((float(np.abs(a).max(initial=0.0)) for a in inputs), default=0.0))
    received = module.forward(*inputs)
    outputs = received if layer.updates else (received,)
    results = []
    for name, tensor, array in zip(("forward", *layer.updates), graph.outputs, outputs, strict=True):
        wanted = evaluate_arrays(graph.only(tensor.name), tensors)
        results.append(_compared(name, array, wanted, most, tiny))
    module.release()  # what another function computed must not be right by luck
    together = module.backward(point["grad_output"], *inputs)
    for function, array in zip(gradient_functions(layer, module), together, strict=True):
        by = function.by
        module.release()
        alone = getattr(module, function.name)(*(point[name] for name in function.arguments))
        wanted = evaluate_arrays(gradients[by], tensors)
        own = max(floor, terms_scale(gradients[by], tensors))
        results.append(_compared(function.name, alone, wanted, most, own))
        results.append(_compared(f"backward, by {by}", array, wanted, most, own))
    return results


def _compared(name: str, received: Array, wanted: Array, most: float, least: float) -> Result:
    if received.shape != wanted.shape:
        text = f"shape {received.shape}, expected {wanted.shape}"
        return Result(name, "numeric", False, text)
    scale = max(float(np.abs(wanted).max()), least)
    error = np.abs(np.asarray(received, float) - wanted) / scale
    worst = np.unravel_index(int(np.argmax(np.where(np.isnan(error), np.inf, error))), error.shape)
    if error[worst] <= most:
        detail = f"relative difference {error[worst]:.0e}, at most {most:.0e}"
        return Result(name, "numeric", True, detail)
    place = list(map(int, worst))
    text = f"at {place}: {float(received[worst]):g}, expected {float(wanted[worst]):g}"
    return Result(name, "numeric", False, text)


def _in_own_dtype(layer: Layer, module: ModuleType) -> list[Result]:
    """Compare in the module's own dtype, then for inputs that are far apart, or far from 0."""
    dtype = layer.dtype
    thousand = np.asarray(1000, dtype)
    point = drawn(layer, np.random.default_rng(1), dtype)
    closed = {name: layer.backward_by(name) for name in layer.differentiable}
    results = []
    for name, at, most in (
        (f"in {dtype}", point, AGREE[dtype]),
        ("X times 1000", {**point, "x": point["x"] * thousand}, FAR[dtype]),
        ("X plus 1000", {**point, "x": point["x"] + thousand}, FAR[dtype]),
    ):
        with warnings.catch_warnings(record=True) as seen, np.errstate(all="warn", under="ignore"):
            warnings.simplefilter("always")
            found = agreement(layer, module, at, layer.forward, closed, most, LEAST)
        said = [f"{result.name} {result.detail}" for result in found if not result.passed]
        said += sorted({str(warning.message) for warning in seen})
        fine = f"within {most:.0e} of the same formulas in float64, and no warning"
        results.append(Result(name, "numeric", not said, "; ".join(said[:3]) or fine))
    return results


def taylor(layer: Layer, module: ModuleType) -> Result:
    """E(θ + hv) - E(θ) - h⟨∇E, v⟩ falls as h²: the slope says if ∇E is right."""
    rng = np.random.default_rng(2)
    point = drawn(layer, rng, np.float64)
    ways = {name: rng.standard_normal(layer.inputs[name]) for name in layer.differentiable}
    cotangent = point.pop("grad_output")

    def energy(h: float) -> float:
        moved = [array + h * ways[name] if name in ways else array for name, array in point.items()]
        output = module.forward(*moved)
        return float(np.sum(cotangent * (output[0] if layer.updates else output)))

    gradients = module.backward(cotangent, *point.values())
    slope = sum(float(np.sum(g * way)) for g, way in zip(gradients, ways.values(), strict=True))
    return falls("Taylor slope", energy, slope)


def second_order(layer: Layer, module: ModuleType) -> list[Result]:
    """Check jvp by its adjoint, backward, and double_backward by the slope of Taylor's remainder."""
    rng = np.random.default_rng(3)
    point = drawn(layer, rng, np.float64)
    changes, ways = (
        {name: rng.standard_normal(layer.inputs[name]) for name in layer.differentiable}
        for _ in range(2)
    )
    cotangent = point.pop("grad_output")
    of_output = np.asarray(rng.standard_normal(cotangent.shape))

    def energy(h: float) -> float:
        moved = [array + h * ways[name] if name in ways else array for name, array in point.items()]
        change = module.jvp(*moved, *changes.values())
        return float(np.sum((cotangent + h * of_output) * change))

    gradients = module.backward(cotangent, *point.values())
    wanted = [float(np.sum(g * change)) for g, change in zip(gradients, changes.values(), strict=True)]
    scale = max(sum(map(abs, wanted)), FLOOR * float(np.abs(cotangent).max()))
    error = abs(energy(0.0) - sum(wanted)) / scale
    adjoint = Result(
        "jvp",
        "numeric",
        error <= AGREE["float64"],
        f"⟨G, dO⟩ = Σ ⟨∂E/∂T, dT⟩: relative difference {error:.0e}, at most {AGREE['float64']:.0e}",
    )
    second = module.double_backward(*changes.values(), cotangent, *point.values())
    directions = (of_output, *ways.values())
    slope = sum(float(np.sum(g * way)) for g, way in zip(second, directions, strict=True))
    return [adjoint, falls("double_backward: Taylor slope", energy, slope)]
