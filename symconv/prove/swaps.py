"""The swap of a sum is its adjoint: ⟨O, G⟩ and ⟨T, ∂E/∂T⟩ have the same terms, point by point."""

from __future__ import annotations

from symconv.layers.families import SIZE
from symconv.notation.backpropagation import gradient, gradient_of, linearised, selection_of
from symconv.notation.contraction import Program, Tensor, index
from symconv.notation.graph import Graph
from symconv.notation.names import CELLS, element
from symconv.notation.substitution import Substitution
from symconv.prove.certificate import Context, Equation, Pairing
from symconv.prove.statements import inner

GIVEN_SIZES = Context((), (), (), ({},))
ANY_BATCH = Context((SIZE,), (index(SIZE) - 1,), (), ({SIZE: 1}, {SIZE: 3}))


def reading(program: Program, tensor: Tensor) -> Program:
    """Return the part of a program that reads a tensor; of a maximum, the sum of what is selected."""
    contractions = (c for c in program.contractions if any(r.tensor == tensor for r in c.reads))
    return Program(
        tuple(c if c.reduce == "sum" else linearised(c, selection_of(c).target) for c in contractions)
    )


def sides(program: Program, tensor: Tensor) -> tuple[Graph, Graph]:
    """Return ⟨O, G⟩, of the terms that read T, and ⟨T, ∂E/∂T⟩."""
    graph = Graph((reading(program, tensor),))
    cotangent = Tensor("G", program.target.shape)
    back = gradient(graph, tensor, cotangent)
    left = inner(graph, (program.target, cotangent, element(len(program.target.shape))))
    return left, inner(back, (tensor, gradient_of(tensor), cells(tensor)))


def cells(tensor: Tensor) -> tuple[str, ...]:
    """Return names for the indices of what a sum reads."""
    rank = len(tensor.shape)
    return ("n", "c", *CELLS[rank - 2]) if 3 <= rank <= 5 else element(rank)


def adjointness(
    name: str, title: str, program: Program, tensor: Tensor, context: Context = GIVEN_SIZES
) -> Equation:
    """Pair each point of a sum with itself: the inner products' indices are what it writes and reads."""
    pairings = []
    for at, contraction in enumerate(reading(program, tensor).contractions):
        primed = {name: index(f"{name}'") for name, _ in contraction.extents}
        (read,) = (r for r in contraction.reads if r.tensor == tensor)
        there = [s.substitute(primed) for s in read.subscripts]
        back = [s.substitute(primed) for s in contraction.target.subscripts]
        outer = element(len(program.target.shape))
        pairings.append(
            Pairing(
                at,
                at,
                Substitution(dict(zip(cells(tensor), there, strict=True))),
                Substitution(dict(zip(outer, back, strict=True))),
            )
        )
    left, right = sides(program, tensor)
    return Equation(name, title, context, left, right, tuple(pairings))


def of_any_batch(name: str, title: str, program: Program, tensor: Tensor) -> Equation:
    """Return the adjointness of a program with a letter for the number of samples."""
    return adjointness(name, title, program, tensor, ANY_BATCH)
