"""Anybody's functions: the smallest case in which they fail, and the known pitfall it matches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.check.probes import Probe, graph_of, probes
from symconv.check.report import Result, apart
from symconv.layers.activation import Activation
from symconv.layers.conv import ConvLayer
from symconv.layers.layer import Layer
from symconv.layers.pool import AvgPool, GlobalMaxPool, MaxPool
from symconv.layers.spelling import shell_options
from symconv.notation.arrays import evaluate_arrays
from symconv.notation.contraction import Program
from symconv.notation.graph import Graph
from symconv.prove.claims import smaller
from symconv.prove.pitfalls import PITFALLS
from symconv.prove.refutations import CREDITED_IN_FULL, NOT_COUNTED

Array = NDArray[Any]
Forward = Callable[..., Array]
Backward = Callable[..., Sequence[Array]]
Call = Callable[[list[Array], Array], object]

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
        results.append(_check(layer, "forward", lambda inputs, g: forward(*inputs)))
    if backward is not None:
        results.append(_check(layer, "backward", lambda inputs, g: backward(g, *inputs)))
    return tuple(results)


def _check(layer: Layer, name: str, call: Call) -> Result:
    """Run one function at growing sizes; report the first failure."""
    others = refused = 0
    for case in smaller(layer, kernels=0):
        own = case.inputs == layer.inputs
        for probe in probes(case):
            try:
                failure = _called(case, name, call, probe)
            except _RaisedError as error:
                if not own:
                    refused += 1
                    break
                failure = str(error)
            if failure:
                place = f" {probe.where}" if probe.where else ""
                text = f"{failure} Smallest failing case: {_sizes(case)[:-1]}{place}."
                return Result(name, "numeric", False, text)
        else:
            others += not own
    tried = f" and {others} smaller ones" if others else "; it refuses smaller ones" if refused else ""
    return Result(name, "numeric", True, f"equals the layer's own sums at its sizes{tried}")


class _RaisedError(Exception):
    """A stranger's function raised this."""


def _called(case: Layer, name: str, call: Call, probe: Probe) -> str:
    """Call a function; say what is wrong with what it returns, nothing if it is right."""
    inputs = [
        probe.values[t.name].astype(np.int64 if name in case.classes else case.dtype)
        for name, t in case.tensors.items()
    ]
    cotangent = probe.values[case.cotangent.name].astype(case.dtype)
    given = [*inputs, cotangent]
    before = [array.copy() for array in given]
    try:
        returned = call(inputs, cotangent)
    except Exception as error:  # whatever a stranger's function raises is its answer
        raise _RaisedError(f"raises {type(error).__name__}: {error}.") from error
    if any(not np.array_equal(a, b) for a, b in zip(given, before, strict=True)):
        return "writes to its inputs."
    sweeps = ["forward"] if name == "forward" else list(case.differentiable)
    received = _arrays(name, returned)
    if len(received) != len(sweeps):
        return f"returns {len(received)} arrays, expected {len(sweeps)}: {', '.join(sweeps)}."
    for sweep, array in zip(sweeps, received, strict=True):
        wrong = _wrong(case, sweep, array, probe)
        if wrong:
            return wrong
    return ""


def _arrays(name: str, returned: object) -> list[Array]:
    """Return the output alone, though a normalisation gives statistics, too; or the gradients."""
    if isinstance(returned, tuple | list):
        found = [np.asarray(array) for array in returned]
        return found[:1] if name == "forward" and isinstance(returned, tuple) else found
    return [np.asarray(returned)]


def _wrong(case: Layer, sweep: str, array: Array, probe: Probe) -> str:
    """Say how a result differs from a layer's; nothing if it does not."""
    low, high = probe.wanted(case, sweep)
    what = "O" if sweep == "forward" else f"∂E/∂{case.tensors[sweep].name}"
    if array.dtype.kind not in "fiub":
        kind = "no array of numbers" if array.dtype == object else f"dtype {array.dtype}"
        return f"{what} has {kind}, expected {case.dtype}."
    if array.shape != low.shape:
        return (
            f"{what} has shape {array.shape}, expected {low.shape}.{_pitfall(case, sweep, array, probe)}"
        )
    limit = np.broadcast_to(_limit(case, graph_of(case, sweep, probe.stable), probe.values), low.shape)
    received = array.astype(float)
    if probe.ties and sweep != "forward":
        axes = tuple(range(2, received.ndim))
        received, low, high, limit = (a.sum(axis=axes) for a in (received, low, high, limit))
        what = f"the sum of {what} over a plane"
    with np.errstate(invalid="ignore"):
        right = ((received >= low - limit) & (received <= high + limit)) | np.isnan(low)
    if right.all():
        return ""
    cell = np.unravel_index(int(np.argmin(right)), right.shape)
    at = f"[{', '.join(map(str, map(int, cell)))}]" if cell else ""
    nearest = low[cell] if low[cell] == high[cell] else np.clip(received[cell], low[cell], high[cell])
    shown, wanted = apart(received[cell], nearest)
    between = "" if low[cell] == high[cell] else " at most" if nearest == high[cell] else " at least"
    text = f"{what}{at} = {shown}, expected{between} {wanted}."
    return text + _pitfall(case, sweep, array, probe)


def _pitfall(case: Layer, sweep: str, received: Array, probe: Probe) -> str:
    """Name the known wrong rule that gives exactly what was received."""
    if isinstance(case, ConvLayer):
        rules = [(p.name, p.seen, p.wrong(case)) for p in PITFALLS if p.sweep == sweep]
    elif isinstance(case, AvgPool):
        other = replace(case, count_include_pad=not case.count_include_pad)
        rules = [(*NOT_COUNTED, graph_of(other, sweep))]
    elif isinstance(case, MaxPool | GlobalMaxPool):
        return _pitfall_of_maxima(case, sweep, received, probe)
    else:
        return ""
    for name, seen, graph in rules:
        if graph is None or min(graph.output.sizes) < 1:
            continue
        wrong = evaluate_arrays(graph, probe.values)
        if wrong.shape == received.shape and _close(received, wrong, _limit(case, graph, probe.values)):
            return f" This is a known pitfall: {name} ({seen})."
    return ""


def _pitfall_of_maxima(case: MaxPool | GlobalMaxPool, sweep: str, received: Array, probe: Probe) -> str:
    """Name a pitfall where every number is negative: of padding, and of ties."""
    expected, _ = probe.wanted(case, sweep)
    if received.shape != expected.shape:
        return ""
    if sweep == "forward":
        zero = np.array_equal(received[received != expected], 0 * received[received != expected])
        return " This is a known pitfall: the padding's zero wins a maximum." if zero else ""
    credited = np.abs(received).sum() > np.abs(expected).sum()
    return (
        f" This is a known pitfall: {CREDITED_IN_FULL[0]} ({CREDITED_IN_FULL[1]})." if credited else ""
    )


def _limit(case: Layer, graph: Graph, values: dict[str, Array]) -> Array:
    """Return, for each element, how far rounding may move it: in proportion to its terms' sizes."""
    unit = float(np.finfo(case.dtype).eps)
    if case.composite or isinstance(case, Activation):
        found = np.abs(evaluate_arrays(graph.only(graph.output.name), values))
        largest = np.max(found, initial=0.0, where=np.isfinite(found))
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
