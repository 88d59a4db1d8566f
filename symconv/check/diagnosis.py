"""Which known wrong rule gives what a function returned."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.check.probes import Probe, graph_of
from symconv.layers.conv import ConvLayer
from symconv.layers.layer import Layer, rebuild
from symconv.layers.normalisation import Normalisation
from symconv.layers.window import Window
from symconv.notation.arrays import evaluate_arrays, run_arrays
from symconv.notation.backpropagation import gradient, gradients
from symconv.notation.contraction import Program
from symconv.notation.graph import Graph, written
from symconv.prove.pitfalls import PITFALLS
from symconv.prove.refutations import NOT_COUNTED

Array = NDArray[Any]

OVERWRITTEN = (
    "overlapping windows are assigned, not added: = in place of += "
    "(CS231n-assignment2019#19, ocannl#512)"
)
MOST_PARTS = 64  # sets of windows that are assigned one after the other


@dataclass(frozen=True)
class Seen:
    """What a function returned for a probe, what is right, and how far rounding may move that."""

    case: Layer
    sweep: str
    probe: Probe
    received: Array
    expected: Array
    limit: Array

    def is_(self, wrong: Array) -> bool:
        """Whether a wrong rule's result was received, and is not right by chance."""
        if wrong.shape != self.received.shape:
            return False
        if wrong.shape != self.expected.shape:
            return bool(np.allclose(self.received, wrong, rtol=1e-3))
        with np.errstate(all="ignore"):
            same = np.abs(self.received - wrong) <= 4 * self.limit
            right = np.abs(wrong - self.expected) <= self.limit
        return bool(same.all() and not right.all())


Rule = tuple[str, Callable[[], Array | None]]


def known_rule(seen: Seen, only: str = "") -> str:
    """Name the wrong rule whose result was received, and where it was seen; nothing if none is known.

    With ``only`` no other rule is tried.
    """
    if seen.received.shape != seen.expected.shape:
        found = _shape(seen)
        if found:
            return found if only in ("", found) else ""
    for name, make in (*_of_layers(seen), *_of_any_layer(seen)):
        if only in ("", name):
            with np.errstate(all="ignore"):
                wrong = make()
            if wrong is not None and seen.is_(np.asarray(wrong)):
                return name
    return ""


def _shape(seen: Seen) -> str:
    """Name what a shape gives away."""
    received, expected = seen.received.shape, seen.expected.shape
    if 0 in received and 0 not in expected:
        return "the padding is cropped with [p:-p], which is empty at p = 0 (numpy-ml, cs231n)"
    if sorted(received) == sorted(expected) and received != expected:
        moved = sum(a != b for a, b in zip(received, expected, strict=True))
        return "two axes are swapped" if moved == 2 else "the axes are in another order"
    windows = getattr(seen.case, "windows", ())
    padded = tuple(w.size + w.lo + w.hi for w in windows)
    if padded and seen.sweep == "x" and received[2:] == padded:
        return "the padding is not cropped from the gradient of the padded input"
    return ""


def _of_any_layer(seen: Seen) -> Iterator[Rule]:
    """Visit what may go wrong in every gradient, most telling first."""
    case, right = seen.case, seen.expected
    if case.label_names:
        yield from _of_losses(seen)
    if seen.sweep == "forward" or seen.sweep in case.updates:
        return
    ones = {**seen.probe.values, case.cotangent.name: np.ones(case.output_shape)}
    graph = graph_of(case, seen.sweep, seen.probe.stable)
    yield (
        "grad_output is ignored: the gradient is that for grad_output = 1",
        lambda: evaluate_arrays(graph, ones),
    )
    for share in case.masks.values():
        yield "what is kept is not divided by the share that is kept", partial(np.multiply, right, share)
    batch = case.cotangent.sizes[0] if case.has_batch and not case.label_names else 1
    if batch > 1:
        yield (
            "the gradient is divided by the batch: that belongs to a loss that is a mean",
            lambda: right / batch,
        )
    positions = math.prod(case.cotangent.sizes[2:]) if getattr(case, "windows", ()) else 1
    if positions > 1:
        yield "the gradient is averaged over positions, not summed", lambda: right / positions
        both = positions * batch
        yield "the gradient is averaged over batch and positions", lambda: right / both
    yield "the gradient has the wrong sign", lambda: -right
    yield "the gradient is counted twice", lambda: 2 * right
    yield "a factor 2 is missing", lambda: right / 2
    yield "the gradient is zero: nothing is added to it", lambda: np.zeros(right.shape)
    if right.ndim >= 2 and right.shape[-1] == right.shape[-2]:
        yield "the last two axes of the gradient are swapped", lambda: np.swapaxes(right, -1, -2)
    if right.ndim >= 2 and right.shape[0] == right.shape[1]:
        yield "the first two axes of the gradient are swapped", lambda: np.swapaxes(right, 0, 1)
    for number in range(2):
        yield OVERWRITTEN, partial(_overwritten, seen, number)
    yield OVERWRITTEN, partial(_overwritten_by_taps, seen)


def _of_losses(seen: Seen) -> Iterator[Rule]:
    """Visit what a loss is divided by."""
    case, reduction = seen.case, seen.case.arguments["reduction"]
    if reduction == "none":
        return
    total, mean = (
        evaluate_arrays(
            graph_of(rebuild({**case.as_dict(), "reduction": r}), seen.sweep), seen.probe.values
        )
        for r in ("sum", "mean")
    )
    what = "the loss is" if seen.sweep == "forward" else "the gradient is that of a loss that is"
    if reduction == "sum":
        yield f"{what} averaged where it should be summed", lambda: mean
        return
    yield f"{what} summed where it should be averaged", lambda: total
    labels = math.prod(case.inputs["labels"]) if "labels" in case.inputs else case.input_shape[0]
    samples = "the sum of losses is divided by the number of samples"
    weighted = ", not by the sum of their weights" if case.classes else ""
    yield f"{samples}{weighted}", lambda: total / labels
    elements = math.prod(case.input_shape)
    yield "the sum of losses is divided by the number of elements", lambda: total / elements


def _overwritten_by_taps(seen: Seen) -> Array | None:
    """Assign each element's part of the filter in turn, at all positions together."""
    case, values = seen.case, seen.probe.values
    if seen.sweep != "x" or not case.convolution:
        return None
    graph = graph_of(case, "x")
    weight = case.tensors["weight"]
    result = np.zeros(seen.expected.shape)
    for tap in np.ndindex(*weight.sizes[2:]):
        only = np.zeros(weight.sizes)
        only[(slice(None), slice(None), *tap)] = 1
        ones = {weight.name: only, case.cotangent.name: np.ones(case.output_shape)}
        where = evaluate_arrays(graph, ones) != 0
        part = evaluate_arrays(graph, {**values, weight.name: values[weight.name] * only})
        result[where] = part[where]
    return result


def _overwritten(seen: Seen, number: int) -> Array | None:
    """Assign each window's gradient in turn, so that of overlapping ones the last remains.

    Number 0 assigns the whole window, number 1 what is not zero in it. Windows that do not overlap
    are computed together; each element keeps what the last of its windows gave it.
    """
    case, values = seen.case, seen.probe.values
    g = case.cotangent
    touched = _touched(case)
    if seen.sweep != "x" or len(g.sizes) < 3 or touched is None:
        return None
    apart = _apart(case)
    if math.prod(apart) > MOST_PARTS:
        return None
    graph = graph_of(case, "x", seen.probe.stable)
    order = 1 + np.arange(math.prod(g.sizes[2:])).reshape(g.sizes[2:])
    result, last = np.zeros(seen.expected.shape), np.zeros(seen.expected.shape)
    for start in np.ndindex(*apart):
        steps = [slice(first, None, step) for first, step in zip(start, apart, strict=True)]
        at: Any = (..., *steps)
        only, placed = np.zeros(g.sizes), np.zeros(g.sizes)
        only[at], placed[at] = values[g.name][at], order[at]
        part = evaluate_arrays(graph, {**values, g.name: only})
        when = touched(placed) / np.maximum(touched(np.sign(placed)), 1)
        later = (when > last) & (part != 0) if number else when > last
        result[later], last[later] = part[later], when[later]
    return result


def _apart(case: Layer) -> tuple[int, ...]:
    """Return how many positions along each axis are between windows that do not overlap."""
    windows: tuple[Window[int], ...] = getattr(case, "windows", ())
    if windows and not (case.convolution and case.convolution.transposed):
        return tuple(min(w.reach // w.stride + 1, w.outputs) for w in windows)
    return case.cotangent.sizes[2:]


def _touched(case: Layer) -> Callable[[Array], Array] | None:
    """Return what adds up numbers at outputs over the elements of X that their windows read."""
    x = next(iter(case.tensors.values()))
    steps = []
    for step in case.graph.steps:
        if not isinstance(step, Program):
            continue
        reading = [c for c in step.contractions if any(r.tensor == x for r in c.reads)]
        for c in reading:
            own = tuple(f for f in c.factors if getattr(f, "tensor", None) == x)
            if len(own) > 1:
                return None
            steps.append(Program((replace(c, factors=own, reduce="sum", coefficient=1),)))
    if len(steps) != 1 or steps[0].target.sizes != case.output_shape:
        return None
    graph = gradient(Graph((steps[0],)), x, case.cotangent)
    return lambda placed: evaluate_arrays(graph, {case.cotangent.name: placed})


def _of_layers(seen: Seen) -> Iterator[Rule]:
    """Visit the wrong rules of a kind of layer."""
    case, values = seen.case, seen.probe.values
    if case.pooling:
        for other in case.pooling.mistaken.values():
            graph = graph_of(other, seen.sweep)
            yield _named(NOT_COUNTED), partial(evaluate_arrays, graph, values)
        if case.pooling.takes_maxima:
            yield from _of_maxima(seen)
    if case.normalisation:
        yield from _of_normalisations(seen, case.normalisation)
    if case.has_shares and not case.label_names and seen.sweep == "x":
        shares = evaluate_arrays(case.forward, values)
        g = values[case.cotangent.name]
        yield (
            "only the diagonal of the Jacobian is used: G·O·(1 - O)",
            lambda: g * shares * (1 - shares),
        )
    if case.pointwise and seen.sweep == "x":
        x, g = (values[name] for name in (case.tensors["x"].name, case.cotangent.name))
        slopes = {"sigmoid": x * (1 - x), "tanh": 1 - x * x}
        if case.pointwise.function in slopes:
            slope = slopes[case.pointwise.function]
            yield (
                "the derivative, written in terms of the output, is applied to the input",
                lambda: g * slope,
            )
    if case.convolution:
        yield from _of_convolutions(seen, case.convolution)


def _of_convolutions(seen: Seen, case: ConvLayer) -> Iterator[Rule]:
    for pitfall in PITFALLS:
        graph = pitfall.wrong(case) if pitfall.sweep == seen.sweep else None
        if graph is not None and min(graph.output.sizes) > 0:
            name = _named((pitfall.name, pitfall.seen))
            yield name, partial(evaluate_arrays, graph, seen.probe.values)


def _of_maxima(seen: Seen) -> Iterator[Rule]:
    """Visit what padding does to a maximum: its zero wins where every element is negative."""
    case = seen.case
    if seen.sweep != "forward":
        return
    (maximum,) = case.graph.programs[0].contractions
    windows = Graph((Program((replace(maximum, reduce="sum"),)),))
    x = case.tensors["x"]
    kernel = math.prod(w.kernel for w in case.windows)  # type: ignore[attr-defined]  # pools have them
    met = evaluate_arrays(windows, {x.name: np.ones(x.sizes)})
    wins = np.where(met < kernel, np.maximum(seen.expected, 0.0), seen.expected)
    yield "the padding's zero wins a maximum", lambda: wins


def _of_normalisations(seen: Seen, case: Normalisation) -> Iterator[Rule]:
    sweep = seen.sweep
    values = seen.probe.values
    known = run_arrays(Graph(case.graph.steps), values)
    if sweep == "new_var":
        kept = (1 - case.share) * values["σ²"]
        yield (
            "the running variance is moved by the biased variance, not by M/(M - 1) times it",
            lambda: kept + case.share * known["V"],
        )
    if sweep in case.updates:
        other = rebuild({**case.as_dict(), "momentum": 1 - case.share})
        yield (
            "the momentum is the share of the old statistics, not of the batch's",
            lambda: evaluate_arrays(graph_of(other, sweep), values),
        )
    sums = [written(s).name for s in case.graph.steps if isinstance(s, Program)]
    if sweep == "x" and sums:
        held = replace(case.graph, results=(case.graph.output.name,), held=tuple(sums))
        x = case.tensors["x"]
        yield (
            "mean and variance are taken for constants: their own gradients are missing",
            lambda: evaluate_arrays(gradients(held, (x,), case.cotangent), values),
        )


def _named(pitfall: tuple[str, str]) -> str:
    name, seen = pitfall
    return f"{name} ({seen})" if seen else name
