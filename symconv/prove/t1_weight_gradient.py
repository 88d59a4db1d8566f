"""T1: ∂E/∂F is a correlation."""

from __future__ import annotations

from symconv.notation.backpropagation import gradient
from symconv.prove import letters
from symconv.prove.certificate import Equation, Pairing
from symconv.prove.statements import SAME, forward, natural_size, weight_form


def weight_gradient(rank: int, flip: bool = False, transposed: bool = False) -> Equation:
    """T1: the swapped sum is a correlation, stride and dilation exchanged, cropped to the filter."""
    roles = letters.roles(rank, flip, transposed)
    along = zip(roles.windows, letters.axes(rank, ("f",)), strict=True)
    spare = [  # what the padded cells have beyond windows of P taps, s apart, at K + f positions d apart
        w.size + w.lo + w.hi - w.stride * (w.outputs - 1) - 1 - w.dilation * (w.kernel + a["f"] - 1)
        for w, a in along
    ]
    return Equation(
        "T1",
        "∂E/∂F is the correlation of X with ∂E/∂O: stride d, dilation s, the same padding; its natural "
        "size, K + f with f = ⌊r/d⌋, is cropped to K",
        natural_size(rank),
        gradient(forward(roles), roles.taps, roles.output),
        weight_form(roles),
        (Pairing(0, 0, SAME, SAME),),
        then=tuple(
            p for w, x in zip(roles.windows, spare, strict=True) for p in (x, w.dilation - 1 - x)
        ),
    )
