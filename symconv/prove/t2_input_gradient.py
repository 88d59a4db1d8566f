"""T2: ∂E/∂X is the full convolution with the rotated filter."""

from __future__ import annotations

from symconv.notation.backpropagation import gradient
from symconv.prove import letters
from symconv.prove.certificate import Equation, Pairing
from symconv.prove.statements import forward, input_form, substitutions


def input_gradient(rank: int, flip: bool = False, transposed: bool = False) -> Equation:
    """T2: the swapped sum is the full convolution of G, zero-upsampled, with the rotated filter."""
    roles = letters.roles(rank, flip, transposed)
    return Equation(
        "T2",
        "∂E/∂X is the correlation of G with F: stride s, dilation d, the same padding"
        if transposed
        else "∂E/∂X is the full convolution: G, zero-upsampled to s(P - 1) + 1 elements, padded by "
        "(d(K - 1) - lo, d(K - 1) - hi + r), with the filter rotated by 180°, dilation d, stride 1",
        letters.context(rank),
        gradient(forward(roles), roles.x, roles.output),
        input_form(roles),
        (Pairing(0, 0, *substitutions(roles)),),
    )
