"""T7′: max pooling, its selection given, is linear, and its gradient the adjoint."""

from __future__ import annotations

from symconv.notation.contraction import Contraction, Program
from symconv.prove import letters
from symconv.prove.certificate import Equation
from symconv.prove.swaps import adjointness
from symconv.prove.t7_average import CHANNELS, pool_of


def selected(rank: int) -> Equation:
    """T7′: max pooling is linear in X once each window has selected its element, S = 1 there."""
    pool = pool_of(rank)
    maximum = Contraction(
        target=pool.at(pool.output, "n", "c", *pool.positions),
        factors=(pool.read(),),
        extents=pool.extents,
        reduce="max",
    )
    return adjointness(
        "T7′",
        "max pooling is linear once each window has selected its element, and its gradient is the "
        "selection's adjoint: ⟨O, G⟩ = ⟨X, ∂E/∂X⟩",
        Program((maximum,)),
        pool.x,
        letters.context(rank, channels=CHANNELS),
    )
