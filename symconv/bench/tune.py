"""Timing every algorithm that a plan may choose, on this machine."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from symconv.bench.row import processor
from symconv.bench.timing import one_core, race
from symconv.lower.layer_plan import Function, Plan
from symconv.lower.tuning import Measured, Tuning, variants, with_choice, with_functions

Load: TypeAlias = Callable[[Plan], ModuleType]


def tune(
    plan: Plan, seconds: float, load: Load, advance: Callable[[], None], target: str = "numpy"
) -> Tuning:
    """Measure every algorithm for every correlation of a layer's functions.

    Parameters
    ----------
    plan
        The layer's plan.
    seconds
        For each correlation, all its algorithms together.
    load
        Returns the module of a plan.
    advance
        Is called after each function.
    target
        The language of these modules.
    """
    functions: dict[str, tuple[Measured, ...]] = {}
    with one_core():
        for function in plan.functions:
            if function.choices:
                functions[function.name] = tuple(
                    _measured(plan, function, at, seconds, load) for at in range(len(function.choices))
                )
            advance()
    return Tuning(processor(), plan.layer.as_dict(), plan.accuracy, functions, target)


def _measured(plan: Plan, function: Function, at: int, seconds: float, load: Load) -> dict[str, float]:
    """Return microseconds of a function with each algorithm for one of its correlations."""
    rng = np.random.default_rng(0)
    dtype = np.dtype(plan.layer.dtype)
    arrays = [rng.standard_normal(a.sizes).astype(dtype) for a in function.inputs]
    outs = tuple(np.empty(result.sizes, dtype) for result in function.results)
    calls = {}
    for name, candidate in variants(function.choices[at], function.source.options.cost).items():
        one = with_functions(plan, [with_choice(function, at, [candidate])])
        module = load(one)
        calls[name] = _call(module, function.name, arrays, outs)
    return {name: round(time.median * 1e6, 2) for name, time in race(calls, budget=seconds).items()}


def _call(
    module: ModuleType, name: str, arrays: list[NDArray[Any]], outs: tuple[NDArray[Any], ...]
) -> Callable[[], object]:
    function = getattr(module, name)
    out = outs if len(outs) > 1 else outs[0]
    return lambda: function(*arrays, out=out)
