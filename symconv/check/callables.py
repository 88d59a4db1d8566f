"""Anybody's functions: the smallest case in which they fail, and the known pitfall it matches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.check.report import Result
from symconv.layers.activation import Activation
from symconv.layers.activations import NAMED
from symconv.layers.conv import ConvLayer
from symconv.layers.layer import Layer
from symconv.layers.spelling import shell_options
from symconv.notation.arrays import evaluate_arrays
from symconv.notation.contraction import Program
from symconv.notation.graph import Graph
from symconv.prove.claims import smaller
from symconv.prove.pitfalls import PITFALLS

Array = NDArray[Any]
Forward = Callable[..., Array]
Backward = Callable[..., Sequence[Array]]

ROUNDINGS = 64  # of a sum's largest possible value: what an honest order of summing may differ by


def check_callables(
    layer: Layer, forward: Forward | None, backward: Backward | None
) -> tuple[Result, ...]:
    """Check functions with a generated module's signatures against a layer.

    They are called at the layer's own sizes, where they must work, and at smaller ones with the same
    arguments, where a function that refuses its arguments is left in peace.
    """
    results = []
    if forward is not None:
        results.append(_check(layer, "forward", lambda inputs, g: _first(forward(*inputs))))
    if backward is not None:
        results.append(_check(layer, "backward", lambda inputs, g: _listed(backward(g, *inputs))))
    return tuple(results)


Call = Callable[[list[Array], Array], Sequence[Array]]


def _first(received: Array | tuple[Array, ...]) -> list[Array]:
    """Return the output alone; a normalisation may return new statistics, too."""
    return [received[0] if isinstance(received, tuple) else received]


def _listed(received: Array | Sequence[Array]) -> Sequence[Array]:
    """Return the gradients; the only one may come alone."""
    return [received] if isinstance(received, np.ndarray) else received


def _check(layer: Layer, name: str, call: Call) -> Result:
    """Run one function at growing sizes; report the first failure."""
    others = refused = 0
    for case in smaller(layer, kernels=0):
        own = case.inputs == layer.inputs
        values = _values(case)
        inputs = [
            values[t.name].astype(np.int64 if name in case.classes else layer.dtype)
            for name, t in case.tensors.items()
        ]
        before = [array.copy() for array in inputs]
        try:
            received = [
                np.asarray(a) for a in call(inputs, values[case.cotangent.name].astype(layer.dtype))
            ]
        except Exception as error:  # whatever a stranger's function raises is its answer
            if own:
                text = f"raises {type(error).__name__}: {error}"
                return Result(name, "numeric", False, f"{text} at {_sizes(case)}")
            refused += 1
            continue
        others += not own
        if any(not np.array_equal(a, b) for a, b in zip(inputs, before, strict=True)):
            return Result(name, "numeric", False, f"writes to its inputs at {_sizes(case)}")
        sweeps = ["forward"] if name == "forward" else list(case.differentiable)
        failure = _failure(case, sweeps, received, values)
        if failure:
            return Result(name, "numeric", False, f"{failure} Smallest failing case: {_sizes(case)}")
    tried = f" and {others} smaller ones" if others else "; it refuses smaller ones" if refused else ""
    return Result(name, "numeric", True, f"equals the layer's own sums at its sizes{tried}")


def _failure(
    case: Layer, sweeps: list[str], received: list[Array], values: dict[str, Array]
) -> str | None:
    """Say how results differ from a layer's; None if they do not."""
    if len(received) != len(sweeps):
        return f"returns {len(received)} arrays, expected {len(sweeps)}."
    for sweep, array in zip(sweeps, received, strict=True):
        graph = case.graph if sweep == "forward" else case.gradient(sweep)
        expected = evaluate_arrays(graph.only(graph.output.name), values)
        limit = _limit(case, graph, values)
        what = "O" if sweep == "forward" else f"∂E/∂{case.tensors[sweep].name}"
        if array.shape != expected.shape:
            text = f"{what} has shape {array.shape}, expected {expected.shape}."
        elif not np.can_cast(array.dtype, np.longdouble):
            text = f"{what} has dtype {array.dtype}, expected {case.dtype}."
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


def _pitfall(case: Layer, sweep: str, received: Array, values: dict[str, Array]) -> str:
    """Name the known wrong rule that gives exactly what was received."""
    for pitfall in PITFALLS:
        graph = pitfall.wrong(case) if pitfall.sweep == sweep and isinstance(case, ConvLayer) else None
        if graph is None or min(graph.output.sizes) < 1:
            continue
        wrong = evaluate_arrays(graph, values)
        if wrong.shape == received.shape and _close(received, wrong, _limit(case, graph, values)):
            return f" This is a known pitfall: {pitfall.name} ({pitfall.seen})."
    return ""


def _limit(case: Layer, graph: Graph, values: dict[str, Array]) -> Array:
    """Return, for each element, how far rounding may move it: in proportion to its terms' sizes."""
    unit = float(np.finfo(case.dtype).eps)
    if case.composite or isinstance(case, Activation):
        largest = np.abs(evaluate_arrays(graph.only(graph.output.name), values)).max(initial=0.0)
        return np.asarray(ROUNDINGS * unit * (1 + largest))
    sizes = {name: np.abs(array) for name, array in values.items()}
    return np.asarray(ROUNDINGS * unit * evaluate_arrays(_magnitudes(graph), sizes) + unit)


def _magnitudes(graph: Graph) -> Graph:
    """Return the graph with numbers' signs left out."""
    steps = (
        Program(tuple(replace(c, coefficient=abs(Fraction(c.coefficient))) for c in step.contractions))
        if isinstance(step, Program)
        else step
        for step in graph.steps
    )
    return replace(graph, steps=tuple(steps))


def _close(received: Array, expected: Array, limit: Array) -> bool:
    return bool(np.all(np.abs(received.astype(float) - expected) <= limit))


def _values(case: Layer) -> dict[str, Array]:
    """Return random numbers for every tensor of a layer, none of them zero.

    Integers to ±8, or ±1/8 of them where they are put into functions, ±7/8 for those with a name: on
    both sides of every kink, and on none. Where maxima are taken they all differ, since every
    convention for ties is as good as ours.
    """
    rng = np.random.default_rng(0)
    named = isinstance(case, Activation) and case.function in NAMED
    small = 7 / 8 if named else 1 / 8 if case.composite or isinstance(case, Activation) else 1.0
    values: dict[str, Array] = {}
    for name, tensor in case.tensors.items():
        if name in case.classes:
            values[tensor.name] = rng.integers(0, case.classes[name], tensor.sizes).astype(float)
        elif _takes_maxima(case):
            values[tensor.name] = 1.0 + rng.permutation(math.prod(tensor.sizes)).reshape(tensor.sizes)
        else:
            sign = 1.0 if name == "running_var" else rng.choice([-1.0, 1.0], tensor.sizes)
            values[tensor.name] = small * rng.integers(1, 8, tensor.sizes, endpoint=True) * sign
    g = case.cotangent
    values[g.name] = rng.integers(1, 8, g.sizes, endpoint=True) * rng.choice([-1.0, 1.0], g.sizes)
    return values


def _takes_maxima(case: Layer) -> bool:
    programs = [step for step in case.graph.steps if isinstance(step, Program)]
    return any(c.reduce == "max" for program in programs for c in program.contractions)


def _sizes(case: Layer) -> str:
    """Write a layer's arguments, those that are not the default."""
    if isinstance(case, ConvLayer):
        kernel = "x".join(str(w.kernel) for w in case.windows)
        arguments = [f"stride={case.stride}", f"padding={case.padding}", f"dilation={case.dilation}"]
        return (
            f"input_shape={case.input_shape}, out_channels={case.out_channels}, kernel {kernel}, "
            f"{', '.join(arguments)}, groups={case.groups}."
        )
    return f"{' '.join(shell_options(case))}."
