"""Steps of a graph as ONNX's nodes: a contraction is one Einsum, whatever it reads and writes.

A subscript that is not an index alone becomes a letter of its own, and a constant factor that is 1 where
the letter has the subscript's value: so padding, strides, and writes that add into overlapping elements
need no other operator.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from symconv.building import Array, NotSupportedError
from symconv.notation.contraction import Access, Contraction, Kronecker, Program, Solved
from symconv.notation.graph import Constant, Elementwise, Graph, Selection, Step, written
from symconv.notation.polynomial import Polynomial
from symconv.onnx.correlation_nodes import write_correlation
from symconv.onnx.expression_nodes import Expressions

if TYPE_CHECKING:
    import onnx

LARGEST = 1 << 24  # elements of a constant factor


@dataclass
class Nodes:
    """A graph while it is written: its nodes, and its constants by name."""

    dtype: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node of one output; return the output's name."""
        from onnx.helper import make_node

        output = output or f"value_{next(self._numbers)}"
        name = f"{operator}_{output}"
        self.nodes.append(make_node(operator, inputs, [output], name=name, **attributes))
        return output

    def constant(self, array: Any, dtype: str = "") -> str:
        """Return the name of a constant; equal ones are one."""
        value = np.asarray(array, dtype or self.dtype)
        for name, known in self.constants.items():
            if known.dtype == value.dtype and np.array_equal(known, value):
                return name
        name = f"constant_{len(self.constants)}"
        self.constants[name] = value
        return name


def write_graph(graph: Graph, nodes: Nodes, names: Mapping[str, str]) -> dict[str, str]:
    """Add a graph's steps; return the names of all its tensors, of which ``names`` has the inputs."""
    known = dict(names)
    for step in graph.steps:
        known[written(step).name] = _write(step, nodes, known)
    return known


def _write(step: Step, nodes: Nodes, known: Mapping[str, str]) -> str:
    match step:
        case Program():
            parts = [_contraction(c, nodes, known) for c in step.contractions]
            return parts[0] if len(parts) == 1 else nodes.add("Sum", *parts)
        case Elementwise():
            return _elementwise(step, nodes, known)
        case Constant():
            values = np.array([float(value) for value in step.values])
            return nodes.constant(values.reshape(step.target.sizes))
        case Selection():
            return _selection(step, nodes, known)


class _Letters:
    """Letters for indices and subscripts, the values that they have, and factors that relate them."""

    def __init__(self, extents: Mapping[str, int]) -> None:
        self.values: dict[str, Array] = {}
        self.letters: dict[str, str] = {}
        self.factors: list[tuple[Array, str]] = []
        for name, size in extents.items():
            self.new(name, np.arange(size))

    def new(self, name: str, values: Array) -> str:
        """Return the letter of an index, which has these values."""
        letter = string.ascii_letters[len(self.letters)]
        self.letters[name], self.values[letter] = letter, values
        return letter

    def solve(self, factor: Solved) -> None:
        """Give an index its value: where the division has no remainder."""
        over, at = self._grid(factor.numerator)
        divisor = int(factor.divisor)
        exact = at[at % divisor == 0] // divisor
        values = np.arange(exact.min(initial=0), exact.max(initial=0) + 1)
        letter = self.new(factor.name, values)
        self._relate(letter + over, values.reshape(-1, *(1,) * at.ndim) * divisor == at)

    def equal(self, factor: Kronecker) -> None:
        """Relate two subscripts."""
        over, at = self._grid(factor.left - factor.right)
        self._relate(over, at == 0)

    def of(self, access: Access) -> str:
        """Return the letters of an access, one for each axis."""
        found = ""
        for subscript, size in zip(access.subscripts, access.tensor.sizes, strict=True):
            names = subscript.variables
            letter = self.letters.get(names[0], "") if len(names) == 1 else ""
            alone = letter and subscript == Polynomial.variable(names[0])
            values = self.values.get(letter, np.zeros(0))
            whole = alone and len(values) == size and values[0] == 0
            if not whole or letter in found:
                over, at = self._grid(subscript)
                letter = self.new(f"[{len(self.letters)}]", np.arange(size))
                self._relate(letter + over, np.arange(size).reshape(-1, *(1,) * at.ndim) == at)
            found += letter
        return found

    def _grid(self, subscript: Polynomial) -> tuple[str, Array]:
        """Return the letters that a subscript depends on, and its value for each of theirs."""
        over = "".join(self.letters[name] for name in subscript.variables)
        grids = np.meshgrid(*(self.values[letter] for letter in over), indexing="ij", sparse=False)
        total = np.full([len(self.values[letter]) for letter in over], int(subscript.constant))
        for name, grid in zip(subscript.variables, grids, strict=True):
            total = total + int(subscript.coefficient(name)) * grid
        return over, total

    def _relate(self, letters: str, holds: Array) -> None:
        if holds.size > LARGEST:
            raise NotSupportedError("a subscript relates too many elements to be written as a constant")
        self.factors.append((holds, letters))


def _contraction(c: Contraction, nodes: Nodes, known: Mapping[str, str]) -> str:
    """Add a sum, or a maximum, of products."""
    if _keeps_order(c):
        shape = nodes.constant(c.target.tensor.sizes, "int64")
        return nodes.add("Reshape", known[c.reads[0].tensor.name], shape)
    correlated = write_correlation(c, nodes, known)
    if correlated:
        return correlated
    letters = _Letters(c.ranges)
    for solved in c.solved:
        letters.solve(solved)
    tensors: list[tuple[str, str]] = []
    for factor in c.factors:
        if isinstance(factor, Access):
            own = letters.of(factor)
            tensors.append((known[factor.tensor.name], own))
        elif isinstance(factor, Kronecker):
            letters.equal(factor)
    if c.reduce == "max":
        return _maximum(c, letters, tensors, nodes)
    target = letters.of(c.target)
    given = _in_order(tensors, [(nodes.constant(holds), own) for holds, own in letters.factors])
    seen = {letter for _, own in given for letter in own}
    given += [(nodes.constant(np.ones(len(v))), n) for n, v in letters.values.items() if n not in seen]
    given = [(name, own) for name, own in given if own or name]
    product = _einsum(nodes, given, target) if given else nodes.constant(np.ones(()))
    number = float(c.number)
    return product if number == 1 else nodes.add("Mul", product, nodes.constant(number))


def _in_order(tensors: list[tuple[str, str]], related: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return what is multiplied: each constant behind the tensor whose subscript it relates.

    Products are taken two by two from the left, so that no larger tensor than needed is made.
    """
    found: list[tuple[str, str]] = []
    for name, own in tensors:
        found.append((name, own))
        found += [pair for pair in related if pair[1][0] in own and pair not in found]
    return found + [pair for pair in related if pair not in found]


def _keeps_order(c: Contraction) -> bool:
    """Whether a contraction copies a whole tensor, whose elements stay in row-major order."""
    if len(c.factors) != 1 or not c.reads or c.number != 1 or c.reduce != "sum":
        return False
    (read,) = c.reads
    sizes = [prod(access.tensor.sizes) for access in (read, c.target)]
    return prod(c.ranges.values()) == sizes[0] == sizes[1] and read.address == c.target.address


def _einsum(nodes: Nodes, given: Sequence[tuple[str, str]], target: str) -> str:
    if len(given) == 1 and given[0][1] == target:
        return nodes.add("Identity", given[0][0])
    equation = f"{','.join(own for _, own in given)}->{target}"
    return nodes.add("Einsum", *(name for name, _ in given), equation=equation)


def _terms(
    c: Contraction, letters: _Letters, tensors: Sequence[tuple[str, str]], nodes: Nodes
) -> tuple[str, str]:
    """Return all terms of a maximum, those outside a tensor as small as can be, and their letters."""
    free = [letters.letters[name] for name in c.free]
    summed = [letters.letters[name] for name in c.summed]
    every = "".join([*free, *summed])
    given = [*tensors, *((nodes.constant(holds), own) for holds, own in letters.factors)]
    terms = _einsum(nodes, given, every)
    sizes = [len(letters.values[letter]) for letter in every]
    inside = np.ones(sizes, bool)
    for holds, own in letters.factors:
        outer = [letter for letter in own if letter not in every]
        there: Array = np.asarray(holds.any(axis=tuple(own.index(letter) for letter in outer)))
        left = [letter for letter in own if letter in every]
        shape = [len(letters.values[n]) if n in left else 1 for n in every]
        order = sorted(range(len(left)), key=lambda at: every.index(left[at]))
        inside = inside & there.transpose(order).reshape(shape)
    if inside.all():
        return terms, every
    least = nodes.constant(-np.inf)
    return nodes.add("Where", nodes.constant(inside, "bool"), terms, least), every


def _maximum(c: Contraction, letters: _Letters, tensors: Sequence[tuple[str, str]], nodes: Nodes) -> str:
    """Add a maximum over the indices that the target does not show."""
    terms, every = _terms(c, letters, tensors, nodes)
    axes = [at for at, letter in enumerate(every) if letter not in [letters.letters[n] for n in c.free]]
    found = nodes.add("ReduceMax", terms, axes=axes, keepdims=0) if axes else terms
    target = "".join(letters.letters[n] for n in c.free)
    wanted = letters.of(c.target)
    return found if wanted == target else _placed(nodes, found, target, wanted, letters)


def _placed(nodes: Nodes, name: str, own: str, wanted: str, letters: _Letters) -> str:
    """Return a tensor whose axes are subscripts."""
    related = [(holds, used) for holds, used in letters.factors if set(used) & set(wanted)]
    factors = [(nodes.constant(holds), used) for holds, used in related]
    return _einsum(nodes, [(name, own), *factors], wanted)


def _selection(step: Selection, nodes: Nodes, known: Mapping[str, str]) -> str:
    """Add 1 for the first of the largest terms, else 0."""
    c = step.maximum
    letters = _Letters(c.ranges)
    tensors = [(known[read.tensor.name], letters.of(read)) for read in c.reads]
    terms, every = _terms(c, letters, tensors, nodes)
    count = len(c.free)
    sizes = [len(letters.values[letter]) for letter in every]
    rest = int(np.prod(sizes[count:], dtype=int))
    shape = nodes.constant([*sizes[:count], rest], "int64")
    first = nodes.add("ArgMax", nodes.add("Reshape", terms, shape), axis=count, keepdims=0)
    depth, values = nodes.constant(rest, "int64"), nodes.constant([0, 1])
    chosen = nodes.add("OneHot", first, depth, values, axis=-1)
    chosen = nodes.add("Reshape", chosen, nodes.constant(sizes, "int64"))
    wanted = "".join(letters.letters[name] for name, _ in c.extents)
    return _einsum(nodes, [(chosen, every)], wanted)


def _elementwise(step: Elementwise, nodes: Nodes, known: Mapping[str, str]) -> str:
    """Add an expression of what tensors have at each point, or of the point itself."""
    extents = {name: int(size) for name, size in step.extents}
    box = list(extents)
    given: dict[str, str] = {}
    for name, argument in step.arguments:
        if isinstance(argument, Access):
            given[name] = _at_points(argument, extents, nodes, known)
        else:
            letters = _Letters(extents)
            over, at = letters._grid(argument)
            own = [letters.letters[n] for n in box]
            shape = [len(letters.values[n]) if n in over else 1 for n in own]
            order = sorted(range(len(over)), key=lambda place: own.index(over[place]))
            given[name] = nodes.constant(at.transpose(order).reshape(shape))
    found = Expressions(nodes, given).write(step.expression)
    sizes = [extents[name] for name in box]
    found = nodes.add("Expand", found, nodes.constant(sizes, "int64"))
    letters = _Letters(extents)
    there, wanted = "".join(letters.letters[n] for n in box), letters.of(step.target)
    return found if wanted == there else _placed(nodes, found, there, wanted, letters)


def _at_points(
    access: Access, extents: Mapping[str, int], nodes: Nodes, known: Mapping[str, str]
) -> str:
    """Return what a tensor has at each point of a box, with length 1 along axes that do not matter."""
    letters = _Letters(extents)
    own = letters.of(access)
    used = [n for s in access.subscripts for n in s.variables]
    wanted = "".join(letters.letters[name] for name in extents if name in used)
    factors = [(nodes.constant(holds), over) for holds, over in letters.factors]
    name = known[access.tensor.name]
    found = name if own == wanted else _einsum(nodes, [(name, own), *factors], wanted)
    if len(wanted) == len(extents):
        return found
    shape = [size if name in used else 1 for name, size in extents.items()]
    return nodes.add("Reshape", found, nodes.constant(shape, "int64"))
