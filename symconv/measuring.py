"""The verbs that measure: they run what they time, on one core."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from symconv.bench.benchmark import Benchmark
from symconv.bench.growth import Growth, time_families
from symconv.bench.peers import absent, versions
from symconv.bench.row import FAST, FAST_IN_C, IN_C, OURS, limits, measure, processor
from symconv.bench.timing import one_core
from symconv.bench.tune import tune as measure_algorithms
from symconv.errors import SymconvError
from symconv.files import compiler, layer_in, load_source, read_module
from symconv.layers.layer import Layer
from symconv.lower.layer_plan import Plan
from symconv.lower.tuning import Tuning
from symconv.targets.c.plan import plan_in_c
from symconv.targets.numpy.network_module import render_module
from symconv.targets.numpy.plan import plan_module
from symconv.verb_arguments import check_accuracy, check_order, check_seconds, check_target
from symconv.verbs import a_layer, generate, single, unit_in_c
from symconv.version import __version__


def tune(
    layer: Layer,
    order: int = 1,
    accuracy: str = "direct",
    seconds: float = 2.0,
    advance: Callable[[], None] = lambda: None,
    target: str = "numpy",
) -> Tuning:
    """Measure, on one core of this machine, every algorithm that could compute a layer's functions.

    Parameters
    ----------
    layer, order, accuracy, target
        As for :func:`generate`; the layer must not be a network.
    seconds
        Time for each correlation of a function, shared by all its algorithms.
    advance
        A callback without arguments, called after each function.

    Raises
    ------
    SymconvError
        If an argument is not valid.
    """
    check_seconds(seconds)
    check_target(target, "tuned")
    given = a_layer(layer), check_order(order), check_accuracy(accuracy)
    if target == "c":
        plan = single(plan_in_c(*given))
        try:
            return measure_algorithms(plan, seconds, _load_c, advance, target)
        except OSError as error:  # without a compiler
            raise SymconvError(str(error)) from error
    return measure_algorithms(single(plan_module(*given)), seconds, _load, advance)


def bench(
    files: Sequence[str | os.PathLike[str]],
    seconds: float = 4.0,
    advance: Callable[[], None] = lambda: None,
) -> Benchmark:
    """Time generated convolutions against other installed libraries, on one core.

    Parameters
    ----------
    files
        Paths of generated modules of ``Conv`` in float32, without bias.
    seconds
        Time for each module and sweep, shared by all libraries.
    advance
        A callback without arguments, called after each file.

    Raises
    ------
    SymconvError
        If a file cannot be read or is not such a module, or ``seconds`` is not a positive number.
    """
    check_seconds(seconds)
    modules = []
    for file in files:
        path, source = read_module(file)
        layer = layer_in(path, source)
        conv = layer.convolution.plain if layer.convolution else None
        if conv is None or conv.bias or conv.dtype != "float32" or conv.any_batch:
            raise SymconvError(
                f"{path}: must be a Conv in float32 for a number of samples, without bias"
            )
        ours = {OURS: load_source("benched", source)}
        fast = generate(layer, "benched", accuracy="fast")
        if any(function.fast for function in single(fast.plan).functions):
            ours[FAST] = fast.load()
        if compiler() is not None:
            ours[IN_C] = generate(layer, "benched", target="c").load()
            fast = generate(layer, "benched", accuracy="fast", target="c")
            if any(function.fast for function in single(fast.plan).functions):
                ours[FAST_IN_C] = fast.load()
        modules.append((Path(path).stem, conv, ours))
    rows = []
    with one_core():
        found = limits()
        for name, layer, ours in modules:
            rows.append(measure(name, layer, ours, seconds))
            for module in ours.values():
                module.release()
            advance()
    machine = processor()
    date = time.strftime("%Y-%m-%d")
    return Benchmark(tuple(rows), found, machine, date, versions(), tuple(absent()))


def growth(seconds: float = 1.0, advance: Callable[[], None] = lambda: None) -> Growth:
    """Time families of convolutions that differ in one size, on one core.

    Parameters
    ----------
    seconds
        Time for each layer and sweep, shared by all libraries.
    advance
        A callback without arguments, called after each layer.

    Raises
    ------
    SymconvError
        If ``seconds`` is not a positive number.
    """
    return time_families(check_seconds(seconds), _load, advance)


def _load(plan: Plan) -> ModuleType:
    """Return the module of a plan, which is only timed."""
    return load_source("timed", render_module(plan, "timed", __version__))


def _load_c(plan: Plan) -> ModuleType:
    """Return the module of a plan for C, which is only timed."""
    return unit_in_c(plan, "timed").load()
