"""What the gradients of a convolution are, for every size: T1, T2 and its polyphase form T2′."""

from __future__ import annotations

from dataclasses import replace
from math import gcd

from symconv.derive.forms import (
    FilterCorrelation,
    FullConvolution,
    filter_correlation,
    full_convolution,
    full_convolution_substitutions,
    strided_correlation,
)
from symconv.layers.roles import Roles, correlation, with_bias
from symconv.notation.backpropagation import gradient
from symconv.notation.contraction import Access, Contraction, Program, Size, Solved, Tensor, index
from symconv.notation.graph import Graph
from symconv.notation.names import CELLS, POSITIONS, TAPS
from symconv.notation.polynomial import Polynomial
from symconv.notation.substitution import Division, Substitution
from symconv.prove import letters
from symconv.prove.certificate import Context, Equation, Pairing

SAME = Substitution()
GCD = ("γ", "σ", "δ", "α", "β")  # gcd(s, d), s/γ and d/γ, and α·δ - β·σ = 1


def forward(roles: Roles[Size], bias: bool = False) -> Graph:
    """Return the layer's own sum, into O."""
    output = Tensor("O", roles.output.shape)
    contraction = correlation(roles.reading(output))
    if bias:
        return Graph((with_bias(contraction, Tensor("b", output.shape[1:2])),))
    return Graph((Program((contraction,)),))


def natural_numbers(numbers: letters.Numbers) -> letters.Numbers:
    """Return the number of taps that fit beyond the filter's, and what remains."""
    return {"f": numbers["r"] // numbers["d"], "e": numbers["r"] % numbers["d"]}


def natural_size(rank: int) -> Context:
    """Return what is assumed for T1: f = ⌊r/d⌋ and its remainder e, besides the windows."""
    return letters.context(
        rank,
        natural_numbers,
        least=lambda a: (a["f"], a["e"], a["d"] - 1 - a["e"]),
        zeros=lambda a: (a["r"] - a["d"] * a["f"] - a["e"],),
    )


def weight_form(roles: Roles[Polynomial]) -> Graph:
    """Return ∂E/∂F as a correlation of natural size K + f, cropped to K."""
    along = zip(roles.windows, letters.axes(roles.rank, ("f",)), strict=True)
    forms = [FilterCorrelation(w.dilation, w.stride, w.lo, w.kernel + a["f"]) for w, a in along]
    return Graph((filter_correlation(roles, forms),))


def input_form(roles: Roles[Polynomial]) -> Graph:
    """Return ∂E/∂X as a full convolution; of a transposed convolution, as a correlation."""
    if roles.transposed:
        return Graph((strided_correlation(roles),))
    return stuffed_form(roles)


def stuffed_form(roles: Roles[Polynomial]) -> Graph:
    """Return the full convolution of the stuffed positions with the rotated filter, into the cells."""
    along = zip(roles.windows, letters.axes(roles.rank), strict=True)
    forms = [
        FullConvolution(w.stride, w.dilation, w.reach - w.lo, w.reach - w.hi + a["r"]) for w, a in along
    ]
    return full_convolution(roles, forms)


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


def input_gradient(rank: int, flip: bool = False, transposed: bool = False) -> Equation:
    """T2: the swapped sum is the full convolution of the stuffed cotangent with the rotated filter."""
    roles = letters.roles(rank, flip, transposed)
    return Equation(
        "T2",
        "∂E/∂X is the correlation of the cotangent with F: stride s, dilation d, the same padding"
        if transposed
        else "∂E/∂X is the full convolution: the cotangent stuffed to s(P - 1) + 1 cells, padded by "
        "(d(K - 1) - lo, d(K - 1) - hi + r), with the filter rotated by 180°, dilation d, stride 1",
        letters.context(rank),
        gradient(forward(roles), roles.x, roles.output),
        input_form(roles),
        (Pairing(0, 0, *substitutions(roles)),),
    )


def transposition(rank: int, flip: bool = False) -> Equation:
    """T4′: a transposed convolution is ∂E/∂Y of the convolution of its cells, called Y: a full one.

    Any r will do: of an r of at least s, it is the convolution that is restricted to P positions.
    """
    roles = letters.roles(rank, flip, transposed=True)
    cells = replace(roles, cells=replace(roles.cells, name="Y"))
    return Equation(
        "T4′",
        "the transposed convolution is the full convolution of X, stuffed: by T2, ∂E/∂Y of the "
        "convolution of Y with equal arguments (of its first P outputs, if r ≥ s)",
        letters.context(rank),
        forward(roles),
        stuffed_form(cells),
        (Pairing(0, 0, *full_convolution_substitutions(roles)),),
    )


def substitutions(roles: Roles[Polynomial]) -> tuple[Substitution, Substitution]:
    """Return how the swapped sum's terms are those of ∂E/∂X's form."""
    return (SAME, SAME) if roles.transposed else full_convolution_substitutions(roles)


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
