"""Anybody's functions: the smallest case in which they fail, and the known pitfall it matches."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

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
from symconv.notation.backpropagation import gradient
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


@dataclass(frozen=True)
class _Failure:
    """What is wrong with what a function returns; ``kind``: it raises, or its shape or numbers are."""

    kind: Literal["raises", "shape", "numbers"]
    text: str


def _check(layer: Layer, name: str, call: Call) -> Result:
    """Run one function at its layer's sizes and at smaller ones; report the smallest failure.

    One that is right at its own sizes may be for these alone: elsewhere it may raise, or return what
    has their shape.
    """
    own = _failure(layer, name, call)
    others = refused = 0
    for case in (case for case in smaller(layer, kernels=0) if case.inputs != layer.inputs):
        failure = _failure(case, name, call)
        if failure and (failure.kind == "raises" or (failure.kind == "shape" and own is None)):
            refused += 1
        elif failure:
            return _failed(name, failure, case)
        else:
            others += 1
    if own:
        return _failed(name, own, layer)
    tried = f" and {others} smaller ones" if others else "; it refuses smaller ones" if refused else ""
    return Result(name, "numeric", True, f"equals the layer's own sums at its sizes{tried}")


def _failed(name: str, failure: _Failure, case: Layer) -> Result:
    text = f"{failure.text} Smallest failing case: {_sizes(case)}"
    return Result(name, "numeric", False, text)


def _failure(case: Layer, name: str, call: Call) -> _Failure | None:
    """Call a function with every probe of a layer; say what is wrong, None if nothing is."""
    for probe in probes(case):
        failure = _called(case, name, call, probe)
        if failure:
            place = f" It is {probe.where}." if probe.where else ""
            return replace(failure, text=failure.text + place)
    return None


def _called(case: Layer, name: str, call: Call, probe: Probe) -> _Failure | None:
    """Call a function with a probe's numbers; say what is wrong with what it returns."""
    inputs = [
        probe.values[t.name].astype(np.int64 if name in case.classes else case.dtype)
        for name, t in case.tensors.items()
    ]
    cotangent = probe.values[case.cotangent.name].astype(case.dtype)
    given = [*inputs, cotangent]
    before = [array.copy() for array in given]
    try:
        with warnings.catch_warnings(action="ignore"):
            returned = call(inputs, cotangent)
    except Exception as error:  # whatever a stranger's function raises is its answer
        names = [*case.inputs] if name == "forward" else ["grad_output", *case.inputs]
        given_ = f" It is called with {', '.join(names)}." if isinstance(error, TypeError) else ""
        return _Failure("raises", f"raises {type(error).__name__}: {error}.{given_}")
    if any(not np.array_equal(a, b) for a, b in zip(given, before, strict=True)):
        return _Failure("numbers", "writes to its inputs.")
    received = _arrays(returned)
    sweeps = list(case.differentiable)
    if name == "forward":
        sweeps = ["forward", *case.updates] if len(received) > 1 else ["forward"]
    if len(received) != len(sweeps):
        text = f"returns {len(received)} arrays, expected {len(sweeps)}: {', '.join(sweeps)}."
        return _Failure("numbers", text)
    failures = (_wrong(case, s, a, probe) for s, a in zip(sweeps, received, strict=True))
    return next((failure for failure in failures if failure), None)


def _arrays(returned: object) -> list[Array]:
    """Return several results as arrays, or the only one; a list of numbers is one."""
    several = isinstance(returned, tuple) or (
        isinstance(returned, list) and all(isinstance(array, np.ndarray) for array in returned)
    )
    return [np.asarray(array) for array in (returned if several else [returned])]  # type: ignore[attr-defined]  # a sequence


def _wrong(case: Layer, sweep: str, array: Array, probe: Probe) -> _Failure | None:
    """Say how a result differs from a layer's."""
    low, high = probe.wanted(case, sweep)
    what = _name_of(case, sweep)
    if array.dtype.kind not in "fiub":
        kind = "no array of numbers" if array.dtype == object else f"dtype {array.dtype}"
        return _Failure("numbers", f"{what} has {kind}, expected {case.dtype}.")
    if array.dtype.kind == "f" and array.dtype.itemsize < np.dtype(case.dtype).itemsize:
        return _Failure("numbers", f"{what} has dtype {array.dtype}, expected {case.dtype}.")
    if array.shape != low.shape:
        text = f"{what} has shape {array.shape}, expected {low.shape}."
        return _Failure("shape", text + _pitfall(case, sweep, array, probe))
    limit = _limit(case, graph_of(case, sweep, probe.stable), probe.values)
    limit = limit + probe.loose * np.max(np.abs(low), initial=0.0, where=np.isfinite(low))
    limit = np.broadcast_to(limit, low.shape)
    received = array.astype(float)
    if probe.ties and sweep != "forward":
        axes = tuple(range(2, received.ndim))
        received, low, high, limit = (a.sum(axis=axes) for a in (received, low, high, limit))
        what = f"the sum of {what} over a plane"
    with np.errstate(invalid="ignore"):
        right = ((received >= low - limit) & (received <= high + limit)) | np.isnan(low)
    if right.all():
        return None
    cell = np.unravel_index(int(np.argmin(right)), right.shape)
    at = f"[{', '.join(map(str, map(int, cell)))}]" if cell else ""
    shown, wanted = apart(received[cell], low[cell])
    if low[cell] != high[cell]:
        wanted = f"from {low[cell]:g} to {high[cell]:g}"
    text = f"{what}{at} = {shown}, expected {wanted}."
    return _Failure("numbers", text + _pitfall(case, sweep, array, probe))


def _name_of(case: Layer, sweep: str) -> str:
    """Return what a result is called."""
    if sweep == "forward":
        return "O"
    return case.words[sweep] if sweep in case.updates else f"∂E/∂{case.tensors[sweep].name}"


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
    """Name a pitfall whose own result is what was received: of padding, and of ties."""
    (maximum,) = case.graph.programs[0].contractions
    windows = Graph((Program((replace(maximum, reduce="sum"),)),))  # the same, added up
    x = case.tensors["x"]
    if sweep == "forward":
        expected, _ = probe.wanted(case, sweep)
        cells = evaluate_arrays(windows, {x.name: np.ones(x.sizes)})
        wrong = np.where(cells < math.prod(w.kernel for w in case.windows), 0.0, expected)
        found = "the padding's zero wins a maximum", ""
    else:
        wrong = evaluate_arrays(gradient(windows, x, case.cotangent), probe.values)
        found = CREDITED_IN_FULL
    if not (probe.ties or sweep == "forward") or not np.array_equal(received, wrong):
        return ""
    name, seen = found
    return f" This is a known pitfall: {name}{f' ({seen})' if seen else ''}."


def _limit(case: Layer, graph: Graph, values: dict[str, Array]) -> Array:
    """Return, for each element, how far rounding may move it: in proportion to its terms' sizes."""
    unit = float(np.finfo(case.dtype).eps)
    if case.composite or isinstance(case, Activation):
        found = np.abs(evaluate_arrays(graph.only(graph.output.name), values))
        largest = np.max(found, initial=0.0, where=np.isfinite(found))
        return np.asarray(ROUNDINGS * (unit * (1 + largest) + _moved(case, graph, values)))
    sizes = {name: np.abs(array) for name, array in values.items()}
    return np.asarray(ROUNDINGS * unit * evaluate_arrays(_magnitudes(graph), sizes) + unit)


def _moved(case: Layer, graph: Graph, values: dict[str, Array]) -> float:
    """Return how far results move when every number does by a rounding: far, where terms cancel."""
    unit, rng = float(np.finfo(case.dtype).eps), np.random.default_rng(0)
    still = evaluate_arrays(graph, values)
    labels = [case.tensors[name].name for name in case.classes]
    found = [0.0]
    for _ in range(3):
        moved = {
            name: array if name in labels else array * (1 + unit * rng.choice([-1, 1], array.shape))
            for name, array in values.items()
        }
        with np.errstate(all="ignore"):
            change = np.abs(evaluate_arrays(graph, moved) - still)
        found.append(float(np.max(change, initial=0.0, where=np.isfinite(change))))
    return max(found)


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
