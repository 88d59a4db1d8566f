"""T6, T6′: the fold-back is the adjoint of padding, which copies an element to each one, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from symconv.layers.padding import padding_step
from symconv.notation.backpropagation import gradient, gradient_of
from symconv.notation.contraction import Contraction, Program, Tensor, index
from symconv.notation.graph import Graph
from symconv.notation.names import CELLS
from symconv.notation.substitution import Substitution
from symconv.prove import letters
from symconv.prove.certificate import Context, Equation, Pairing
from symconv.prove.statements import inner, primed


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
            Substitution(primed(dict(zip(names, piece.reads[0].subscripts, strict=True)))),
            Substitution(primed(dict(zip(names, piece.target.subscripts, strict=True)))),
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
    """T6′: padding writes each element once, from within the axis: padded ones are ones."""
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
        f"{mode} padding copies an element of the axis to each one of the padded axis, once",
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
