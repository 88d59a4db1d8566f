"""From every size to given ones: an equation with numbers for letters, and a layer's own sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

from symconv.layers.roles import Roles
from symconv.notation.contraction import Access, Contraction, Factor, Kronecker, Program, Size, Solved
from symconv.notation.correlation import Axis, polyphase
from symconv.notation.graph import Graph
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
    for w, suffix in zip(roles.windows, letters.suffixes(roles.rank), strict=True):
        sizes = {"H": w.size, "K": w.kernel, "P": w.outputs, "s": w.stride, "d": w.dilation}
        sizes |= {"lo": w.lo, "hi": w.hi, "r": w.remainder}
        numbers |= {letter + suffix: number for letter, number in sizes.items()}
    return numbers


def satisfied(equation: Equation, numbers: Numbers) -> bool:
    """Whether numbers satisfy what an equation assumes."""
    context = equation.context
    return set(context.symbols) <= set(numbers) and (
        all(int(p.substitute(numbers)) >= 0 for p in context.least)
        and not any(p.substitute(numbers) for p in context.zeros)
    )


def is_instance(general: Graph, numbers: Numbers, own: Graph, names: Mapping[str, str]) -> bool:
    """Whether a graph with numbers for its letters is another one, some of whose tensors are renamed."""
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


def phases_agree(axis: Axis, numbers: Numbers, suffix: str) -> bool:
    """Whether an axis's polyphase form has the taps and positions that T2′ gives each phase."""
    n = {name: numbers[name + suffix] for name in ("H", "K", "P", "s", "d", "lo", "γ", "σ", "δ", "α")}
    expected = []
    for phase in range(n["σ"]):
        first = n["α"] * phase % n["σ"]
        taps = len(range(first, n["K"], n["σ"]))
        cell = (n["γ"] * phase - n["lo"]) % n["s"]
        if taps and cell < n["H"]:
            position = (cell + n["lo"] - n["d"] * first) // n["s"] - n["δ"] * (taps - 1)
            last = first + n["σ"] * (taps - 1)
            expected.append((cell, last, taps, position))
    phases = polyphase(replace(axis, tap_start=0, tap_step=1))  # wherever the taps are stored
    found = [(p.position_start, p.tap_start, p.taps, p.offset) for p in phases]
    steps = all(
        (p.position_step, p.stride, p.dilation) == (n["s"], 1, n["δ"])
        and p.tap_step == (-n["σ"] if p.taps > 1 else 1)
        and p.positions == len(range(p.position_start, n["H"], n["s"]))
        for p in phases
    )
    return sorted(found) == sorted(expected) and steps
