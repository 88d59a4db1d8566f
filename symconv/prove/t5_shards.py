"""T5′: ∂E/∂F is the sum of those of shards of the batch."""

from __future__ import annotations

from dataclasses import replace

from symconv.notation.backpropagation import gradient
from symconv.notation.contraction import Access, Contraction, Program, Tensor, index
from symconv.notation.graph import Graph
from symconv.notation.names import TAPS
from symconv.notation.substitution import Division, Substitution
from symconv.prove import letters
from symconv.prove.certificate import Equation, Pairing
from symconv.prove.statements import forward


def shards(rank: int, flip: bool = False) -> Equation:
    """T5′: ∂E/∂F is the sum over B shards of S samples each, the last one perhaps smaller."""
    roles = letters.roles(rank, flip)
    whole = letters.context(rank)
    shard, count, images = map(index, ("S", "B", "N"))
    context = replace(
        whole,
        symbols=(*whole.symbols, "S", "B"),
        least=(*whole.least, shard - 1, shard * count - images),
        examples=tuple({**example, "S": 2, "B": 2} for example in whole.examples),
    )
    left = gradient(forward(roles), roles.taps, roles.output)
    (swapped,) = left.programs[0].contractions
    total = swapped.target.tensor
    parts = Tensor("parts", (count, *total.shape))
    place = {"n": shard * index("b") + index("e")}
    names = (*roles.letters, *TAPS[rank])
    each = Contraction(
        target=Access(parts, (index("b"), *swapped.target.subscripts)),
        factors=tuple(read.substitute(place) for read in swapped.reads),
        extents=(("b", count), ("e", shard), *swapped.extents[1:]),
    )
    add = Contraction(
        target=Access(total, tuple(map(index, names))),
        factors=(parts[(index("b"), *map(index, names))],),
        extents=(("b", count), *zip(names, total.shape, strict=True)),
    )
    inside = [name for name, _ in swapped.extents[1:]]
    there = {"b'": index("b"), "e'": index("e")} | {f"{name}'": index(name) for name in inside}
    there |= dict(zip(names, swapped.target.subscripts, strict=True))
    back = {name: index(f"{name}'") for name in [*inside, "e"]}
    back["n"] = shard * index("b'") + index("e'")
    return Equation(
        "T5′",
        "∂E/∂F is the sum of those of shards of the batch, S samples each",
        context,
        left,
        Graph((Program((each,)), Program((add,)))),
        (
            Pairing(
                0,
                0,
                Substitution(there, (Division("b", "e", index("n"), shard),)),
                Substitution(back),
            ),
        ),
    )
