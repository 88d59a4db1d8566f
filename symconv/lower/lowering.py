"""From a graph to a kernel: what each step reads and writes decides which algorithm computes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import TypeAlias

from symconv.errors import NotRecognisedError
from symconv.kernel.language import Buffer, Do, How, Statement, walk, written_by
from symconv.kernel.rewrite import fresh_name, map_accesses
from symconv.lower import pools, sums
from symconv.lower.algorithms import Candidate
from symconv.lower.candidates import rank_candidates
from symconv.lower.extend import Extend, FoldBack, extended, folded_back, padding_chains, padding_stage
from symconv.lower.frame import scratch
from symconv.lower.lowered import Lowered
from symconv.lower.options import Options
from symconv.lower.scatter import Scatter
from symconv.lower.windows import is_pool, is_window, one_read, window_axes
from symconv.notation.contraction import Access, Contraction, Program, Tensor, index
from symconv.notation.correlation import gather, phase_count, polyphase, recognise
from symconv.notation.graph import (
    Constant,
    Elementwise,
    Graph,
    Selection,
    Step,
    folded,
    read_by_expressions,
    renamed,
)
from symconv.notation.names import CELLS, QUOTIENTS

SHOWN_PHASES = 4  # phases that a docstring writes out
Names: TypeAlias = Mapping[str, str]  # of the tensors' arrays
Choose: TypeAlias = Callable[[int, Sequence[Candidate]], Sequence[Candidate]]


@dataclass(frozen=True)
class GraphKernel:
    """How a graph is computed.

    Parameters
    ----------
    body, buffers
        Statements, and what they need beside inputs and results.
    steps
        The steps as they are computed: a strided write in its solved form.
    choices
        For each correlation, the algorithms that apply to it, fastest first: the first one is used.
    """

    body: tuple[Statement, ...]
    buffers: tuple[Buffer, ...]
    steps: tuple[Step, ...]
    choices: tuple[tuple[Candidate, ...], ...]


def as_ranked(_: int, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """Choose the candidate that is expected to be fastest."""
    return candidates


def lower_graph(graph: Graph, names: Names, options: Options, choose: Choose = as_ranked) -> GraphKernel:
    """Return the statements that compute a graph.

    Parameters
    ----------
    graph
        The graph.
    names
        What the module calls each tensor.
    options
        How accurately it is to be computed, and what kernels are expected to take.
    choose
        Puts the candidates for a correlation, by its number, into the order of preference.
    """
    return _Lowering(graph, names, options, choose).plan()


class _Lowering:
    """What is known of a graph while its steps are lowered."""

    def __init__(self, graph: Graph, names: Names, options: Options, choose: Choose) -> None:
        self.graph, self.names, self.options, self.choose = folded(graph), names, options, choose
        arrays = read_by_expressions(self.graph)  # constants that are arrays in the code
        self.constants = {
            step.target.name: step
            for step in self.graph.steps
            if isinstance(step, Constant) and step.target not in arrays
        }
        self.selections = {s.target: s for s in self.graph.steps if isinstance(s, Selection)}
        self.choices: list[tuple[Candidate, ...]] = []
        self.intermediates: set[Buffer] = set()

    def plan(self) -> GraphKernel:
        """Lower every step."""
        lowered, steps = Lowered(()), list[Step]()
        for step in padding_chains(self.graph.steps):
            if isinstance(step, tuple):
                lowered += self._padded(step)
                steps += step
            else:
                found, shown = self._step(step)
                lowered += self._named_apart(found, lowered)
                steps.append(shown)
        buffers = tuple(dict.fromkeys(lowered.buffers))
        return GraphKernel(lowered.body, buffers, tuple(steps), tuple(self.choices))

    def _named_apart(self, found: Lowered, before: Lowered) -> Lowered:
        """Give scratch another name where an array, or other scratch, has it."""
        taken = {buffer.tensor.name for buffer in before.buffers} | set(self.names.values())
        known = {b for b in before.buffers if b.role != "zeroed" or _same_fill(b, found, before)}
        kept = known | self.intermediates
        own = {buffer.tensor.name for buffer in found.buffers}
        new: dict[str, str] = {}
        for buffer in found.buffers:
            name = buffer.tensor.name
            if name in taken and buffer not in kept and not buffer.given:
                new[name] = fresh_name(name, taken | own)
                taken.add(new[name])
        if not new:
            return found

        def tensor(old: Tensor) -> Tensor:
            return replace(old, name=new.get(old.name, old.name))

        def access(old: Access) -> Access:
            return replace(old, tensor=tensor(old.tensor))

        body = tuple(map_accesses(each, access, tensor) for each in found.body)
        return Lowered(body, tuple(replace(b, tensor=tensor(b.tensor)) for b in found.buffers))

    def _array(self, tensor: Tensor) -> Tensor:
        """Return a tensor with its array's name."""
        return replace(tensor, name=self.names[tensor.name])

    def _in_code(self, contraction: Contraction) -> Contraction:
        """Return a contraction of arrays."""

        def at(access: Access) -> Access:
            return replace(access, tensor=self._array(access.tensor))

        factors = tuple(at(f) if isinstance(f, Access) else f for f in contraction.factors)
        return replace(contraction, target=at(contraction.target), factors=factors)

    def _intermediate(self, tensor: Tensor) -> Lowered:
        """Return scratch for a result that a later step reads; none for what is returned."""
        if tensor in self.graph.outputs:
            return Lowered(())
        place = scratch(self.names[tensor.name], *tensor.sizes)
        self.intermediates.add(place)
        return Lowered((), (place,))

    def _padded(self, steps: tuple[Program, ...]) -> Lowered:
        """Lower steps that pad, or fold back, along one axis after the other."""
        stage = padding_stage(steps, self.names)
        source = self._array(steps[0].contractions[0].reads[0].tensor)
        target = self._array(steps[-1].target)
        own = self._intermediate(steps[-1].target)
        if isinstance(stage, Extend):
            return extended(stage, source, target) + own
        assert isinstance(stage, FoldBack)
        return folded_back(stage, source, target) + own

    def _step(self, step: Step) -> tuple[Lowered, Step]:
        match step:
            case Program():
                return self._program(step)
            case Constant(target=target, values=values):
                if len(target.shape) < 2 and target not in read_by_expressions(self.graph):
                    return Lowered(()), step  # what a window is divided by
                array = self._array(target)
                given = Buffer(array, "constant", values, given=(array.name,))
                return Lowered((), (given,)), step
            case Selection() if is_pool(step.maximum):
                return Lowered(()), step  # made where it is read
            case Selection():
                maximum = self._in_code(replace(step.maximum, target=self._nowhere(step.maximum)))
                made = sums.select(Selection(self._array(step.target), maximum))
                return made + self._intermediate(step.target), step
            case Elementwise():
                changed = renamed(step, {t.name: self._array(t) for t in self._tensors(step)})
                assert isinstance(changed, Elementwise)
                return Lowered((Do(changed),)) + self._intermediate(step.target.tensor), step

    def _nowhere(self, maximum: Contraction) -> Access:
        """Return a maximum's target, which has no array of its own."""
        target = maximum.target
        self.names = {**self.names, target.tensor.name: self.names.get(target.tensor.name, "maximum")}
        return target

    def _tensors(self, step: Elementwise) -> list[Tensor]:
        read = [a.tensor for _, a in step.arguments if isinstance(a, Access)]
        return [step.target.tensor, *read]

    def _program(self, program: Program) -> tuple[Lowered, Step]:
        """Lower a sum of contractions: the first fills the target, or its part of it; others add."""
        lowered = Lowered(())
        moves: list[Contraction] = []
        steps: list[Contraction] = []
        for contraction in program.contractions:
            if contraction.coefficient == 0:  # what it would fill is set to 0 below
                steps.append(contraction)
                continue
            selection = next(
                (self.selections[r.tensor] for r in contraction.reads if r.tensor in self.selections),
                None,
            )
            if selection is not None and is_pool(selection.maximum):
                lowered += self._selected(contraction, selection)
            elif contraction.reduce == "max" and is_pool(contraction):
                lowered += self._maximum(contraction)
            elif (pooled := self._pooled(contraction)) is not None:
                lowered += pooled
            elif (move := self._moved(contraction)) is not None:
                moves.append(move)
            else:
                found, ranked = self._sum(contraction, "add" if lowered.body else "assign")
                lowered += self._named_apart(found, lowered)
                if ranked and not isinstance(ranked[0].algorithm, Scatter):
                    steps += _solved(contraction)
                    continue
            steps.append(contraction)
        target = self._array(program.target)
        lowered = _assembled(lowered, moves, target)
        return lowered + self._intermediate(program.target), Program(tuple(steps))

    def _moved(self, contraction: Contraction) -> Contraction | None:
        """Return a sum of one tensor that is not read in windows, cut to where it stays inside."""
        if contraction.reduce != "sum" or len(contraction.reads) != 1 or contraction.solved:
            return None
        if len(contraction.factors) != 1 or contraction.reads[0].tensor.name in self.constants:
            return None
        return sums.moved(self._in_code(contraction))

    def _sum(self, contraction: Contraction, how: How) -> tuple[Lowered, tuple[Candidate, ...]]:
        """Lower a sum: a correlation, or any other."""
        windows = any(map(is_window, (contraction.target, *contraction.reads)))
        if windows and contraction.coefficient == 1 and contraction.reduce == "sum":
            ranked = self._correlation(contraction)
            if ranked is not None:
                return self._called(contraction, ranked, how), ranked
        return sums.lower(self._in_code(contraction), how), ()

    def _correlation(self, contraction: Contraction) -> tuple[Candidate, ...] | None:
        try:
            found = rank_candidates(contraction, self.names, self.options)
        except NotRecognisedError:
            return None
        ranked = tuple(self.choose(len(self.choices), found))
        self.choices.append(ranked)
        return ranked

    def _called(self, contraction: Contraction, ranked: tuple[Candidate, ...], how: How) -> Lowered:
        """Call a correlation's kernel; where its result is added, it goes to scratch first."""
        call = ranked[0].algorithm.lower()
        if how == "assign":
            return Lowered((call,))
        target = self._array(contraction.target.tensor)
        more = scratch(f"{target.name}_more", *target.sizes)
        *given, result = call.views
        view = replace(result, access=replace(result.access, tensor=more.tensor))
        names = [f"a{axis}" for axis in range(len(target.sizes))]
        at = tuple(map(index, names))
        extents = tuple(zip(names, target.sizes, strict=True))
        added = Do(Contraction(target[at], (more.tensor[at],), extents), "add")
        return Lowered((replace(call, views=(*given, view)), added), (more,))

    def _pooled(self, contraction: Contraction) -> Lowered | None:
        """Lower the sum over windows, or into windows, that a contraction is; None if it is not one."""
        if contraction.reduce != "sum" or not one_read(contraction, self.constants):
            return None
        (read,) = (r for r in contraction.reads if r.tensor.name not in self.constants)
        target = contraction.target
        if not (is_window(target) or is_window(read)):
            return None
        spread = is_window(target)
        cells, positions = (target, read) if spread else (read, target)
        divisors = self._divisors(contraction, positions)
        try:
            windows = pools.Windows(window_axes(cells, positions, contraction.ranges))
        except NotRecognisedError:
            return None
        if divisors is None:
            return None
        make = pools.window_spread if spread else pools.window_sum
        return make(windows, self._array(read.tensor), self._array(target.tensor), *divisors)

    def _divisors(
        self, contraction: Contraction, positions: Access
    ) -> tuple[int, dict[int, tuple[int, ...]]] | None:
        """Return what a sum is divided by: a number for all positions, and more along some axes."""
        whole = Fraction(contraction.number)
        along: dict[int, tuple[int, ...]] = {}
        for read in contraction.reads:
            constant = self.constants.get(read.tensor.name)
            if constant is None:
                continue
            values = [Fraction(value) for value in constant.values]
            own = len(read.subscripts) == 1 and read.subscripts[0] in positions.subscripts
            if not own or any(value.numerator != 1 for value in values):
                return None
            axis = positions.subscripts.index(read.subscripts[0])
            along[axis] = tuple(value.denominator for value in values)
        return (whole.denominator, along) if whole.numerator == 1 else None

    def _maximum(self, contraction: Contraction) -> Lowered:
        (read,) = contraction.reads
        windows = pools.Windows(window_axes(read, contraction.target, contraction.ranges))
        make = pools.maximum_by_axes if self._by_axes(windows) else pools.window_maximum
        return make(windows, self._array(read.tensor), self._array(contraction.target.tensor))

    def _selected(self, contraction: Contraction, selection: Selection) -> Lowered:
        """Give each window's number to the first element that attains its maximum, or take it."""
        (cells,) = selection.maximum.reads
        (source,) = (r for r in contraction.reads if r.tensor not in (selection.target, cells.tensor))
        maximum = selection.maximum
        windows = pools.Windows(window_axes(cells, maximum.target, maximum.ranges))
        return pools.window_select(
            windows,
            self._array(cells.tensor),
            self._array(source.tensor),
            self._array(contraction.target.tensor),
            picks=not is_window(contraction.target),
            by_axes=self._by_axes(windows),
        )

    def _by_axes(self, windows: pools.Windows) -> bool:
        """Whether maxima are found along one axis after the other."""
        return self.options.compiled and windows.inside and not windows.is_whole


def _same_fill(buffer: Buffer, found: Lowered, before: Lowered) -> bool:
    """Whether the same elements of a buffer are written, so that the others stay 0."""

    def fills(lowered: Lowered) -> set[Statement]:
        dos = [each for each in walk(lowered.body) if isinstance(each, Do)]
        return {do for do in dos if written_by(do.meaning) == buffer.tensor}

    return fills(found) == fills(before)


def _assembled(lowered: Lowered, moves: Sequence[Contraction], target: Tensor) -> Lowered:
    """Let moves fill the target, or add to it: large parts first; what nothing fills is set to 0."""
    if lowered.body:
        return lowered + Lowered(tuple(Do(move, "add") for move in moves))
    ordered = sorted(moves, key=lambda move: -_points(move.target, move))
    ordered = sorted(ordered, key=lambda m: next(at for at, n in enumerate(ordered) if _alike(m, n)))
    body: list[Do] = []
    before: list[list[range]] = []
    filled_ = 0
    for move in ordered:
        box = _box(move)
        first = not any(_meet(box, other) for other in before)
        filled_ += prod(map(len, box)) if first else 0
        before.append(box)
        body.append(Do(move, "assign" if first else "add"))
    scaled = _scaled_once(body)
    if filled_ < prod(target.sizes):
        return Lowered((pools.filled(target, 0),)) + scaled
    return scaled


def _points(access: Access, move: Contraction) -> int:
    names = {name for subscript in access.subscripts for name in subscript.variables}
    return prod(size for name, size in move.ranges.items() if name in names)


def _box(move: Contraction) -> list[range]:
    """Return the elements of the target that a move writes, axis by axis."""
    box = []
    for subscript in move.target.subscripts:
        start = int(subscript.constant)
        names = sorted(subscript.variables, key=lambda name: abs(int(subscript.coefficient(name))))
        if not names:
            box.append(range(start, start + 1))
            continue
        step = int(subscript.coefficient(names[0]))
        count = prod(move.ranges[name] for name in names)
        box.append(range(start, start + step * count, step))
    return box


def _meet(one: Sequence[range], other: Sequence[range]) -> bool:
    """Whether two boxes have an element in common."""
    return all(set(a) & set(b) for a, b in zip(one, other, strict=True))


def _alike(one: Contraction, other: Contraction) -> bool:
    """Whether two moves multiply the same array by the same number, up to its sign."""
    same = one.reads[0].tensor == other.reads[0].tensor
    return same and abs(Fraction(one.number)) == abs(Fraction(other.number))


def _scaled_once(moves: Sequence[Do]) -> Lowered:
    """Let moves of the same multiple of an array share the multiplication."""
    body: list[Do] = []
    buffers: list[Buffer] = []
    done: list[Do] = []
    for do in moves:
        if do in done:
            continue
        move = do.meaning
        assert isinstance(move, Contraction)
        group = [m for m in moves if isinstance(m.meaning, Contraction) and _alike(m.meaning, move)]
        done += group
        number = abs(Fraction(move.number))
        tensor = move.reads[0].tensor
        whole = all(s.variables for s in move.reads[0].subscripts)
        if number == 1 or len(group) == 1 or not whole or math.prod(tensor.sizes) == 1:
            body += group
            continue
        held = Tensor("scaled", tensor.shape)
        names = [f"a{axis}" for axis in range(len(tensor.sizes))]
        at = tuple(map(index, names))
        extents = tuple(zip(names, tensor.sizes, strict=True))
        buffers.append(Buffer(held, "scratch"))
        body.append(Do(Contraction(held[at], (tensor[at],), extents, number)))
        for each in group:
            meaning = each.meaning
            assert isinstance(meaning, Contraction)
            read = replace(meaning.reads[0], tensor=held)
            factor = Fraction(meaning.number) / number
            body.append(replace(each, meaning=replace(meaning, factors=(read,), coefficient=factor)))
    return Lowered(tuple(body), tuple(buffers))


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
