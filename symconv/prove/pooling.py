"""Pooling for every size, T7: an average is a correlation; a maximum, given its selection, is linear."""

from __future__ import annotations

from dataclasses import dataclass

from symconv.notation.backpropagation import gradient, gradient_of
from symconv.notation.contraction import Access, Contraction, Program, Tensor, index
from symconv.notation.graph import Graph
from symconv.notation.names import CELLS, POSITIONS, TAPS
from symconv.notation.polynomial import Polynomial
from symconv.notation.substitution import Substitution
from symconv.prove import letters
from symconv.prove.adjoints import inner
from symconv.prove.certificate import Equation, Pairing

CHANNELS = {"N": 2, "C": 3}


@dataclass(frozen=True)
class Pool:
    """Windows over X, channel by channel: letters for sizes, names and subscripts of the indices."""

    x: Tensor
    output: Tensor
    kernel: tuple[Polynomial, ...]
    positions: tuple[str, ...]
    taps: tuple[str, ...]
    cells: tuple[Polynomial, ...]

    @property
    def extents(self) -> tuple[tuple[str, Polynomial], ...]:
        """Image, channel, positions and taps."""
        names = ("n", "c", *self.positions, *self.taps)
        sizes = (*map(Polynomial.lift, self.output.shape), *self.kernel)
        return tuple(zip(names, sizes, strict=True))

    def read(self) -> Access:
        """Read X at a window's tap."""
        return Access(self.x, (index("n"), index("c"), *self.cells))

    def at(self, tensor: Tensor, *names: str) -> Access:
        """Read or write a tensor at indices."""
        return Access(tensor, tuple(map(index, names)))


def _pool(rank: int) -> Pool:
    along = letters.axes(rank)
    windows = [letters.window(a) for a in along]
    names = zip(POSITIONS[rank], TAPS[rank], windows, strict=True)
    return Pool(
        x=Tensor("X", (index("N"), index("C"), *(a["H"] for a in along))),
        output=Tensor("O", (index("N"), index("C"), *(a["P"] for a in along))),
        kernel=tuple(a["K"] for a in along),
        positions=POSITIONS[rank],
        taps=TAPS[rank],
        cells=tuple(index(p) * w.stride + index(k) * w.dilation - w.lo for p, k, w in names),
    )


def average(rank: int) -> Equation:
    """T7: an average is the depthwise correlation with ones, times R = 1/D for each position."""
    pool = _pool(rank)
    divided = Tensor("R", pool.output.shape[2:])
    ones = Tensor("ones", (*pool.x.shape[1:2], *pool.kernel))
    sums = Tensor("S", pool.output.shape)
    place = ("n", "c", *pool.positions)
    tap = ("c", *pool.taps)
    left = Contraction(
        target=pool.at(pool.output, *place),
        factors=(pool.read(), pool.at(divided, *pool.positions)),
        extents=pool.extents,
    )
    fill = Contraction(pool.at(ones, *tap), (), tuple(zip(tap, ones.shape, strict=True)))
    correlate = Contraction(pool.at(sums, *place), (pool.read(), pool.at(ones, *tap)), pool.extents)
    scale = Contraction(
        target=pool.at(pool.output, *place),
        factors=(pool.at(sums, *place), pool.at(divided, *pool.positions)),
        extents=tuple(zip(place, pool.output.shape, strict=True)),
    )
    there = {f"{name}'": index(name) for name in (*place, *pool.taps)}
    there |= {f"{name}''": index(name) for name in tap}
    return Equation(
        "T7",
        "average pooling is the depthwise correlation with a filter of ones, each position divided by "
        "its divisor D (whatever padding counts)",
        letters.context(rank, channels=CHANNELS),
        Graph((Program((left,)),)),
        Graph((Program((fill,)), Program((correlate,)), Program((scale,)))),
        (Pairing(0, 0, Substitution(there), Substitution({k: index(f"{k}'") for k in pool.taps})),),
    )


def selected(rank: int) -> Equation:
    """T7′: with S = 1 where a window selects its tap, max pooling is linear in X, and S its adjoint."""
    pool = _pool(rank)
    selection = Tensor("S", (*pool.output.shape, *pool.kernel))
    place = ("n", "c", *pool.positions)
    select = Contraction(
        target=pool.at(pool.output, *place),
        factors=(pool.read(), pool.at(selection, *place, *pool.taps)),
        extents=pool.extents,
    )
    forward = Graph((Program((select,)),))
    cotangent = Tensor("G", pool.output.shape)
    names = ("n", "c", *CELLS[rank])
    primed = {name: index(f"{name}'") for name in (*place, *pool.taps)}
    cells = dict(zip(names[2:], (cell.substitute(primed) for cell in pool.cells), strict=True))
    return Equation(
        "T7′",
        "max pooling is linear once each window has selected its tap, and its gradient is the "
        "selection's adjoint: ⟨O, G⟩ = ⟨X, ∂E/∂X⟩",
        letters.context(rank, channels=CHANNELS),
        inner(forward, (pool.output, cotangent, place)),
        inner(gradient(forward, pool.x, cotangent), (pool.x, gradient_of(pool.x), names)),
        (Pairing(0, 0, Substitution(cells), Substitution({p: primed[p] for p in pool.positions})),),
    )
