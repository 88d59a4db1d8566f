"""T5: a convolution in tiles with a halo is the convolution."""

from __future__ import annotations

from symconv.layers.roles import Roles
from symconv.notation.contraction import Access, Contraction, Program, Tensor, index
from symconv.notation.graph import Graph
from symconv.notation.names import POSITIONS, TAPS
from symconv.notation.polynomial import Polynomial
from symconv.notation.substitution import Division, Substitution
from symconv.prove import letters
from symconv.prove.certificate import Equation, Pairing
from symconv.prove.statements import forward


def tiles(rank: int, flip: bool = False) -> Equation:
    """T5: B tiles of T outputs each, from inputs that overlap in a halo, make the convolution."""
    context = letters.context(
        rank,
        lambda n: {"T": 2, "B": -(-n["P"] // 2)},
        least=lambda a: (a["T"] - 1, a["T"] * a["B"] - a["P"]),
    )
    roles = letters.roles(rank, flip)
    along = letters.axes(rank, ("T",))
    suffixes = letters.suffixes(rank)
    n, m, c = roles.channel_subscripts()
    there = {"n'": n, "n''": n, "o": m, "o'": index("o"), "g'": index("g"), "c'": index("c"), "c''": c}
    back = {name: index(f"{name}'") for name in ("n", "g", "o", "c", *TAPS[rank])}
    for p, k, suffix, w, a in zip(
        POSITIONS[rank], TAPS[rank], suffixes, roles.windows, along, strict=True
    ):
        tile, place = index(f"b{suffix}"), index(f"q{suffix}")
        there |= {f"b{suffix}'": tile, f"b{suffix}''": tile, f"q{suffix}'": place, f"{k}'": index(k)}
        there[f"j{suffix}''"] = place * w.stride + index(k) * w.dilation
        back[p] = tile * a["T"] + place
    divisions = tuple(
        Division(f"b{suffix}", f"q{suffix}", index(p), a["T"])
        for p, suffix, a in zip(POSITIONS[rank], suffixes, along, strict=True)
    )
    return Equation(
        "T5",
        "the convolution is that of tiles of T outputs, whose inputs overlap by a halo of "
        "d(K - 1) + 1 - s",
        context,
        forward(roles),
        tiled(roles),
        (Pairing(0, 0, Substitution(there, divisions), Substitution(back)),),
    )


def tiled(roles: Roles[Polynomial]) -> Graph:
    """Cut the input into overlapping tiles, correlate each, and put the results together."""
    rank = roles.rank
    along = letters.axes(rank, ("T", "B"))
    suffixes = letters.suffixes(rank)
    batch, channels, *_ = roles.cells.shape
    _, filters, *_ = roles.positions.shape
    n, m, c = roles.channel_subscripts()
    counts = [a["B"] for a in along]
    halos = [w.stride * (a["T"] - 1) + w.reach + 1 for w, a in zip(roles.windows, along, strict=True)]
    sizes = [a["T"] for a in along]
    cut = Tensor("Xt", (batch, channels, *counts, *halos))
    done = Tensor("Ot", (batch, filters, *counts, *sizes))
    b, j, q = ([f"{letter}{suffix}" for suffix in suffixes] for letter in "bjq")
    tile = tuple(map(index, b))
    taken = [
        index(tile) * (w.stride * a["T"]) + index(cell) - w.lo
        for tile, cell, w, a in zip(b, j, roles.windows, along, strict=True)
    ]
    read = [
        index(place) * w.stride + index(k) * w.dilation
        for place, k, w in zip(q, TAPS[rank], roles.windows, strict=True)
    ]
    put = [index(tile) * a["T"] + index(place) for tile, place, a in zip(b, q, along, strict=True)]
    cut_up = Contraction(
        target=cut[(index("n"), index("c"), *tile, *map(index, j))],
        factors=(Access(roles.cells, (index("n"), index("c"), *taken)),),
        extents=tuple(zip(("n", "c", *b, *j), cut.shape, strict=True)),
    )
    correlate = Contraction(
        target=done[(n, m, *tile, *map(index, q))],
        factors=(cut[(n, c, *tile, *read)], roles.tap([index(k) for k in TAPS[rank]])),
        extents=roles.extents(b + q, counts + sizes, TAPS[rank], [w.kernel for w in roles.windows]),
    )
    put_together = Contraction(
        target=Access(Tensor("O", roles.positions.shape), (index("n"), index("o"), *put)),
        factors=(done[(index("n"), index("o"), *tile, *map(index, q))],),
        extents=tuple(zip(("n", "o", *b, *q), done.shape, strict=True)),
    )
    return Graph(tuple(Program((step,)) for step in (cut_up, correlate, put_together)))
