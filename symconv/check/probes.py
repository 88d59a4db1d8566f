"""What anybody's functions are called with: ordinary numbers, and those where rules go wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.check.bounds import products_bound, running_bound
from symconv.check.exact import FAR
from symconv.layers.activation import Activation
from symconv.layers.activations import NAMED
from symconv.layers.layer import Layer
from symconv.layers.random_labels import labels_of
from symconv.notation.arrays import evaluate_arrays
from symconv.notation.contraction import Program
from symconv.notation.evaluate import cell_at
from symconv.notation.graph import Elementwise, Graph

Array = NDArray[Any]
Values = dict[str, Array]

NEAR = 1e-6  # on both sides of a kink
LIKELY_KINKS = np.concatenate([np.arange(-8.0, 9.0), np.arange(-8, 8, 1 / 8) + 1 / 16, [-0.01, 0.01]])
BESIDE = np.array([0.03, 0.01, 1e-3, 1e-4, 1e-5])  # from a kink
FEW_CELLS = 24  # an input of fewer elements is drawn again
LOOSE = 8e4  # roundings at 1000σ from 0: a mean of squares takes 10⁶, squared differences 10³
LARGE = np.array([-1000.0, -100.0, -30.0, 30.0, 100.0, 1000.0])
MARGIN = 16  # running bounds are of the definition: another formula may round this much more
TERMS = 3  # times that all but one product is zero


@dataclass(frozen=True)
class Probe:
    """Numbers for every tensor of a layer, and what is asked of a function that is called with them.

    Parameters
    ----------
    where
        What is special about the numbers; empty if nothing is.
    values
        The numbers, by the tensors' names; the layer's dtype has each of them.
    stable
        Whether the results are those of the form that does not overflow.
    kinks
        Whether derivatives may be anything between those at a point and on both sides of it.
    loose
        How far results may be off relative to the largest, besides rounding.
    overflows
        Where a result that is not finite is let pass: a step of an expression may overflow there.
    whole
        Whether sums of products of the numbers are whole, and so exact.
    """

    where: str
    values: Values
    stable: bool = False
    kinks: bool = False
    loose: float = 0.0
    overflows: NDArray[np.bool_] | None = None
    whole: bool = False

    def wanted(self, case: Layer, sweep: str) -> tuple[Array, Array]:
        """Return the least and the largest number that each element of a result may be."""
        graph = graph_of(case, sweep, self.stable)
        if not self.kinks or sweep == "forward":
            expected = evaluate_arrays(graph, self.values)
            return expected, expected
        x = case.tensors["x"].name
        slopes = [
            evaluate_arrays(graph, {**self.values, x: self.values[x] + h}) for h in (-NEAR, 0.0, NEAR)
        ]
        return np.min(slopes, axis=0), np.max(slopes, axis=0)

    def limit(self, case: Layer, sweep: str, expected: Array) -> Array:
        """Return how far rounding may move each element of a result."""
        graph = graph_of(case, sweep, self.stable)
        eps = float(np.finfo(case.dtype).eps)
        with np.errstate(all="ignore"):
            if not has_expressions(case):
                return products_bound(graph, self.values, eps, self.whole)
            found = MARGIN * running_bound(graph, self.values, eps)
            scale = np.abs(expected)
            if case.pointwise:
                above = 1.0 if sweep == "forward" else np.abs(self.values[case.cotangent.name])
                size = 1 + np.abs(self.values[case.tensors["x"].name])
                return np.asarray(np.fmax(found, MARGIN * eps * above * size))
            if case.has_shares:  # a small share is as precise as a large one
                return found + float(np.finfo(case.dtype).tiny)
            finite = np.isfinite(found)
            largest = float(np.max(found, initial=0.0, where=finite))
            top = float(np.max(scale, initial=0.0, where=np.isfinite(scale)))
            return np.broadcast_to(np.asarray(largest + self.loose * top), expected.shape)


def has_expressions(case: Layer) -> bool:
    """Whether a layer is more than sums and maxima of products."""
    return case.composite or case.pointwise is not None


@lru_cache(maxsize=512)
def graph_of(case: Layer, sweep: str, stable: bool = False) -> Graph:
    """Return what defines a layer's results: or the form of its output and gradients that is stable."""
    if sweep in case.updates:
        return case.graph.only(case.graph.outputs[1 + case.updates.index(sweep)].name)
    if sweep == "forward":
        graph = case.forward if stable else case.graph
    else:
        graph = case.backward_by(sweep) if stable else case.gradient(sweep)
    return graph.only(graph.output.name)


def probes(case: Layer) -> Iterator[Probe]:
    """Visit the numbers to call a layer's functions with; masks are 0 or 1."""
    for probe in _probes(case):
        yield replace(probe, values=_with_masks(case, probe.values)) if case.masks else probe


def _with_masks(case: Layer, values: Values) -> Values:
    """Return numbers with masks of 0 and 1, which are 1 where only some elements are not 0."""
    rng = np.random.default_rng(300)
    found = dict(values)
    for name, share in case.masks.items():
        tensor = case.tensors[name].name
        chosen = values[tensor] != 0
        if chosen.all():
            chosen = rng.random(chosen.shape) < share
            chosen.flat[0] = True
        found[tensor] = chosen.astype(float)
    return found


def _probes(case: Layer) -> Iterator[Probe]:
    smallest = min((math.prod(shape) for shape in case.inputs.values()), default=FEW_CELLS)
    seeds = range(min(4, max(1, FEW_CELLS // smallest)))  # a few must not be right by luck
    draws = [whole_numbers(case, seed) for seed in seeds]
    for seed, values in zip(seeds, draws, strict=True):
        yield Probe("", values, whole=not (has_expressions(case) or _takes_maxima(case)))
        yield ordinary(case, seed)
    if _takes_maxima(case):
        yield from _of_maxima(case, draws[-1])
    elif case.pointwise:
        yield from _of_activations(case.pointwise, draws[-1])
    elif case.composite:
        yield from _of_expressions(case, draws[-1])
    else:
        yield from _of_products(case)


def ordinary(case: Layer, seed: int) -> Probe:
    """Return normally distributed numbers."""
    return Probe("", _drawn(case, seed, 1.0))


def _of_products(case: Layer) -> Iterator[Probe]:
    """Visit numbers that are small, large, and of very different sizes; then single products."""
    yield Probe("where all numbers are near 0.001", _drawn(case, 0, 1e-3))
    yield Probe("where all numbers are near 1000", _drawn(case, 0, 1e3))
    yield Probe("where numbers are between 0.001 and 1000", _spread(case))
    for seed in range(TERMS):
        found = _one_product(case, seed)
        if found:
            yield Probe("where all products except one are zero", found)


def _of_maxima(case: Layer, values: Values) -> Iterator[Probe]:
    """Visit numbers far below zero, small, of very different sizes, and such that hardly differ."""
    x = next(iter(case.tensors.values())).name
    yield Probe("where x is far below 0", {**values, x: values[x] - FAR})
    yield Probe("where all numbers are near 0.001", _drawn(case, 0, 1e-3))
    yield Probe("where numbers are between 0.001 and 1000", _spread(case))
    for base in (-3.0, 3.0):
        order = np.random.default_rng(4).permutation(values[x].size).reshape(values[x].shape)
        step = float(np.finfo(case.dtype).eps) * 2
        near = np.asarray(base + order * step, dtype=case.dtype).astype(float)
        yield Probe("where values differ by 1 in the last place", {**values, x: near})


def _of_activations(case: Activation, values: Values) -> Iterator[Probe]:
    """Visit numbers of every size, those at which kinks are likely, and an upstream gradient of 1000."""
    x, g = case.tensors["x"].name, case.cotangent.name
    rng = np.random.default_rng(3)
    sizes = 10 ** rng.uniform(-3, 3, 96) * rng.choice([-1.0, 1.0], 96)
    for points in _cut(_finite(case, _as(case, sizes)), case):
        where = "where numbers are between 0.001 and 1000"
        named = case.function in NAMED
        overflows = None if named else _overflows(case, points)
        yield Probe(where, {**values, x: points}, stable=named, overflows=overflows)
    for points in _cut(_finite(case, _as(case, LIKELY_KINKS)), case):
        yield Probe("where kinks are likely", {**values, x: points}, kinks=True)
    for points in _cut(_finite(case, _as(case, _beside_kinks(case))), case):
        yield Probe("beside a kink", {**values, x: points})
    for points in _cut(LARGE, case) if case.function in NAMED else ():
        yield Probe("where x is large", {**values, x: points}, stable=True)
    yield Probe("where grad_output is near 1000", {**values, g: 1024 * values[g]})


def _of_expressions(case: Layer, values: Values) -> Iterator[Probe]:
    """Visit small and large inputs, parameters and upstream gradients, and inputs far from 0."""
    names = {tensor.name for name, tensor in case.tensors.items() if name not in case.classes}
    x, g = next(iter(case.tensors.values())).name, case.cotangent.name
    others = {name: 1024 * values[name] for name in names - {x}}
    exponential = case.has_shares
    yield Probe("where grad_output is near 1000", {**values, g: 1024 * values[g]})
    yield Probe("where all numbers are near 0.001", _scaled(values, names, 2.0**-10))
    if others:
        yield Probe("where parameters are near 1000", {**values, **others})
    if case.classes:
        (labels,) = (case.tensors[name].name for name in case.classes)
        best = np.where(values[labels] < 0, values[labels], values[x].argmax(axis=1))
        yield Probe("where losses are small", {**values, x: 8 * values[x], labels: best}, stable=True)
    if exponential:
        yield Probe("where shares are small", {**values, x: 16 * values[x]}, stable=True)
        yield Probe("where x is large", {**values, x: 1000 * values[x]}, stable=True)
    elif not case.network:
        yield Probe("where x is a thousand times larger", {**values, x: 1024 * values[x]})
    if case.normalisation:
        loose = LOOSE * float(np.finfo(case.dtype).eps)
        yield Probe("where x is near 1000", {**values, x: values[x] + 1000}, loose=loose)


def _scaled(values: Values, names: set[str], factor: float) -> Values:
    """Return values with some tensors multiplied by a factor."""
    return {name: array * factor if name in names else array for name, array in values.items()}


def _finite(case: Activation, points: Array) -> Array:
    """Return the points at and around which a function and its slope are finite numbers."""
    alone = replace(case, input_shape=points.shape)
    finite = np.ones(points.shape, bool)
    for sweep in ("forward", "x"):
        for h in (-NEAR, 0.0, NEAR):
            given = {"X": points + h, "G": np.ones(points.shape)}
            finite &= np.isfinite(evaluate_arrays(graph_of(alone, sweep), given))
    return np.asarray(points[finite])


def _beside_kinks(case: Activation) -> Array:
    """Return points on both sides of 0 and of the numbers that an expression compares with."""
    from sympy import Rel

    sides = (side for relation in case.expression.atoms(Rel) for side in relation.args)
    kinks = {float(side) for side in sides if side.is_number and side.is_finite} | {0.0}
    around = [kink + sign * BESIDE for kink in sorted(kinks) for sign in (-1, 1)]
    return np.concatenate(around)


def _overflows(case: Activation, points: Array) -> NDArray[np.bool_]:
    """Return where a part of an expression, or its square, overflows in the layer's dtype."""
    from sympy import Expr, preorder_traversal

    most = math.sqrt(float(np.finfo(case.dtype).max))
    given = {"X": points, "G": np.ones(points.shape)}
    found = np.zeros(points.shape, bool)
    alone = replace(case, input_shape=points.shape)
    steps = [s for sweep in ("forward", "x") for s in graph_of(alone, sweep).steps]
    for step in steps:
        assert isinstance(step, Elementwise)
        for part in preorder_traversal(step.expression):
            if isinstance(part, Expr) and part.free_symbols:
                values = evaluate_arrays(Graph((replace(step, expression=part),)), given)
                found |= ~(np.abs(values) <= most)
    return found


def _cut(points: Array, case: Layer) -> Iterator[Array]:
    """Visit arrays of a layer's input shape that together have every point."""
    size = math.prod(case.input_shape)
    for start in range(0, len(points), size):
        yield np.resize(points[start : start + size], case.input_shape)


def whole_numbers(case: Layer, seed: int = 0) -> Values:
    """Return random numbers for every tensor of a layer, none of them zero, whole where that is enough.

    Integers to ±8, or ±1/8 of them where they are put into functions, ±7/8 for those with a name: on
    both sides of every kink, and on none; in float64 they are none that float32 has. Where maxima are
    taken they all differ, and one factor is negative: a zero of the padding must not win.
    """
    rng = np.random.default_rng(seed)
    plain = not (has_expressions(case) or _takes_maxima(case))
    own = 1 + 2.0**-30 if case.dtype == "float64" and not plain else 1.0
    named = case.pointwise is not None and case.pointwise.function in NAMED
    small = 7 / 8 if named else 1 / 8 if has_expressions(case) else 1.0
    values: Values = {}
    for name, tensor in case.tensors.items():
        if name in case.classes:
            values[tensor.name] = labels_of(case, name, rng).astype(float)
        elif _takes_maxima(case):
            order = rng.permutation(math.prod(tensor.sizes)).reshape(tensor.sizes)
            apart = order + rng.integers(0, 512, tensor.sizes) / 1024  # for products to differ, too
            values[tensor.name] = own * (1 + apart) * (-1 if not values else 1)
        else:
            sign = 1.0 if _positive(name) else rng.choice([-1.0, 1.0], tensor.sizes)
            values[tensor.name] = own * small * rng.integers(1, 8, tensor.sizes, endpoint=True) * sign
    g = case.cotangent
    whole = rng.integers(2, 8, g.sizes, endpoint=True) * rng.choice([-1.0, 1.0], g.sizes)
    values[g.name] = np.asarray(whole)
    return values


def _drawn(case: Layer, seed: int, scale: float) -> Values:
    """Return normally distributed numbers with all the digits that the layer's dtype has."""
    rng = np.random.default_rng(100 + seed)
    values: Values = {}
    for name, tensor in case.tensors.items():
        if name in case.classes:
            values[tensor.name] = labels_of(case, name, rng).astype(float)
            continue
        numbers = scale * np.asarray(rng.standard_normal(tensor.sizes))
        values[tensor.name] = _as(case, np.abs(numbers) + 0.25 if _positive(name) else numbers)
    g = case.cotangent
    values[g.name] = _as(case, scale * np.asarray(rng.standard_normal(g.sizes)))
    if case.pointwise:  # an expression may have no value at some
        x = case.tensors["x"]
        points = _finite(case.pointwise, values[x.name].ravel())
        values[x.name] = np.resize(points, x.sizes) if points.size else values[x.name]
    return values


def _spread(case: Layer) -> Values:
    """Return numbers whose sizes are between 0.001 and 1000, all equally likely."""
    rng = np.random.default_rng(7)
    return {
        tensor.name: _as(
            case, 10 ** rng.uniform(-3, 3, tensor.sizes) * rng.choice([-1.0, 1.0], tensor.sizes)
        )
        for tensor in (*case.tensors.values(), case.cotangent)
    }


def _one_product(case: Layer, seed: int) -> Values | None:
    """Return zeros except for the elements that one product of the layer's first sum reads."""
    rng = np.random.default_rng(200 + seed)
    program = next((step for step in case.graph.steps if isinstance(step, Program)), None)
    if program is None or program.target != case.graph.output:
        return None
    contraction = program.contractions[0]
    values: Values = {t.name: np.zeros(t.sizes) for t in (*case.tensors.values(), case.cotangent)}
    for _ in range(50):
        point = {name: int(rng.integers(size)) for name, size in contraction.ranges.items()}
        accesses = {case.cotangent.name: contraction.target}
        accesses |= {read.tensor.name: read for read in contraction.reads}
        cells = {name: cell_at(access, point) for name, access in accesses.items()}
        if None not in cells.values():
            for name, cell in cells.items():
                if name in values:
                    number = rng.uniform(1, 2) * rng.choice([-1.0, 1.0])
                    values[name][cell] = float(_as(case, number))
            return values
    return None


def _as(case: Layer, numbers: Any) -> Array:
    """Round numbers to those that a layer's dtype has."""
    return np.asarray(np.asarray(numbers, dtype=case.dtype), dtype=float)


def _positive(name: str) -> bool:
    return name.endswith("running_var")


def _takes_maxima(case: Layer) -> bool:
    if has_expressions(case):
        return False
    programs = [step for step in case.graph.steps if isinstance(step, Program)]
    return any(c.reduce == "max" for program in programs for c in program.contractions)
