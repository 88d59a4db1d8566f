"""T7′: max pooling, its selection given, is linear, and its gradient the adjoint."""

from __future__ import annotations

from symconv.notation.contraction import Contraction, Program
from symconv.prove import letters
from symconv.prove.certificate import Equation
from symconv.prove.swaps import adjointness
from symconv.prove.t7_average import CHANNELS, pool_of


def selected(rank: int) -> Equation:
    """T7′: with S = 1 where a window selects its tap, max pooling is linear in X, and S its adjoint."""
    pool = pool_of(rank)
    maximum = Contraction(
        target=pool.at(pool.output, "n", "c", *pool.positions),
        factors=(pool.read(),),
        extents=pool.extents,
        reduce="max",
    )
    return adjointness(
        "T7′",
        "max pooling is linear once each window has selected its tap, and its gradient is the "
        "selection's adjoint: ⟨O, G⟩ = ⟨X, ∂E/∂X⟩",
        Program((maximum,)),
        pool.x,
        letters.context(rank, channels=CHANNELS),
    )
