"""T4: the gradients of a convolution are adjoints."""

from __future__ import annotations

from symconv.layers.roles import correlation
from symconv.notation.contraction import index
from symconv.notation.names import POSITIONS
from symconv.notation.substitution import Substitution
from symconv.prove import letters
from symconv.prove.certificate import Equation, Pairing
from symconv.prove.statements import (
    SAME,
    forward,
    input_form,
    names_of,
    natural_size,
    paired,
    primed,
    substitutions,
    weight_form,
)


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
            Substitution(primed(taken) | primed(there.values, "'")),
            Substitution(primed(inside) | primed(back.values, "'")),
        )
    ]
    if bias:
        o = written[outer[1]]
        cell = dict(zip(outer, (index("n"), o, *map(index, POSITIONS[rank])), strict=True))
        pairings.append(Pairing(1, 1, Substitution(primed({"o": o})), Substitution(primed(cell))))
    return Equation(
        "T4",
        f"⟨O, G⟩ = ⟨{by}, ∂E/∂{by}⟩" + (" + ⟨b, ∂E/∂b⟩" if bias else ""),
        letters.context(rank) if by == "X" else natural_size(rank),
        *paired(roles, forward(roles, bias), form, tensor, bias),
        tuple(pairings),
    )
