"""Second opinions on the theorems, from islpy and z3, if the extra ``verify`` is installed.

Both start from an equation's programs, not from its certificate. isl is given numbers for strides,
dilations and what else is multiplied, and finds by itself that both sides have the same terms. z3 is
given letters only and the substitutions, and looks for numbers that contradict what must hold of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from symconv.notation.contraction import Access, Contraction, Kronecker, Size, index
from symconv.notation.graph import Graph
from symconv.notation.polynomial import Polynomial
from symconv.notation.substitution import Division, Substitution
from symconv.prove.certificate import Context, Equation
from symconv.prove.t2_polyphase import gcd_numbers

STRIDES, DILATIONS = range(1, 5), range(1, 4)
FEWER = ((1, 1), (2, 3), (3, 2), (4, 2))  # with more axes than one, whose terms are a product
MULTIPLIED = {"M": 2, "C": 2, "T": 3, "S": 2}  # numbers for the other letters that indices multiply
PATIENCE = 5_000  # milliseconds that z3 may think about one obligation


@dataclass(frozen=True)
class Terms:
    """A program's terms, its steps inlined: points that satisfy conditions, and the cells of each.

    ``least`` and ``zeros`` are at least 0 and 0; ``cells`` are the target's subscripts, then those of
    each tensor that is read, in the order of their names.
    """

    names: tuple[str, ...]
    least: tuple[Polynomial, ...]
    zeros: tuple[Polynomial, ...]
    cells: tuple[tuple[str, tuple[Polynomial, ...]], ...]

    def given(self, least: Sequence[Polynomial]) -> Terms:
        """Return the terms for which more is at least 0."""
        return replace(self, least=(*self.least, *least))


def terms(graph: Graph) -> list[Terms]:
    """Inline a graph's steps into its last one."""
    computed: dict[str, list[Terms]] = {}
    for program in graph.programs:
        found = [t for contraction in program.contractions for t in _terms(contraction, computed)]
        computed[program.target.name] = found
    return [
        replace(t, cells=(t.cells[0], *sorted(t.cells[1:], key=lambda cell: cell[0])))
        for t in computed[graph.output.name]
    ]


def _terms(contraction: Contraction, computed: Mapping[str, list[Terms]]) -> list[Terms]:
    least = [b for name, size in contraction.extents for b in _bounds(index(name), size)]
    zeros = [index(s.name) * s.divisor - s.numerator for s in contraction.solved]
    zeros += [f.left - f.right for f in contraction.factors if isinstance(f, Kronecker)]
    names = [name for name, _ in contraction.extents] + [s.name for s in contraction.solved]
    target = contraction.target
    found = [Terms(tuple(names), (*least, *_inside(target)), tuple(zeros), (("", target.subscripts),))]
    for read in contraction.reads:
        name, cell = read.tensor.name, read.subscripts
        if name in computed:
            found = [_joined(one, read, inner) for one in found for inner in computed[name]]
        else:
            found = [
                replace(one.given(_inside(read)), cells=(*one.cells, (name, cell))) for one in found
            ]
    return found


def _bounds(value: Polynomial, size: Size) -> tuple[Polynomial, Polynomial]:
    return value, Polynomial.lift(size) - 1 - value


def _inside(access: Access) -> list[Polynomial]:
    pairs = zip(access.subscripts, access.tensor.shape, strict=True)
    return [bound for value, size in pairs for bound in _bounds(value, size)]


def _joined(outer: Terms, read: Access, inner: Terms) -> Terms:
    """Replace a read by the terms that compute it, their indices primed once more than any other."""
    primes = "'" * (1 + max(name.count("'") for name in ("", *outer.names)))
    new = {name: index(name + primes) for name in inner.names}
    (_, target), *reads = inner.cells
    equal = [a - b.substitute(new) for a, b in zip(read.subscripts, target, strict=True)]
    return Terms(
        outer.names + tuple(name + primes for name in inner.names),
        outer.least + tuple(p.substitute(new) for p in inner.least),
        (*outer.zeros, *(p.substitute(new) for p in inner.zeros), *equal),
        (
            *outer.cells,
            *((tensor, tuple(p.substitute(new) for p in cell)) for tensor, cell in reads),
        ),
    )


def by_isl(equation: Equation) -> bool:
    """Whether both sides have the same terms, by isl: for strides 1 … 4 and dilations 1 … 3.

    With more axes than one, whose terms are the product of those along each, for four of these pairs.
    """
    sides = [terms(graph) for graph in (equation.left, equation.right)]
    return all(_equal_by_isl(equation, sides, numbers) for numbers in _numbers(equation.context))


def _numbers(context: Context) -> Iterator[dict[str, int]]:
    """Visit numbers for the letters that are multiplied, those along all axes alike."""
    bases = {symbol.partition("_")[0] for symbol in context.symbols}
    choices = list(product(STRIDES, DILATIONS)) if bases == set(context.symbols) else list(FEWER)
    if "s" not in bases:
        choices = choices[:1]
    for stride, dilation in choices:
        known = {"s": stride, "d": dilation} | MULTIPLIED | gcd_numbers({"s": stride, "d": dilation})
        yield {
            symbol: known[base]
            for symbol in context.symbols
            if (base := symbol.partition("_")[0]) in known
        }


def _equal_by_isl(
    equation: Equation, sides: Sequence[Sequence[Terms]], numbers: Mapping[str, int]
) -> bool:
    isl = importlib.import_module("islpy")
    context = equation.context
    letters = [symbol for symbol in context.symbols if symbol not in numbers]
    space = isl.Space.create_from_names(isl.DEFAULT_CONTEXT, set=[], params=letters)
    universe = isl.BasicSet.universe(space)
    assumed = _constrained(isl, universe, context.least, context.zeros, numbers)
    facts = _constrained(isl, universe, equation.then, _shape_differences(equation), numbers)
    left, right = (_isl_terms(isl, side, assumed, letters, numbers) for side in sides)
    return bool(
        assumed.is_subset(facts)
        and left.is_injective()
        and right.is_injective()
        and left.range().is_equal(right.range())
    )


def _shape_differences(equation: Equation) -> list[Polynomial]:
    sizes = zip(equation.left.output.shape, equation.right.output.shape, strict=True)
    return [Polynomial.lift(ours) - theirs for ours, theirs in sizes]


def _isl_terms(
    isl: Any, side: Sequence[Terms], assumed: Any, letters: Sequence[str], numbers: Mapping[str, int]
) -> Any:
    """Return the map from a side's points, part by part, to the cells of their terms."""
    found = isl.UnionMap("{ }")
    for part, one in enumerate(side):
        values = [value for _, cell in one.cells for value in cell]
        cells = [f"cell {at}" for at in range(len(values))]
        space = isl.Space.create_from_names(
            isl.DEFAULT_CONTEXT, in_=one.names, out=cells, params=letters
        )
        equal = [index(cell) - value for cell, value in zip(cells, values, strict=True)]
        points = _constrained(
            isl, isl.BasicMap.universe(space), one.least, (*one.zeros, *equal), numbers
        ).intersect_params(assumed)
        tensors = " ".join(name for name, _ in one.cells)
        points = points.set_tuple_name(isl.dim_type.in_, f"part {part}")
        found = found.union(points.set_tuple_name(isl.dim_type.out, tensors).to_map().to_union_map())
    return found


def _constrained(
    isl: Any,
    universe: Any,
    least: Sequence[Polynomial],
    zeros: Sequence[Polynomial],
    numbers: Mapping[str, int],
) -> Any:
    """Return the part of a set or map where polynomials, linear with these numbers, are ≥ 0 and 0."""

    def coefficients(value: Polynomial) -> dict[object, int]:
        linear = value.substitute(numbers).terms
        return {monomial[0] if monomial else 1: int(factor) for monomial, factor in linear.items()}

    bounds = [isl.Constraint.ineq_from_names(universe.space, coefficients(p)) for p in least]
    return universe.add_constraints(
        bounds + [isl.Constraint.eq_from_names(universe.space, coefficients(p)) for p in zeros]
    )


def by_z3(equation: Equation) -> bool | None:
    """Whether what the substitutions must satisfy has no counterexample, by z3; None: no answer."""
    context = equation.context
    shapes = _shape_differences(equation)
    answers = list(_answers(context.least, context.zeros, equation.then, shapes))
    left = _split(terms(equation.left), equation.left_cases)
    right = _split(terms(equation.right), equation.right_cases)
    for side, paired in ((left, "left"), (right, "right")):
        numbers = sorted(getattr(pairing, paired) for pairing in equation.pairings)
        answers.append(numbers == list(range(len(side))))
    for pairing in equation.pairings:
        source, target = left[pairing.left], right[pairing.right]
        answers += _mapped(context, source, target, pairing.there, pairing.back)
        answers += _mapped(context, target, source, pairing.back, pairing.there)
    return False if False in answers else None if None in answers else True


def _split(parts: list[Terms], cases: Sequence[tuple[int, Polynomial]]) -> list[Terms]:
    for number, side in cases:
        parts.append(parts[number].given([-side - 1]))
        parts[number] = parts[number].given([side])
    return parts


def _mapped(
    context: Context, source: Terms, target: Terms, there: Substitution, back: Substitution
) -> Iterator[bool | None]:
    """Ask for each thing that must hold of a source term's image."""
    remainders = [p for d in there.divisions for p in _remainder(d)]
    image = {name: there.value(name) for name in target.names}
    image |= {name: there.value(name) for d in back.divisions for name in (d.quotient, d.remainder)}
    least = [p.substitute(image) for p in target.least]
    zeros = [p.substitute(image) for p in target.zeros]
    if [name for name, _ in source.cells] != [name for name, _ in target.cells]:
        yield False
        return
    for (_, cell), (_, other) in zip(source.cells, target.cells, strict=True):
        zeros += [a - b.substitute(image) for a, b in zip(cell, other, strict=True)]
    for d in back.divisions:
        zeros.append(_whole(d).substitute(image))
        least += [p.substitute(image) for p in _remainder(d)]
    zeros += [back.value(name).substitute(image) - index(name) for name in source.names]
    yield from _answers(
        (*context.least, *source.least, *remainders),
        (*context.zeros, *source.zeros, *map(_whole, there.divisions)),
        least,
        zeros,
    )


def _answers(
    known_least: Sequence[Polynomial],
    known_zeros: Sequence[Polynomial],
    least: Sequence[Polynomial],
    zeros: Sequence[Polynomial],
) -> Iterator[bool | None]:
    """Ask of each thing whether it follows from what is known: False if numbers refute it."""
    z3 = importlib.import_module("z3")
    solver = z3.Solver()
    solver.set("timeout", PATIENCE)

    def value(p: Polynomial) -> Any:
        terms = [z3.Product(int(n), *map(z3.Int, names)) for names, n in p.terms.items()]
        return z3.Sum(terms) if terms else z3.IntVal(0)

    solver.add(*(value(p) >= 0 for p in known_least), *(value(p) == 0 for p in known_zeros))
    questions = [value(p) < 0 for p in least if p and p not in known_least]
    for question in questions + [value(p) != 0 for p in zeros if p]:
        solver.push()
        solver.add(question)
        answer = solver.check()
        solver.pop()
        yield True if answer == z3.unsat else False if answer == z3.sat else None


def _whole(division: Division) -> Polynomial:
    quotient, remainder = map(index, (division.quotient, division.remainder))
    return division.of - division.by * quotient - remainder


def _remainder(division: Division) -> tuple[Polynomial, Polynomial]:
    remainder = index(division.remainder)
    return remainder, division.by - 1 - remainder


ENGINES: dict[str, tuple[str, Callable[[Equation], bool | None]]] = {
    "isl": ("islpy", by_isl),
    "z3": ("z3", by_z3),
}
