"""Timing several functions in turn: what disturbs one disturbs all."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

LEAST = 1e-3  # seconds that a measurement takes at least: shorter calls are repeated
ROUNDS = 15


@dataclass(frozen=True)
class Time:
    """Seconds of a call: the median of the rounds, and their quartiles."""

    median: float
    low: float
    high: float


def race(
    functions: Mapping[str, Callable[[], object]], rounds: int = ROUNDS, budget: float = 4.0
) -> dict[str, Time]:
    """Time functions without arguments, round by round, each round in another order.

    Parameters
    ----------
    functions
        By name; each is called once before, to warm up.
    rounds
        How often each is measured.
    budget
        Seconds that all may take together; slow functions are measured in fewer rounds, at least 3.
    """
    if not functions:
        return {}
    repeats, once = {}, 0.0
    for name, function in functions.items():
        function()
        start = time.perf_counter()
        function()
        seconds = time.perf_counter() - start
        repeats[name] = max(1, round(LEAST / max(seconds, 1e-9)))
        once += seconds * repeats[name]
    rounds = max(3, min(rounds, int(budget / max(once, 1e-9))))
    measured: dict[str, list[float]] = {name: [] for name in functions}
    names = list(functions)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            function, count = functions[name], repeats[name]
            start = time.perf_counter()
            for _ in range(count):
                function()
            measured[name].append((time.perf_counter() - start) / count)
    return {name: _time(found) for name, found in measured.items()}


def _time(seconds: list[float]) -> Time:
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return Time(median, low, high)


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process on one core, and NumPy's BLAS on one thread, while something runs.

    Other libraries are told by their own settings, before they start: see :mod:`symconv.bench.peers`.
    """
    with ExitStack() as stack:
        if find_spec("threadpoolctl"):  # else the core is one, anyway
            stack.enter_context(import_module("threadpoolctl").threadpool_limits(1))
        if hasattr(os, "sched_setaffinity"):
            before = os.sched_getaffinity(0)
            os.sched_setaffinity(0, {max(before)})
            stack.callback(os.sched_setaffinity, 0, before)
        yield
