"""Steps one after the other: programs, elementwise expressions, constants and selections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from symconv.notation.contraction import Access, Contraction, Program, Size, Tensor, index
from symconv.notation.expression import parse_expression
from symconv.notation.polynomial import Number, Polynomial

if TYPE_CHECKING:
    import sympy


Argument: TypeAlias = tuple[str, Access | Polynomial]  # a name and what it stands for


@dataclass(frozen=True)
class Elementwise:
    """``target[w(t)] = expression`` for every point ``t`` of a box of indices.

    Parameters
    ----------
    target
        Where each value is written.
    expression
        A SymPy expression in the names of ``arguments``.
    arguments
        What each of its names stands for: a tensor's element, or an index's own value.
    extents
        Each index and its number of values, counted from 0.
    """

    target: Access
    expression: sympy.Expr
    arguments: tuple[Argument, ...]
    extents: tuple[tuple[str, Size], ...]


@dataclass(frozen=True)
class Constant:
    """A tensor of given numbers, row by row."""

    target: Tensor
    values: tuple[Number, ...]


@dataclass(frozen=True)
class Selection:
    """``target[t] = 1`` where the term t of a maximum is a cell's first greatest one, else 0.

    First in the order of the maximum's extents; terms that read outside a tensor are never selected.
    """

    target: Tensor
    maximum: Contraction


Step: TypeAlias = Program | Elementwise | Constant | Selection


def written(step: Step) -> Tensor:
    """Return the tensor that a step computes."""
    return step.target.tensor if isinstance(step, Elementwise) else step.target


def reads(step: Step) -> tuple[Access, ...]:
    """Return every read of a tensor in a step."""
    match step:
        case Program():
            return tuple(read for contraction in step.contractions for read in contraction.reads)
        case Elementwise():
            return tuple(read for _, read in step.arguments if isinstance(read, Access))
        case Selection():
            return step.maximum.reads
        case Constant():
            return ()


@dataclass(frozen=True)
class Graph:
    """Steps in the order they are computed.

    Parameters
    ----------
    steps
        The steps.
    results
        Names of what they compute, the output first; without names, what the last step computes.
    held
        Names of tensors that do not change the results, whatever their values: no gradient goes
        through them.
    """

    steps: tuple[Step, ...]
    results: tuple[str, ...] = ()
    held: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """The tensors that are the results."""
        by_name = {written(step).name: written(step) for step in self.steps}
        return tuple(by_name[name] for name in self.results) or (written(self.steps[-1]),)

    @property
    def output(self) -> Tensor:
        """The first result."""
        return self.outputs[0]

    def only(self, *results: str) -> Graph:
        """Return the graph of some results: the steps that they need."""
        return needed(replace(self, results=results))

    @property
    def inputs(self) -> dict[str, Tensor]:
        """The tensors that the graph reads and does not compute, in the order they are read."""
        computed = {written(step).name for step in self.steps}
        found = [read.tensor for step in self.steps for read in reads(step)]
        return {tensor.name: tensor for tensor in found if tensor.name not in computed}

    @property
    def programs(self) -> tuple[Program, ...]:
        """The steps of a graph of programs.

        Raises
        ------
        TypeError
            If a step is none.
        """
        found = tuple(step for step in self.steps if isinstance(step, Program))
        if len(found) < len(self.steps):
            raise TypeError("a step is no program")
        return found


def each(target: Access, text: str, **given: Access | float) -> Elementwise:
    """Return the step that fills a whole tensor, addressed by its own indices, with an expression.

    The expression's names are what is read, or numbers.
    """
    arguments = {name: read for name, read in given.items() if isinstance(read, Access)}
    numbers = {name: number for name, number in given.items() if not isinstance(number, Access)}
    expression = parse_expression(text, list(arguments), numbers)
    return Elementwise(target, expression, tuple(arguments.items()), _extents(target))


def one_hot(target: Access, labels: Access, of: str, ignored: int | None = None) -> Elementwise:
    """Return the step that marks the element whose index ``of`` is the label: 1 there, else 0.

    Nothing is marked for a label that is ignored.
    """
    import sympy

    label, at = sympy.symbols(f"label {of}", real=True)
    cases = [(1, sympy.Eq(label, at)), (0, True)]
    if ignored is not None and ignored >= 0:  # a negative label marks nothing by itself
        cases.insert(0, (0, sympy.Eq(label, ignored)))
    marked = sympy.Piecewise(*cases)
    return Elementwise(target, marked, (("label", labels), (of, index(of))), _extents(target))


def _extents(target: Access) -> tuple[tuple[str, Size], ...]:
    """Return the indices of a whole tensor and their sizes: digits, if an axis has several."""
    found: list[tuple[str, Size]] = []
    for subscript, size in zip(target.subscripts, target.tensor.shape, strict=True):
        whole = size
        for name in sorted(subscript.variables, key=lambda name: -int(subscript.coefficient(name))):
            step = int(subscript.coefficient(name))
            found.append((name, whole if step == 1 else int(whole) // step))
            whole = step
    return tuple(found)


def total(
    target: Access,
    *factors: Access,
    coefficient: Number = 1,
    reduce: Literal["sum", "max"] = "sum",
) -> Program:
    """Return the sum, or the maximum, of products of whole tensors, addressed by their own indices."""
    extents = dict(pair for access in (target, *factors) for pair in _extents(access))
    return Program((Contraction(target, factors, tuple(extents.items()), coefficient, reduce),))


def needed(graph: Graph) -> Graph:
    """Return the graph without the steps that its results do not need."""
    read = {tensor.name for tensor in graph.outputs}
    found: list[Step] = []
    for step in reversed(graph.steps):
        if written(step).name in read:
            found.insert(0, step)
            read |= {access.tensor.name for access in reads(step)}
    return replace(graph, steps=tuple(found))


def renamed(step: Step, tensors: Mapping[str, Tensor]) -> Step:
    """Return a step with other tensors in the place of those of these names."""

    def at(access: Access) -> Access:
        return replace(access, tensor=tensors.get(access.tensor.name, access.tensor))

    def summed(contraction: Contraction) -> Contraction:
        factors = tuple(at(f) if isinstance(f, Access) else f for f in contraction.factors)
        return replace(contraction, target=at(contraction.target), factors=factors)

    match step:
        case Program(contractions=contractions):
            return Program(tuple(map(summed, contractions)))
        case Elementwise(target=target, arguments=arguments):
            given = tuple((name, at(a) if isinstance(a, Access) else a) for name, a in arguments)
            return replace(step, target=at(target), arguments=given)
        case Constant(target=tensor):
            return replace(step, target=tensors.get(tensor.name, tensor))
        case Selection(target=tensor, maximum=maximum):
            return Selection(tensors.get(tensor.name, tensor), summed(maximum))


def chained(first: Graph, second: Graph) -> Graph:
    """Return the graph of the second's function of the first's output, which is called Z."""
    (read,) = second.inputs.values()
    between = Tensor("Z", read.shape)
    steps = [renamed(step, {first.output.name: between}) for step in first.steps]
    return Graph((*steps, *(renamed(step, {read.name: between}) for step in second.steps)))


def read_by_expressions(graph: Graph) -> set[Tensor]:
    """Return the tensors that expressions read."""
    steps = [step for step in graph.steps if isinstance(step, Elementwise)]
    return {access.tensor for step in steps for access in reads(step)}


def folded(graph: Graph) -> Graph:
    """Return the graph with the number of each constant that has only one in place of its reads.

    A constant that an expression reads stays.
    """
    kept = read_by_expressions(graph)
    alike = {
        step.target: step.values[0]
        for step in graph.steps
        if isinstance(step, Constant) and len(set(step.values)) == 1 and step.target not in kept
    }
    return replace(
        graph,
        steps=tuple(
            Program(tuple(_with_numbers(c, alike) for c in step.contractions))
            if isinstance(step, Program)
            else step
            for step in graph.steps
            if written(step) not in alike
        ),
    )


def _with_numbers(contraction: Contraction, alike: Mapping[Tensor, Number]) -> Contraction:
    kept = [f for f in contraction.factors if not (isinstance(f, Access) and f.tensor in alike)]
    coefficient = contraction.number
    for read in contraction.reads:
        coefficient *= alike.get(read.tensor, 1)
    return replace(contraction, factors=tuple(kept), coefficient=coefficient)
