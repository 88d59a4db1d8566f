"""Anybody's functions: the smallest case in which they fail, and the known pitfall it matches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.check.report import Result
from symconv.layers.conv import ConvLayer
from symconv.notation.arrays import evaluate_arrays
from symconv.notation.contraction import Tensor
from symconv.notation.graph import Graph
from symconv.prove.claims import smaller_layers
from symconv.prove.pitfalls import PITFALLS

Array = NDArray[Any]
Forward = Callable[..., Array]
Backward = Callable[..., Sequence[Array]]

ROUNDINGS = 64  # of a sum's largest possible value: what an honest order of summing may differ by


def check_callables(
    layer: ConvLayer, forward: Forward | None, backward: Backward | None
) -> tuple[Result, ...]:
    """Check functions with a generated module's signatures against a layer.

    They are called at the layer's own sizes, where they must work, and at smaller ones with the same
    arguments, where a function that refuses its arguments is left in peace.
    """
    results = []
    if forward is not None:
        results.append(_check(layer, "forward", lambda inputs, g: [forward(*inputs)]))
    if backward is not None:
        results.append(_check(layer, "backward", lambda inputs, g: backward(g, *inputs)))
    return tuple(results)


Call = Callable[[list[Array], Array], Sequence[Array]]


def _check(layer: ConvLayer, name: str, call: Call) -> Result:
    """Run one function at growing sizes; report the first failure."""
    others = 0
    for case in smaller_layers(layer, kernels=0):
        own = case.input_shape == layer.input_shape and case.out_channels == layer.out_channels
        values = _values(case)
        inputs = [values[t.name].astype(layer.dtype) for t in case.tensors.values()]
        before = [array.copy() for array in inputs]
        try:
            received = [np.asarray(a) for a in call(inputs, values["G"].astype(layer.dtype))]
        except Exception as error:  # whatever a stranger's function raises is its answer
            if own:
                text = f"raises {type(error).__name__}: {error}"
                return Result(name, "numeric", False, f"{text} at {_sizes(case)}")
            continue
        others += not own
        if any(not np.array_equal(a, b) for a, b in zip(inputs, before, strict=True)):
            return Result(name, "numeric", False, f"writes to its inputs at {_sizes(case)}")
        sweeps = ["forward"] if name == "forward" else list(case.tensors)
        failure = _failure(case, sweeps, received, values)
        if failure:
            return Result(name, "numeric", False, f"{failure} Smallest failing case: {_sizes(case)}")
    tried = f" and {others} smaller ones" if others else "; it refuses smaller ones"
    return Result(name, "numeric", True, f"equals the layer's own sums at its sizes{tried}")


def _failure(
    case: ConvLayer, sweeps: list[str], received: list[Array], values: dict[str, Array]
) -> str | None:
    """Say how results differ from a layer's; None if they do not."""
    if len(received) != len(sweeps):
        return f"returns {len(received)} arrays, expected {len(sweeps)}."
    for sweep, array in zip(sweeps, received, strict=True):
        graph = case.graph if sweep == "forward" else case.gradient(sweep)
        expected = evaluate_arrays(graph, values)
        limit = _limit(graph, values, case.dtype)
        what = "O" if sweep == "forward" else f"∂E/∂{case.tensors[sweep].name}"
        if array.shape != expected.shape:
            text = f"{what} has shape {array.shape}, expected {expected.shape}."
        elif not _close(array, expected, limit):
            error = np.abs(array.astype(float) - expected)
            cell = np.unravel_index(
                int(np.nanargmax(np.where(np.isnan(error), np.inf, error))), error.shape
            )
            at = ", ".join(map(str, map(int, cell)))
            text = f"{what}[{at}] = {array[cell]:g}, expected {expected[cell]:g}."
        else:
            continue
        return text + _pitfall(case, sweep, array, values)
    return None


def _pitfall(case: ConvLayer, sweep: str, received: Array, values: dict[str, Array]) -> str:
    """Name the known wrong rule that gives exactly what was received."""
    for pitfall in PITFALLS:
        graph = pitfall.wrong(case) if pitfall.sweep == sweep else None
        if graph is None or min(graph.output.sizes) < 1:
            continue
        wrong = evaluate_arrays(graph, values)
        if wrong.shape == received.shape and _close(received, wrong, _limit(graph, values, case.dtype)):
            return f" This is a known pitfall: {pitfall.name} ({pitfall.seen})."
    return ""


def _limit(graph: Graph, values: dict[str, Array], dtype: str) -> Array:
    """Return, for each element, how far rounding may move it: in proportion to its terms' sizes."""
    sizes = {name: np.abs(array) for name, array in values.items()}
    unit = float(np.finfo(dtype).eps)
    return np.asarray(ROUNDINGS * unit * evaluate_arrays(graph, sizes) + unit)


def _close(received: Array, expected: Array, limit: Array) -> bool:
    return bool(np.all(np.abs(received.astype(float) - expected) <= limit))


def _values(case: ConvLayer) -> dict[str, Array]:
    """Return random integers from -8 to 8 for every tensor of a layer, zero left out."""
    rng = np.random.default_rng(0)
    tensors = [*case.tensors.values(), Tensor("G", case.output_shape)]
    return {
        t.name: rng.integers(1, 8, t.sizes, endpoint=True) * rng.choice([-1.0, 1.0], t.sizes)
        for t in tensors
    }


def _sizes(case: ConvLayer) -> str:
    kernel = "x".join(str(w.kernel) for w in case.windows)
    arguments = [f"stride={case.stride}", f"padding={case.padding}", f"dilation={case.dilation}"]
    return (
        f"input_shape={case.input_shape}, out_channels={case.out_channels}, kernel {kernel}, "
        f"{', '.join(arguments)}, groups={case.groups}."
    )
