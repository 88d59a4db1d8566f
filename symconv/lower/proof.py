"""A kernel compared with its graph on integers, before any text exists."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from symconv.errors import KernelError
from symconv.kernel.language import at
from symconv.kernel.run import run
from symconv.lower.any_batch import COMPARED, LETTER
from symconv.lower.layer_plan import Function, Plan
from symconv.lower.network_plan import NetworkPlan
from symconv.notation.contraction import integers
from symconv.notation.evaluate import evaluate
from symconv.notation.graph import Elementwise
from symconv.notation.monomials import term_count

MOST = 300  # terms of a graph that is compared: a few milliseconds
SPAN = 7  # integers that are drawn
ERROR = 1e-9  # of quotients, which are floats


def compare_plan(plan: Plan | NetworkPlan) -> None:
    """Compare each small function of a plan with its graph."""
    if isinstance(plan, NetworkPlan):
        functions = [f.function for f in plan.functions if f.applied is None]
    else:
        functions = [*plan.functions]
    letters = {LETTER: COMPARED} if plan.layer.any_batch else {}
    for function in functions:
        compare(function, letters)


def compare(function: Function, letters: Mapping[str, int] = MappingProxyType({})) -> None:
    """Run a small function's kernel and its graph on the same integers.

    A graph with expressions is left out: its values may be undefined at integers.

    Raises
    ------
    KernelError
        If the kernel is not valid, or computes something else.
    """
    graph, names = function.source.graph, function.source.names
    if any(isinstance(step, Elementwise) for step in graph.steps) or term_count(graph) > MOST:
        return
    if function.fast:
        return  # Fourier transforms have no exact values
    rng = np.random.default_rng(0)
    inputs = {
        buffer.tensor.name: rng.integers(
            -SPAN, SPAN, integers(at(size, letters) for size in buffer.tensor.shape)
        ).astype(object)
        for buffer in function.kernel.inputs
    }
    found = run(function.kernel, inputs, letters)
    wanted = evaluate(graph, {tensor: inputs[names[tensor]] for tensor in graph.inputs})
    for tensor, result in zip(graph.outputs, function.results, strict=True):
        pairs = zip(found[result.name].flat, wanted[tensor.name].flat, strict=True)
        if not all(a == b or math.isclose(float(a), float(b), abs_tol=ERROR) for a, b in pairs):
            raise KernelError(f"{function.name}: {result.name} is not what its graph means")
