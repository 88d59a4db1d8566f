"""From every size to given ones: an equation with numbers for letters, and a layer's own sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

from symconv.layers.roles import Roles
from symconv.notation.contraction import (
    Access,
    Contraction,
    Factor,
    Kronecker,
    Program,
    Size,
    Solved,
    index,
)
from symconv.notation.graph import Graph
from symconv.notation.names import CELLS, QUOTIENTS, TAPS
from symconv.notation.polynomial import Polynomial
from symconv.prove import checker, letters
from symconv.prove.certificate import Data, Equation, certificate
from symconv.prove.search import SearchError

Numbers = Mapping[str, int]


@dataclass(frozen=True)
class Proved:
    """An equation and its certificate, which the checker has accepted; else why there is none."""

    equation: Equation
    certificate: Data | None
    reason: str


@cache
def proved(make: Callable[..., Equation], *arguments: object) -> Proved:
    """Return an equation with its certificate, found and checked once."""
    equation = make(*arguments)
    try:
        found = certificate(equation)
        checker.check(found)
    except (SearchError, ValueError) as error:
        return Proved(equation, None, str(error))
    return Proved(equation, found, "")


def numbers_of(roles: Roles[int]) -> dict[str, int]:
    """Return a layer's number for each letter."""
    numbers = {
        "N": roles.cells.sizes[0],
        "groups": roles.groups,
        "M": roles.filters,
        "C": roles.channels,
    }
    return numbers | letters.window_numbers(roles.windows)


def satisfied(equation: Equation, numbers: Numbers) -> bool:
    """Whether numbers satisfy what an equation assumes."""
    context = equation.context
    return set(context.symbols) <= set(numbers) and (
        all(int(p.substitute(numbers)) >= 0 for p in context.least)
        and not any(p.substitute(numbers) for p in context.zeros)
    )


def is_instance(general: Graph, numbers: Numbers, own: Graph, names: Mapping[str, str]) -> bool:
    """Whether a graph with numbers for its letters is another one, some of whose tensors are renamed."""
    if len(set(names.values())) < len(names):
        return False  # two tensors would be taken for one
    return _normal(put(general, numbers), {}) == _normal(own, names)


def put(graph: Graph, numbers: Numbers) -> Graph:
    """Put numbers for letters."""
    return Graph(
        tuple(
            Program(tuple(_put(contraction, numbers) for contraction in step.contractions))
            for step in graph.programs
        )
    )


def _put(contraction: Contraction, numbers: Numbers) -> Contraction:
    def factor(f: Factor) -> Factor:
        if isinstance(f, Access):
            return access(f)
        if isinstance(f, Kronecker):
            return Kronecker(f.left.substitute(numbers), f.right.substitute(numbers))
        return Solved(f.name, f.numerator.substitute(numbers), _number(f.divisor, numbers))

    def access(a: Access) -> Access:
        shape = tuple(_number(size, numbers) for size in a.tensor.shape)
        return Access(replace(a.tensor, shape=shape), a.substitute(numbers).subscripts)

    return replace(
        contraction,
        target=access(contraction.target),
        factors=tuple(map(factor, contraction.factors)),
        extents=tuple((name, _number(size, numbers)) for name, size in contraction.extents),
    )


def _number(size: Size, numbers: Numbers) -> int:
    return int(Polynomial.lift(size).substitute(numbers))


def _normal(graph: Graph, names: Mapping[str, str]) -> list[list[Contraction]]:
    """Return a graph's sums without indices of one value and sums without any, tensors renamed."""
    return [
        [_without_units(c, names) for c in step.contractions if min(c.ranges.values(), default=1) > 0]
        for step in graph.programs
    ]


def _without_units(contraction: Contraction, names: Mapping[str, str]) -> Contraction:
    zero = {name: 0 for name, size in contraction.ranges.items() if size == 1}

    def renamed(access: Access) -> Access:
        name = access.tensor.name
        of = name.removeprefix("∂E/∂")
        if name in names or of in names:
            name = names.get(name) or f"∂E/∂{names[of]}"
        return Access(replace(access.tensor, name=name), access.substitute(zero).subscripts)

    return replace(
        contraction,
        target=renamed(contraction.target),
        factors=tuple(renamed(f) if isinstance(f, Access) else f for f in contraction.factors),
        extents=tuple(sorted((n, size) for n, size in contraction.ranges.items() if n not in zero)),
    )


def phases(general: Contraction, numbers: Numbers, rank: int) -> list[Contraction]:
    """Return T2′'s sum with numbers for its letters, a sum of its own for each phase along the axes.

    A phase ρ determines the first tap κ and, with the cells u = s·a + b, the index e; its taps are
    counted from the last one.
    """
    concrete = _put(general, numbers)
    along = [
        [*_phases_along(numbers, suffix, *names)]
        for suffix, *names in zip(
            letters.suffixes(rank), CELLS[rank], TAPS[rank], QUOTIENTS[rank], strict=True
        )
    ]
    inner = {name for name, _ in concrete.extents if name in CELLS[rank] or name[0] in "ρκτ"}
    found = []
    for combination in product(*along):
        values = {name: value for values, _ in combination for name, value in values.items()}
        extents = [extent for _, extents in combination for extent in extents]
        outer = [extent for extent in concrete.extents if extent[0] not in inner]
        found.append(
            replace(
                concrete,
                target=concrete.target.substitute(values),
                factors=tuple(read.substitute(values) for read in concrete.reads),
                extents=(*outer, *extents),
            )
        )
    return found


def _phases_along(
    numbers: Numbers, suffix: str, u: str, k: str, a: str
) -> Iterator[tuple[dict[str, Polynomial], list[tuple[str, int]]]]:
    """Visit the phases of an axis with a cell and a tap: its indices' values, and the extents."""
    letters_ = ("H", "K", "s", "d", "lo", "γ", "σ", "α")
    size, kernel, s, d, lo, gamma, sigma, alpha = (numbers[name + suffix] for name in letters_)
    for phase in range(sigma):
        first = alpha * phase % sigma
        taps = len(range(first, kernel, sigma))
        cell = (gamma * phase - lo) % s
        if taps and cell < size:
            values = {
                u: index(a) * s + cell,
                f"κ{suffix}": Polynomial.lift(first),
                f"τ{suffix}": -index(k) + (taps - 1),
                f"e{suffix}": index(a) + (cell + lo - d * first) // s,
            }
            yield values, [(a, len(range(cell, size, s))), (k, taps)]


def are_phases(general: Graph, numbers: Numbers, own: Graph, names: Mapping[str, str]) -> bool:
    """Whether a graph's sums are those of T2′'s phases, in any order."""
    (sum_,) = general.programs[-1].contractions
    rank = len(sum_.target.subscripts) - 2
    expected = _normal(Graph((Program(tuple(phases(sum_, numbers, rank))),)), {})
    (found,) = _normal(own, names)
    return len(expected[0]) == len(found) and all(one in found for one in expected[0])
