"""From a layer to the plan of its module: each function's formula, stages and the choice made."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod

from symconv.derive.forms import swapped
from symconv.layers.conv import ConvLayer
from symconv.layers.padding import Piece
from symconv.notation.contraction import Contraction, Program
from symconv.notation.correlation import (
    Correlation,
    gather,
    phase_count,
    polyphase,
    recognise,
)
from symconv.notation.graph import Graph
from symconv.notation.names import CELLS, QUOTIENTS
from symconv.plan.algorithms import (
    AddBias,
    Algorithm,
    Candidate,
    Columns,
    Extend,
    FoldBack,
    Intermediate,
    Phases,
    Pointwise,
    Rows,
    Scatter,
    Shift,
    Stage,
    SumBias,
    Table,
)
from symconv.plan.cost import microseconds

LARGEST_TABLE = 256  # entries: a table is a constant that is printed
MOST_PHASES = 64  # phases that are looped over, their tables printed
SHOWN_PHASES = 4  # phases that a docstring writes out
BLOCK = 1 << 18  # numbers of scratch that a block of images or planes may need

_NAMES = {"X": "x", "F": "weight", "b": "bias", "O": "y", "G": "grad_output"}
_GRADIENTS = {"x": "gx", "weight": "gw", "bias": "gb"}
READS: dict[str, list[str]] = {"x": ["weight"], "weight": ["x"], "bias": []}  # besides grad_output
FUNCTIONS = {"x": "input_gradient", "weight": "weight_gradient", "bias": "bias_gradient"}


@dataclass(frozen=True)
class Array:
    """An array of the module: its name and shape."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Function:
    """A function of the module.

    Parameters
    ----------
    name, inputs, result
        What it is called, takes and returns.
    formula
        The programs that it computes; a strided write in its solved form.
    stages
        What it does, in order.
    candidates
        The algorithms that apply to its correlation, fastest first: the first one is in ``stages``.
        Empty if it has no correlation.
    """

    name: str
    inputs: tuple[Array, ...]
    result: Array
    formula: Graph
    stages: tuple[Stage, ...]
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Plan:
    """A module: the layer and its functions, ``forward`` first."""

    layer: ConvLayer
    forward: Function
    gradients: tuple[Function, ...]


def plan_layer(layer: ConvLayer) -> Plan:
    """Choose how each function of a layer's module is computed."""
    inputs = [Array(name, tensor.sizes) for name, tensor in layer.tensors.items()]
    output = Array("y", layer.output_shape)
    return Plan(
        layer,
        _function("forward", inputs, output, layer.graph),
        tuple(_gradient(layer, name) for name in layer.tensors),
    )


def _gradient(layer: ConvLayer, name: str) -> Function:
    """Plan the gradient by one of forward's inputs."""
    inputs = [Array("grad_output", layer.output_shape)]
    inputs += [Array(other, layer.tensors[other].sizes) for other in READS[name]]
    result = Array(_GRADIENTS[name], layer.tensors[name].sizes)
    return _function(FUNCTIONS[name], inputs, result, swapped(layer, name))


def _function(name: str, inputs: list[Array], result: Array, graph: Graph) -> Function:
    names = _array_names(graph, result)
    stages: list[Stage] = []
    formulas: list[Program] = []
    candidates: tuple[Candidate, ...] = ()
    for kind, steps in itertools.groupby(graph.steps, key=_kind):
        programs = [step for step in steps if isinstance(step, Program)]
        if kind != "sum":
            stages.append(_padding_stage(kind, programs, names))
            formulas += programs
            continue
        for program in programs:
            if program.target != graph.output:
                stages.append(Intermediate(names[program.target.name], program.target.sizes))
            solved = []
            for contraction in program.contractions:
                if len(contraction.reads) == 1:
                    stages.append(_bias_stage(contraction, names))
                    solved.append(contraction)
                    continue
                candidates = rank_candidates(contraction, names)
                stages.append(candidates[0].algorithm)
                scatters = isinstance(candidates[0].algorithm, Scatter)
                solved += [contraction] if scatters else _solve(contraction).contractions
            formulas.append(Program(tuple(solved)))
    return Function(name, tuple(inputs), result, Graph(tuple(formulas)), tuple(stages), candidates)


def rank_candidates(contraction: Contraction, names: dict[str, str]) -> tuple[Candidate, ...]:
    """Return every algorithm that computes a contraction, fastest first."""
    correlation = _named(recognise(contraction), names)
    found = [Candidate(algorithm, microseconds(algorithm)) for algorithm in _applicable(correlation)]
    return tuple(sorted(found, key=lambda candidate: candidate.microseconds))


def _applicable(c: Correlation) -> Iterable[Algorithm]:
    if c.result == "cells":
        yield from _solved_algorithms(c)
        return
    taps, positions = prod(a.taps for a in c.axes), prod(a.positions for a in c.axes)
    channels = c.groups * c.channels
    spans = prod(a.span for a in c.axes)
    if all(a.taps == a.stride == 1 and a.inside and a.cells == a.positions for a in c.axes):
        yield Pointwise(c, _images(c, channels * positions))
    if channels * taps * positions <= LARGEST_TABLE:
        yield Table(c, _flat_cells(c))
    yield Columns(c, _images(c, channels * (taps * positions + spans)))
    if len(c.axes) > 1 and c.axes[0].stride == 1:
        first, *inner = c.axes
        shifted = first.span * prod(a.taps * a.positions for a in inner)
        yield Rows(c, _images(c, channels * (shifted + spans)))
    if c.channels == c.filters == 1:
        planes = _block(c.groups, (spans + positions) * 4)
        images = 1 if planes < c.groups else _images(c, c.groups * (spans + positions) * 4)
        rows = c.axes[0].positions
        if planes == images == 1:
            rows = _block(rows, 4 * positions // rows)
        yield Shift(c, images, planes, rows)


def _solved_algorithms(c: Correlation) -> Iterable[Algorithm]:
    """Algorithms for the cells: those of the plain correlation if there is one phase, else phases."""
    phases = math.prod(map(phase_count, c.axes))
    if phases <= MOST_PHASES:
        yield from _by_phases(c)
    taps = prod(a.taps for a in c.axes)
    positions = prod(a.positions for a in c.axes)
    yield Scatter(c, _images(c, c.groups * c.channels * taps * positions))


def _by_phases(c: Correlation) -> Iterable[Algorithm]:
    axes = tuple(map(polyphase, c.axes))
    solved = Correlation(
        cells=c.positions,
        taps=c.taps,
        positions=c.cells,
        result="positions",
        batch=c.batch,
        groups=c.groups,
        channels=c.filters,
        filters=c.channels,
        taps_transposed=not c.taps_transposed,
        solved=True,
        axes=tuple(phases[0] for phases in axes if phases),
    )
    positions = prod(a.positions for a in c.axes)
    if all(a.stride == 1 for a in c.axes):
        yield from _applicable(solved)
        return
    covered = all(
        sum(p.positions for p in phases) == a.cells for phases, a in zip(axes, c.axes, strict=True)
    )
    taps = prod(max((p.taps for p in phases), default=0) for phases in axes)
    each = prod(max((p.positions for p in phases), default=0) for phases in axes)
    images = _images(c, c.groups * c.filters * (taps * each + positions))
    yield Phases(c, axes, covered, images, by_shifts=False)
    if c.channels == c.filters == 1:
        images = _images(c, c.groups * (4 * each + positions))
        yield Phases(c, axes, covered, images, by_shifts=True)


def _images(c: Correlation, numbers: int) -> int:
    """Return how many images a block holds, each needing so many numbers of scratch."""
    return _block(c.batch, numbers)


def _block(count: int, numbers: int) -> int:
    """Return the largest divisor of a count whose scratch stays in the cache; at least 1."""
    small = [size for size in range(1, math.isqrt(count) + 1) if count % size == 0]
    fitting = (s for s in (*small, *(count // s for s in small)) if s * numbers <= BLOCK)
    return max(fitting, default=1)


def _flat_cells(c: Correlation) -> tuple[tuple[int, ...], ...]:
    """Return the flat cell that each tap (rows) reads at each position (columns), channel by channel."""
    size = prod(a.cells for a in c.axes)
    outside = c.groups * c.channels * size
    rows = []
    for channel in range(c.groups * c.channels):
        for taps in itertools.product(*(range(a.taps) for a in c.axes)):
            row = []
            for positions in itertools.product(*(range(a.positions) for a in c.axes)):
                flat: int | None = 0
                for a, k, p in zip(c.axes, taps, positions, strict=True):
                    cell = a.stride * p + a.dilation * k + a.offset
                    inside = flat is not None and 0 <= cell < a.cells
                    flat = (flat or 0) * a.cells + cell if inside else None
                row.append(outside if flat is None else channel * size + flat)
            rows.append(tuple(row))
    return tuple(rows)


def _solve(contraction: Contraction) -> Program:
    """Return the gather form of a contraction that writes its cells, others as they are."""
    correlation = recognise(contraction)
    if correlation.result != "cells":
        return Program((contraction,))
    if math.prod(map(phase_count, correlation.axes)) not in range(1, SHOWN_PHASES + 1):
        return Program((contraction,))
    axes = [(polyphase(axis), axis.cells) for axis in correlation.axes]
    if any(sum(p.positions for p in phases) < cells for phases, cells in axes):
        return Program((contraction,))
    names = CELLS if all(a.stride == 1 for a in correlation.axes) else QUOTIENTS
    return gather(contraction, names[len(correlation.axes)])


def _kind(step: object) -> str:
    """Tell a step that pads, one that folds back, and one that sums."""
    if not isinstance(step, Program) or any(len(c.reads) != 1 for c in step.contractions):
        return "sum"
    target, source = step.target.sizes, step.contractions[0].reads[0].tensor.sizes
    if len(target) != len(source):
        return "sum"
    return "extend" if prod(target) > prod(source) else "fold"


def _padding_stage(kind: str, steps: list[Program], names: dict[str, str]) -> Stage:
    """Collect the pieces along each axis from the programs that pad, or that fold back."""
    if kind == "fold":
        steps = steps[::-1]
    small, large = (
        (steps[0].contractions[0].reads[0].tensor, steps[-1].target)
        if kind == "extend"
        else (steps[0].target, steps[-1].contractions[0].reads[0].tensor)
    )
    axes: list[tuple[Piece[int], ...]] = [(Piece(0, size, 0, 1),) for size in small.sizes]
    for step in steps:
        axis = next(
            a
            for a, sizes in enumerate(
                zip(step.target.shape, step.contractions[0].reads[0].tensor.shape, strict=True)
            )
            if sizes[0] != sizes[1]
        )
        axes[axis] = tuple(_piece(c, axis, kind) for c in step.contractions)
    if kind == "extend":
        return Extend(names[small.name], names[large.name], large.sizes, tuple(axes))
    return FoldBack(names[large.name], names[small.name], large.sizes, tuple(axes))


def _piece(contraction: Contraction, axis: int, kind: str) -> Piece[int]:
    padded, plain = contraction.target, contraction.reads[0]
    if kind == "fold":
        padded, plain = plain, padded
    name = padded.subscripts[axis].variables[0]
    return Piece(
        start=int(padded.subscripts[axis].constant),
        count=contraction.ranges[name],
        source=int(plain.subscripts[axis].constant),
        step=int(plain.subscripts[axis].coefficient(name)),
    )


def _bias_stage(contraction: Contraction, names: dict[str, str]) -> Stage:
    (read,) = contraction.reads
    target, source = names[contraction.target.tensor.name], names[read.tensor.name]
    if target == "gb":
        return SumBias(source, target, len(read.subscripts) - 2)
    return AddBias(source, target, len(contraction.target.subscripts) - 2)


def _array_names(graph: Graph, result: Array) -> dict[str, str]:
    """Return what the module calls each tensor: a padded one ``extended``, its gradient ``spread``."""
    names = dict(_NAMES)
    names[graph.output.name] = result.name
    for step in graph.steps:
        if isinstance(step, Program):
            for contraction in step.contractions:
                for access in (contraction.target, *contraction.reads):
                    name = access.tensor.name
                    names.setdefault(name, "spread" if name.startswith("∂") else "extended")
    return names


def _named(c: Correlation, names: dict[str, str]) -> Correlation:
    return replace(c, cells=names[c.cells], taps=names[c.taps], positions=names[c.positions])
