"""From a graph to stages: what each step reads and writes decides which algorithm computes it."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod

from symconv.errors import NotRecognisedError
from symconv.notation.contraction import Access, Contraction, Program, Tensor
from symconv.notation.correlation import gather, phase_count, polyphase, recognise
from symconv.notation.graph import (
    Constant,
    Elementwise,
    Graph,
    Selection,
    Step,
    folded,
    read_by_expressions,
)
from symconv.notation.names import CELLS, QUOTIENTS
from symconv.plan.algorithms import (
    Apply,
    Candidate,
    Choose,
    Contract,
    Cut,
    Extend,
    Given,
    Intermediate,
    Move,
    Scatter,
    Spread,
    Stage,
    View,
    WindowMaximum,
    WindowPick,
    WindowSelect,
    Zero,
    is_whole,
)
from symconv.plan.candidates import rank_candidates
from symconv.plan.contract import contract, spread_axes
from symconv.plan.epilogue import with_bias
from symconv.plan.moves import is_pool, is_window, move, one_read, window_axes
from symconv.plan.padding import padding_chains, padding_stage
from symconv.plan.products import product_of

SHOWN_PHASES = 4  # phases that a docstring writes out
Names = Mapping[str, str]  # of the tensors' arrays


@dataclass(frozen=True)
class Stages:
    """How steps are computed.

    Parameters
    ----------
    stages
        What is done, in order.
    steps
        The steps as they are computed: a strided write in its solved form.
    choices
        For each correlation, the algorithms that apply to it, fastest first: the first one is in
        ``stages``.
    """

    stages: tuple[Stage, ...]
    steps: tuple[Step, ...]
    choices: tuple[tuple[Candidate, ...], ...] = ()


def plan_graph(graph: Graph, names: Names, accuracy: str) -> Stages:
    """Choose how a graph is computed; ``accuracy``: see :func:`rank_candidates`."""
    graph = folded(graph)
    arrays = read_by_expressions(graph)  # constants that are arrays in the code
    constants = {
        step.target.name: step
        for step in graph.steps
        if isinstance(step, Constant) and step.target not in arrays
    }
    found: list[Stages] = []
    for step in padding_chains(graph.steps):
        if isinstance(step, tuple):
            found.append(_padded(step, graph, names))
        else:
            found.append(_planned(step, graph, names, constants, accuracy))
    return Stages(
        tuple(stage for part in found for stage in part.stages),
        tuple(step for part in found for step in part.steps),
        tuple(choice for part in found for choice in part.choices),
    )


def _padded(steps: tuple[Program, ...], graph: Graph, names: Names) -> Stages:
    """Plan the steps that pad, or fold back, along one axis after the other."""
    stage = padding_stage(steps, names)
    result = steps[-1].target
    if isinstance(stage, Extend) and result not in graph.outputs:
        return Stages((Intermediate(names[result.name], result.sizes), stage), steps)
    return Stages((stage,), steps)


def _planned(
    step: Step, graph: Graph, names: Names, constants: Mapping[str, Constant], accuracy: str
) -> Stages:
    match step:
        case Program():
            return _program(step, graph, names, constants, accuracy)
        case Constant() if len(step.target.shape) > 1 or step.target in read_by_expressions(graph):
            return Stages((Given(names[step.target.name]),), (step,))
        case Constant():
            return Stages((), (step,))  # what a window is divided by
        case Selection() if is_pool(step.maximum):
            return Stages((), (step,))  # made where it is read
        case Selection():
            maximum = contract(step.maximum, {**names, step.maximum.target.tensor.name: ""}, adds=False)
            target = names[step.target.name]
            made = Intermediate(target, step.target.sizes), Choose(maximum, target)
            return Stages(made, (step,))
        case Elementwise():
            return _elementwise(step, graph, names)


def _program(
    program: Program, graph: Graph, names: Names, constants: Mapping[str, Constant], accuracy: str
) -> Stages:
    """Plan a sum of contractions: products write their target, the others add to it or fill it."""
    selections = {step.target: step for step in graph.steps if isinstance(step, Selection)}
    stages: list[Stage] = []
    steps: list[Contraction] = []
    choices: list[tuple[Candidate, ...]] = []
    target = names[program.target.name]
    for contraction in program.contractions:
        chosen = _chosen(contraction, selections)
        if chosen and is_pool(chosen.maximum):
            stages += _selected(contraction, chosen, names)
        elif contraction.reduce == "max" and is_pool(contraction):
            stages.append(_maximum(contraction, names, target))
        else:
            found, ranked = _sum(contraction, names, constants, accuracy, adds=bool(stages))
            stages += found
            if ranked:
                choices.append(ranked)
                if not isinstance(ranked[0].algorithm, Scatter):
                    steps += _solved(contraction)
                    continue
        steps.append(contraction)
    stages = with_bias(_filled(stages, target, prod(program.target.sizes)))
    if program.target not in graph.outputs and not isinstance(stages[0], View):
        stages.insert(0, Intermediate(target, program.target.sizes))
    return Stages(tuple(stages), (Program(tuple(steps)),), tuple(choices))


def _chosen(contraction: Contraction, selections: Mapping[Tensor, Selection]) -> Selection | None:
    return next((selections[r.tensor] for r in contraction.reads if r.tensor in selections), None)


def _sum(
    contraction: Contraction, names: Names, constants: Mapping[str, Constant], accuracy: str, adds: bool
) -> tuple[list[Stage], tuple[Candidate, ...]]:
    """Recognise a sum: a copy or a window's, a product of matrices, a correlation, or any other."""
    if contraction.reduce == "sum" and one_read(contraction, constants):
        with contextlib.suppress(NotRecognisedError):  # it is none
            return [move(contraction, names, constants, adds)], ()
    if adds:
        return _added(contraction, names, constants, accuracy)
    product = product_of(contraction, names)
    if product is not None:
        return [product], ()
    if any(map(is_window, (contraction.target, *contraction.reads))) and contraction.coefficient == 1:
        with contextlib.suppress(NotRecognisedError):
            candidates = rank_candidates(contraction, names, accuracy)
            return [candidates[0].algorithm], candidates
    return [contract(contraction, names, adds)], ()


def _added(
    contraction: Contraction, names: Names, constants: Mapping[str, Constant], accuracy: str
) -> tuple[list[Stage], tuple[Candidate, ...]]:
    """Add a sum: what writes its target does so in scratch, which is added."""
    target = contraction.target.tensor
    array, more = names[target.name], f"{names[target.name]}_more"
    stages, candidates = _sum(contraction, {**names, target.name: more}, constants, accuracy, adds=False)
    if isinstance(stages[0], Contract):
        return [contract(contraction, names, adds=True)], ()
    cuts = tuple(Cut(str(axis), 0, 1, size, size) for axis, size in enumerate(target.sizes))
    addition = Move(more, array, cuts, cuts, Fraction(1), adds=True)
    return [Intermediate(more, target.sizes), *stages, addition], candidates


def _filled(stages: list[Stage], target: str, size: int) -> list[Stage]:
    """Assign what is the first of its part, large parts first; set to 0 what is not all assigned."""
    moves = [stage for stage in stages if isinstance(stage, Move)]
    if len(moves) < len(stages):
        return [Zero(target), *stages] if isinstance(stages[0], Move) else stages
    moves.sort(key=lambda m: -prod(cut.count for cut in m.put))
    moves = sorted(moves, key=lambda m: next(at for at, n in enumerate(moves) if _alike(m, n)))
    found: list[Stage] = []
    before: list[list[range]] = []
    filled = 0
    for m in moves:
        box = [range(c.start, c.start + c.step * c.count, c.step) for c in m.put]
        first = not any(_meet(box, other) for other in before)
        filled += prod(map(len, box)) if first else 0
        before.append(box)
        found.append(replace(m, adds=not first))
    found = _scaled_once(found)
    return found if filled == size else [Zero(target), *found]


def _alike(one: Stage, other: Stage) -> bool:
    """Whether two stages move multiples of the same array by the same number, but for its sign."""
    if not isinstance(one, Move) or not isinstance(other, Move):
        return False
    return one.source == other.source and abs(one.coefficient) == abs(other.coefficient)


def _scaled_once(moves: list[Stage]) -> list[Stage]:
    """Let those that move the same multiples of an array share the multiplication."""
    found: list[Stage] = []
    for _, each in itertools.groupby(moves, key=lambda m: next(n for n in moves if _alike(n, m))):
        group = [m for m in each if isinstance(m, Move)]
        number, sizes = abs(group[0].coefficient), tuple(cut.size for cut in group[0].taken)
        if number == 1 or len(group) == 1 or any(not cut.index for m in group for cut in m.taken):
            found += group
            continue
        whole = tuple(Cut(str(axis), 0, 1, size, size) for axis, size in enumerate(sizes))
        found += [
            Intermediate("scaled", sizes),
            Move(group[0].source, "scaled", whole, whole, number, adds=False),
            *(replace(m, source="scaled", coefficient=m.coefficient / number) for m in group),
        ]
    return found


def _meet(one: list[range], other: list[range]) -> bool:
    """Whether two boxes have a cell in common."""
    return all(set(a) & set(b) for a, b in zip(one, other, strict=True))


def _elementwise(step: Elementwise, graph: Graph, names: Names) -> Stages:
    """Plan an expression at every place of a box, of what is read there."""
    sizes = step.target.tensor.sizes
    box = [name for s in step.target.subscripts for name in s.variables]
    arrays = []
    for name, read in step.arguments:
        if isinstance(read, Access):
            spread = Spread(names[read.tensor.name], spread_axes(read, box), sizes)
        else:
            spread = Spread("", (box.index(str(read)),), sizes)
        arrays.append((name, spread))
    target = names[step.target.tensor.name]
    stages: list[Stage] = [Apply(step.expression, tuple(arrays), target)]
    if step.target.tensor not in graph.outputs:
        stages.insert(0, Intermediate(target, step.target.tensor.sizes))
    return Stages(tuple(stages), (step,))


def _maximum(contraction: Contraction, names: Names, target: str) -> WindowMaximum:
    (read,) = contraction.reads
    axes = window_axes(read, contraction.target, contraction.ranges)
    return WindowMaximum(names[read.tensor.name], target, axes)


def _selected(contraction: Contraction, selection: Selection, names: Names) -> list[Stage]:
    """Find the greatest cells again; then give each window's number to the first of them, or take it."""
    (cells,) = selection.maximum.reads
    (source,) = (
        read for read in contraction.reads if read.tensor not in (selection.target, cells.tensor)
    )
    greatest = Tensor("greatest", selection.maximum.target.tensor.shape)
    maximum = _maximum(selection.maximum, names, greatest.name)
    target = names[contraction.target.tensor.name]
    kind = WindowSelect if is_window(contraction.target) else WindowPick
    select = kind(maximum.source, greatest.name, names[source.tensor.name], target, maximum.axes)
    if is_whole(maximum.axes):
        return [select]  # by argmax
    return [Intermediate(greatest.name, greatest.sizes), maximum, select]


def _solved(contraction: Contraction) -> tuple[Contraction, ...]:
    """Return the gather form of a contraction that writes its cells, others as they are."""
    correlation = recognise(contraction)
    if correlation.result != "cells":
        return (contraction,)
    if math.prod(map(phase_count, correlation.axes)) not in range(1, SHOWN_PHASES + 1):
        return (contraction,)
    axes = [(polyphase(axis), axis.cells) for axis in correlation.axes]
    if any(sum(p.positions for p in phases) < cells for phases, cells in axes):
        return (contraction,)
    names = CELLS if all(a.stride == 1 for a in correlation.axes) else QUOTIENTS
    return gather(contraction, names[len(correlation.axes)]).contractions
