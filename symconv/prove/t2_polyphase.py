"""T2′: ∂E/∂X in phases, without the inserted zeros."""

from __future__ import annotations

from math import gcd

from symconv.layers.roles import Roles, correlation
from symconv.notation.backpropagation import gradient
from symconv.notation.contraction import Access, Contraction, Program, Solved, Tensor, index
from symconv.notation.graph import Graph
from symconv.notation.names import CELLS, POSITIONS, TAPS
from symconv.notation.polynomial import Polynomial
from symconv.notation.substitution import Division, Substitution
from symconv.prove import letters
from symconv.prove.certificate import Equation, Pairing
from symconv.prove.statements import forward

GCD = ("γ", "σ", "δ", "α", "β")  # gcd(s, d), s/γ and d/γ, and α·δ - β·σ = 1


def polyphase(rank: int, flip: bool = False, transposed: bool = False) -> Equation:
    """T2′: the swapped sum, cell by cell, without the zeros: the form that is computed.

    With γ = gcd(s, d), s = γ·σ and d = γ·δ, a cell u has the phase (u + lo) mod s = γ·ρ (of another
    phase it is zero), which determines its first tap κ; it has every σ-th tap from there.
    """
    context = letters.context(
        rank,
        gcd_numbers,
        least=lambda a: (a["γ"] - 1, a["σ"] - 1, a["δ"] - 1),
        zeros=lambda a: (
            a["s"] - a["γ"] * a["σ"],
            a["d"] - a["γ"] * a["δ"],
            a["α"] * a["δ"] - a["β"] * a["σ"] - 1,
        ),
    )
    roles = letters.roles(rank, flip, transposed)
    swapped = forward(roles) if transposed else gradient(forward(roles), roles.x, roles.output)
    there, back = _phase_substitutions(roles)
    return Equation(
        "T2′",
        f"{'O' if transposed else '∂E/∂X'} in phases: a cell u with (u + lo) mod s = γ·ρ, where "
        "γ = gcd(s, d), has the taps κ + (s/γ)·τ and the positions (u + lo - d·κ)/s - (d/γ)·τ; any "
        "other cell is zero",
        context,
        swapped,
        Graph((Program((_phases(roles, swapped.output),)),)),
        (Pairing(0, 0, there, back),),
    )


def gcd_numbers(numbers: letters.Numbers) -> letters.Numbers:
    """Return gcd(s, d), what it divides them into, and Bézout's witnesses."""
    common = gcd(numbers["s"], numbers["d"])
    sigma, delta = numbers["s"] // common, numbers["d"] // common
    alpha = pow(delta, -1, sigma) if sigma > 1 else 1
    return {"γ": common, "σ": sigma, "δ": delta, "α": alpha, "β": (alpha * delta - 1) // sigma}


def _phases(roles: Roles[Polynomial], target: Tensor) -> Contraction:
    """Return the sum for each cell: of its phase, over every σ-th tap from the first one."""
    n, m, c = roles.channel_subscripts()
    solved, cells, positions, taps = [], [], [], []
    sizes: list[tuple[str, Polynomial]] = []
    named = zip(
        CELLS[roles.rank],
        letters.suffixes(roles.rank),
        letters.axes(roles.rank, GCD),
        roles.windows,
        strict=True,
    )
    for u, suffix, a, w in named:
        phase, first, count, e = (index(name + suffix) for name in "ρκτe")
        cell = index(u) + w.lo
        solved += [
            Solved(f"q{suffix}", cell - a["γ"] * phase, w.stride),
            Solved(f"v{suffix}", a["α"] * phase - first, a["σ"]),
            Solved(f"e{suffix}", cell - w.dilation * first, w.stride),
        ]
        cells.append(index(u))
        positions.append(e - a["δ"] * count)
        taps.append(first + a["σ"] * count)
        sizes += [(u, w.size), (f"ρ{suffix}", a["σ"]), (f"κ{suffix}", a["σ"]), (f"τ{suffix}", w.kernel)]
    outer = [
        (name, size) for name, size in correlation(roles).extents if name in ("n", "g", *roles.letters)
    ]
    return Contraction(
        target=Access(target, (n, c, *cells)),
        factors=(Access(roles.positions, (n, m, *positions)), roles.tap(taps), *solved),
        extents=(*outer, *sizes),
    )


def _phase_substitutions(roles: Roles[Polynomial]) -> tuple[Substitution, Substitution]:
    """Return the swapped sum's indices in those of the phases, and back.

    There, k = σ·τ + κ and δ·κ = σ·ε + ρ; back, Bézout's witnesses give ε = β·ρ - δ·v.
    """
    there: dict[str, Polynomial] = {}
    back: dict[str, Polynomial] = {}
    divisions = []
    rank = roles.rank
    for u, k, p, suffix, w, a in zip(
        CELLS[rank],
        TAPS[rank],
        POSITIONS[rank],
        letters.suffixes(rank),
        roles.windows,
        letters.axes(rank, GCD),
        strict=True,
    ):
        phase, first, count, shift, v, e = (index(name + suffix) for name in "ρκτεve")
        divisions += [
            Division(f"τ{suffix}", f"κ{suffix}", index(k), a["σ"]),
            Division(f"ε{suffix}", f"ρ{suffix}", a["δ"] * first, a["σ"]),
        ]
        there |= {
            u: index(p) * w.stride + index(k) * w.dilation - w.lo,
            f"q{suffix}": index(p) + a["δ"] * count + shift,
            f"v{suffix}": a["β"] * first - a["α"] * shift,
            f"e{suffix}": index(p) + a["δ"] * count,
        }
        back |= {
            k: first + a["σ"] * count,
            p: e - a["δ"] * count,
            f"ε{suffix}": a["β"] * phase - a["δ"] * v,
        }
    return Substitution(there, tuple(divisions)), Substitution(back)
