"""T3: convolution is the correlation with the rotated filter."""

from __future__ import annotations

from dataclasses import replace

from symconv.layers.roles import Roles
from symconv.notation.contraction import Access, Contraction, Program, Size, Tensor, index
from symconv.notation.graph import Graph
from symconv.notation.names import TAPS
from symconv.notation.substitution import Substitution
from symconv.prove import letters
from symconv.prove.certificate import Equation, Pairing
from symconv.prove.statements import SAME, forward


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
