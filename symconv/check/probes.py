"""The numbers that anybody's functions are called with: any ones, and those where rules go wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.check.exact import FAR
from symconv.layers.activation import Activation
from symconv.layers.activations import NAMED
from symconv.layers.layer import Layer
from symconv.layers.normalisation import BatchNorm, LayerNorm
from symconv.layers.pool import GlobalMaxPool, MaxPool
from symconv.layers.softmax import Softmax, SoftmaxCrossEntropy
from symconv.notation.arrays import evaluate_arrays
from symconv.notation.contraction import Program
from symconv.notation.graph import Graph

Array = NDArray[Any]
Values = dict[str, Array]

NEAR = 1e-6  # on both sides of a kink
LIKELY_KINKS = np.concatenate([np.arange(-8.0, 9.0), np.arange(-8, 8, 1 / 8) + 1 / 16, [-0.01, 0.01]])
FEW_CELLS = 24  # an input of fewer cells is drawn again
LARGE = np.array([-1000.0, -100.0, -30.0, 30.0, 100.0, 1000.0])


@dataclass(frozen=True)
class Probe:
    """Numbers for every tensor of a layer, and what is asked of a function that is called with them.

    Parameters
    ----------
    where
        What is special about the numbers; empty if nothing is.
    values
        They, by the tensors' names.
    stable
        Whether the results are those of the form that does not overflow.
    kinks
        Whether derivatives may be anything between those at a point and on both sides of it.
    ties
        Whether a gradient is only asked to hand on the whole of G, to whichever maximum.
    loose
        How far results may be off, relative to the largest; besides rounding of a sum.
    """

    where: str
    values: Values
    stable: bool = False
    kinks: bool = False
    ties: bool = False
    loose: float = 0.0

    def wanted(self, case: Layer, sweep: str) -> tuple[Array, Array]:
        """Return the least and the greatest number that each cell of a result may be."""
        graph = graph_of(case, sweep, self.stable)
        if not self.kinks or sweep == "forward":
            expected = evaluate_arrays(graph, self.values)
            return expected, expected
        x = case.tensors["x"].name
        slopes = [
            evaluate_arrays(graph, {**self.values, x: self.values[x] + h}) for h in (-NEAR, 0.0, NEAR)
        ]
        return np.min(slopes, axis=0), np.max(slopes, axis=0)


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
    """Visit the numbers to call a layer's functions with."""
    x = case.tensors["x"].name if "x" in case.inputs else ""
    cells = math.prod(case.input_shape) if x else FEW_CELLS
    for seed in range(max(1, FEW_CELLS // cells)):  # a few cells must not be right by luck
        values = _any(case, seed)
        yield Probe("", values)
    if isinstance(case, MaxPool | GlobalMaxPool):
        yield Probe("where x is far below 0", {**values, x: values[x] - FAR})
        yield Probe("where every cell is -1", {**values, x: np.full(case.input_shape, -1.0)}, ties=True)
    if isinstance(case, Activation):
        for points in _cut(_finite(case), case):
            yield Probe("where kinks are likely", {**values, x: points}, kinks=True)
        for points in _cut(LARGE, case) if case.function in NAMED else ():
            yield Probe("where x is large", {**values, x: points}, stable=True)
    if isinstance(case, Softmax | SoftmaxCrossEntropy):
        large = 1000 * values[x]
        yield Probe("where x is large", {**values, x: large}, stable=True)
    if isinstance(case, BatchNorm | LayerNorm):
        yield Probe("where x is near 1000", {**values, x: values[x] + 1000}, loose=0.01)


def _finite(case: Activation) -> Array:
    """Return the points at and around which a function and its slope are numbers."""
    alone = replace(case, input_shape=LIKELY_KINKS.shape)
    finite = np.ones(LIKELY_KINKS.shape, bool)
    for sweep in ("forward", "x"):
        for h in (-NEAR, 0.0, NEAR):
            given = {"X": LIKELY_KINKS + h, "G": np.ones(LIKELY_KINKS.shape)}
            finite &= np.isfinite(evaluate_arrays(graph_of(alone, sweep), given))
    return np.asarray(LIKELY_KINKS[finite])


def _cut(points: Array, case: Layer) -> Iterator[Array]:
    """Visit arrays of a layer's input shape that together have every point."""
    size = math.prod(case.input_shape)
    for start in range(0, len(points), size):
        yield np.resize(points[start : start + size], case.input_shape)


def _any(case: Layer, seed: int) -> Values:
    """Return random numbers for every tensor of a layer, none of them zero.

    Integers to ±8, or ±1/8 of them where they are put into functions, ±7/8 for those with a name: on
    both sides of every kink, and on none. Where maxima are taken they all differ, and one factor is
    negative: a zero of the padding must not win. In float64 they are none that float32 has.
    """
    rng = np.random.default_rng(seed)
    own = 1 + 2.0**-30 if case.dtype == "float64" else 1.0
    named = isinstance(case, Activation) and case.function in NAMED
    small = 7 / 8 if named else 1 / 8 if case.composite or isinstance(case, Activation) else 1.0
    values: Values = {}
    for name, tensor in case.tensors.items():
        if name in case.classes:
            values[tensor.name] = rng.integers(0, case.classes[name], tensor.sizes).astype(float)
        elif _takes_maxima(case):
            order = rng.permutation(math.prod(tensor.sizes)).reshape(tensor.sizes)
            apart = order + rng.integers(0, 512, tensor.sizes) / 1024  # for products to differ, too
            values[tensor.name] = own * (1 + apart) * (-1 if not values else 1)
        else:
            sign = 1.0 if name == "running_var" else rng.choice([-1.0, 1.0], tensor.sizes)
            values[tensor.name] = own * small * rng.integers(1, 8, tensor.sizes, endpoint=True) * sign
    g = case.cotangent
    values[g.name] = rng.integers(1, 8, g.sizes, endpoint=True) * rng.choice([-1.0, 1.0], g.sizes)
    return values


def _takes_maxima(case: Layer) -> bool:
    programs = [step for step in case.graph.steps if isinstance(step, Program)]
    return any(c.reduce == "max" for program in programs for c in program.contractions)
