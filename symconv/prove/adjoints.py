"""Adjointness for every size: of a convolution T4, of padding modes T6, of a maximum's selection T7."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from symconv.layers.padding import padding_step
from symconv.layers.roles import Roles, correlation
from symconv.notation.backpropagation import gradient, gradient_of
from symconv.notation.contraction import Access, Contraction, Program, Size, Tensor, index
from symconv.notation.graph import Graph
from symconv.notation.names import CELLS, INDICES, POSITIONS, TAPS
from symconv.notation.polynomial import Polynomial
from symconv.notation.substitution import Substitution
from symconv.prove import letters
from symconv.prove.certificate import Context, Equation, Pairing
from symconv.prove.gradients import (
    SAME,
    forward,
    input_form,
    natural_size,
    substitutions,
    weight_form,
)

TOTAL = Tensor("E", ())


def rotation(rank: int, bias: bool = False, transposed: bool = False) -> Equation:
    """T3: convolution is the correlation with the filter rotated by 180°."""
    roles = letters.roles(rank, transposed=transposed)
    tap = roles.tap([index(name) for name in TAPS[rank]])
    inner = zip((*roles.letters, *TAPS[rank]), tap.subscripts, strict=True)
    return Equation(
        "T3",
        "convolution is the correlation with the filter rotated by 180°",
        letters.context(rank),
        forward(replace(roles, flip=True), bias),
        rotated_first(roles, bias),
        (
            Pairing(0, 0, Substitution({f"{name}'": value for name, value in inner}), SAME),
            *([Pairing(1, 1, SAME, SAME)] if bias else []),
        ),
    )


def rotated_first(roles: Roles[Size], bias: bool = False) -> Graph:
    """Rotate the filter, then correlate with it."""
    turned = Tensor("Frot", roles.taps.shape)
    names = (*roles.letters, *TAPS[roles.rank])
    taps = [-index(k) + (w.kernel - 1) for k, w in zip(TAPS[roles.rank], roles.windows, strict=True)]
    rotate = Contraction(
        target=Access(turned, tuple(map(index, names))),
        factors=(Access(roles.taps, (*map(index, roles.letters), *taps)),),
        extents=tuple(zip(names, turned.shape, strict=True)),
    )
    return Graph((Program((rotate,)), *forward(replace(roles, taps=turned), bias).steps))


def inner(graph: Graph, *pairs: tuple[Tensor, Tensor, Sequence[str]]) -> Graph:
    """Add E, the sum of inner products of two tensors each, at indices of these names."""
    sums = [
        Contraction(
            target=TOTAL[()],
            factors=(one[tuple(map(index, names))], other[tuple(map(index, names))]),
            extents=tuple(zip(names, one.shape, strict=True)),
        )
        for one, other, names in pairs
    ]
    return Graph((*graph.steps, Program(tuple(sums))))


def names_of(roles: Roles[Size], tensor: Tensor) -> tuple[str, ...]:
    """Return what the indices of a whole tensor are called."""
    if tensor == roles.taps:
        return (*roles.letters, *TAPS[roles.rank])
    if tensor == roles.positions:
        return ("n", roles.letters[0], *POSITIONS[roles.rank])
    return ("n", roles.letters[1], *CELLS[roles.rank])


def adjoint(
    rank: int, by: str, flip: bool = False, transposed: bool = False, bias: bool = False
) -> Equation:
    """T4: ⟨O, G⟩ is ⟨X, ∂E/∂X⟩, and ⟨F, ∂E/∂F⟩; with a bias, ⟨b, ∂E/∂b⟩ more.

    The terms are those of T2 and T1, each times an element of what the gradient is taken by: the sums'
    own indices are primed, those of the inner products are the elements' subscripts.
    """
    roles = letters.roles(rank, flip, transposed)
    tensor = roles.x if by == "X" else roles.taps
    form = input_form(roles) if by == "X" else weight_form(roles)
    there, back = substitutions(roles) if by == "X" else (SAME, SAME)
    read = correlation(roles)
    outer = names_of(roles, roles.output)
    written = dict(zip(outer, read.target.subscripts, strict=True))
    element = next(r for r in read.reads if r.tensor == tensor)
    taken = dict(zip(names_of(roles, tensor), element.subscripts, strict=True))
    inside = {name: value.substitute(back.values) for name, value in written.items()}
    pairings = [
        Pairing(
            0,
            0,
            Substitution(_primed(taken) | _primed(there.values, "'")),
            Substitution(_primed(inside) | _primed(back.values, "'")),
        )
    ]
    if bias:
        o = written[outer[1]]
        cell = dict(zip(outer, (index("n"), o, *map(index, POSITIONS[rank])), strict=True))
        pairings.append(Pairing(1, 1, Substitution(_primed({"o": o})), Substitution(_primed(cell))))
    return Equation(
        "T4",
        f"⟨O, G⟩ = ⟨{by}, ∂E/∂{by}⟩" + (" + ⟨b, ∂E/∂b⟩" if bias else ""),
        letters.context(rank) if by == "X" else natural_size(rank),
        *paired(roles, forward(roles, bias), form, tensor, bias),
        tuple(pairings),
    )


def paired(
    roles: Roles[Size], graph: Graph, form: Graph, tensor: Tensor, bias: bool
) -> tuple[Graph, Graph]:
    """Return ⟨O, G⟩, of what a graph computes, and ⟨T, ∂E/∂T⟩, of what a form computes."""
    pairs = [(tensor, gradient_of(tensor), names_of(roles, tensor))]
    if bias:
        b = Tensor("b", graph.output.shape[1:2])
        form = Graph((*form.steps, *gradient(graph, b, roles.output).steps))
        pairs.append((b, gradient_of(b), ("o",)))
    left = inner(graph, (graph.output, roles.output, names_of(roles, roles.output)))
    return left, inner(form, *pairs)


def _primed(values: Mapping[str, Polynomial], more: str = "") -> dict[str, Polynomial]:
    """Write values in indices with one prime more, and their names with more."""
    names = {name for value in values.values() for name in value.variables}
    own = {name: index(f"{name}'") for name in names if name.rstrip("'") in INDICES}
    return {name + more: value.substitute(own) for name, value in values.items()}


def padding(rank: int, axis: int, mode: str) -> Equation:
    """T6: the fold-back, each copy's gradient added to its source, is the adjoint of padding an axis."""
    x, pad, context = _padding(rank, axis, mode)
    padded = Graph((pad,))
    cotangent = Tensor("Y", pad.target.shape)
    names = ("n", "c", *CELLS[rank])
    pairings = [
        Pairing(
            at,
            at,
            Substitution(_primed(dict(zip(names, piece.reads[0].subscripts, strict=True)))),
            Substitution(_primed(dict(zip(names, piece.target.subscripts, strict=True)))),
        )
        for at, piece in enumerate(pad.contractions)
    ]
    return Equation(
        "T6",
        f"{mode} padding has the fold-back as adjoint: ⟨pad(X), Y⟩ = ⟨X, fold(Y)⟩",
        context,
        inner(padded, (pad.target, cotangent, names)),
        inner(gradient(padded, x, cotangent), (x, gradient_of(x), names)),
        tuple(pairings),
    )


def padding_covers(rank: int, axis: int, mode: str) -> Equation:
    """T6′: padding writes each cell once, from within the axis: padded ones are ones."""
    x, pad, context = _padding(rank, axis, mode)
    names = ("n", "c", *CELLS[rank])
    u = names[2 + axis]
    size = x.shape[2 + axis]
    lo, hi = (index(name + letters.suffixes(rank)[axis]) for name in ("lo", "hi"))
    most = {"reflect": (size - 1 - lo, size - 1 - hi), "circular": (size - lo, size - hi)}
    ones = Graph((_ones(x, names), pad))
    places = (index(u) - lo, index(u), index(u) - lo - size)
    pairings = []
    for at, (piece, place) in enumerate(zip(pad.contractions, places, strict=True)):
        source = piece.reads[0].substitute({u: place})
        there = {f"{name}'": value for name, value in zip(names, source.subscripts, strict=True)}
        (cell,) = (s for s, name in zip(piece.target.subscripts, names, strict=True) if name == u)
        pairings.append(Pairing(at, at, Substitution(there | {u: place}), Substitution({u: cell})))
    return Equation(
        "T6′",
        f"{mode} padding copies a cell of the axis to each cell of the padded one, once",
        replace(context, least=(lo, hi, *most.get(mode, (size - 1,)))),
        Graph((_ones(pad.target, names),)),
        ones,
        tuple(pairings),
        left_cases=((0, index(u) - lo), (0, lo + size - 1 - index(u))),
    )


def _padding(rank: int, axis: int, mode: str) -> tuple[Tensor, Program, Context]:
    """Return a tensor whose sizes are letters, the program that pads an axis of it, and numbers."""
    suffixes = letters.suffixes(rank)
    sizes = [f"H{suffix}" for suffix in suffixes]
    x = Tensor("X", tuple(map(index, ("N", "C", *sizes))))
    lo, hi = f"lo{suffixes[axis]}", f"hi{suffixes[axis]}"
    numbers = {"N": 2, "C": 3, lo: 2, hi: 1} | dict(zip(sizes, (4, 3, 5), strict=False))
    context = Context((*sizes, lo, hi, "N", "C"), (), (), (numbers,))
    return x, padding_step(x, mode, axis, index(lo), index(hi)), context


def _ones(tensor: Tensor, names: Sequence[str]) -> Program:
    """Return the program that fills a tensor with ones."""
    cells = tuple(map(index, names))
    return Program((Contraction(tensor[cells], (), tuple(zip(names, tensor.shape, strict=True))),))
