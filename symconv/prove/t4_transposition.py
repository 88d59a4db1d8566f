"""T4′: the transposed convolution is ∂E/∂X of the convolution."""

from __future__ import annotations

from dataclasses import replace

from symconv.derive.forms import (
    full_convolution_substitutions,
)
from symconv.prove import letters
from symconv.prove.certificate import Equation, Pairing
from symconv.prove.statements import forward, full_convolution_form


def transposition(rank: int, flip: bool = False) -> Equation:
    """T4′: a transposed convolution is ∂E/∂Y of the convolution of its output, called Y: a full one.

    Any r will do: of an r of at least s, it is the convolution that is restricted to P positions.
    """
    roles = letters.roles(rank, flip, transposed=True)
    cells = replace(roles, cells=replace(roles.cells, name="Y"))
    return Equation(
        "T4′",
        "the transposed convolution is the full convolution of X, zero-upsampled: by T2, ∂E/∂Y of the "
        "convolution of Y with equal arguments (of its first P outputs, if r ≥ s)",
        letters.context(rank),
        forward(roles),
        full_convolution_form(cells),
        (Pairing(0, 0, *full_convolution_substitutions(roles)),),
    )
