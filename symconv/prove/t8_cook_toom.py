"""Winograd's algorithms, T8: whole numbers' identities, each compared."""

from __future__ import annotations

from dataclasses import dataclass

from symconv.notation.cook_toom import CELLS, MinimalFiltering, cook_toom, outputs_by_taps

SAYS = (
    "F(m, r) computes m outputs of r taps from m + r - 1 products, along each axis, and with roles "
    "swapped the taps' gradient: Σ_t A[j,t]·G[t,k]·B[t,i] = D·[i = j + k]"
)


@dataclass(frozen=True)
class Identities:
    """How many identities of F(m, r) were compared, and those that are false."""

    outputs: int
    taps: int
    compared: int
    wrong: tuple[tuple[int, int, int], ...]


def identities() -> list[Identities]:
    """Compare the identities of every F(m, r) that a plan may use."""
    sizes = [(m, r) for cells in CELLS for r, m in outputs_by_taps(cells).items()]
    return [compared(cook_toom(m, r)) for m, r in sizes]


def compared(f: MinimalFiltering) -> Identities:
    """Compare the identities of one."""
    return Identities(f.outputs, f.taps, f.outputs * f.taps * f.cells, tuple(f.errors()))


def row() -> tuple[str, str, str]:
    """Return what is proven, for which sizes, and how, for the table of what is."""
    found = identities()
    which = ", ".join(f"({i.outputs}, {i.taps})" for i in found)
    wrong = [f"F({i.outputs}, {i.taps}) at j, k, i = {i.wrong[0]}" for i in found if i.wrong]
    evidence = f"{sum(i.compared for i in found)} identities of whole numbers compared"
    if wrong:
        evidence += f"; FALSE: {', '.join(wrong)}"
    return f"T8: {SAYS}; tiles by T5", f"(m, r) = {which}", evidence
