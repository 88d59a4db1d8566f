"""T7: average pooling is a correlation with ones, divided; its gradient is its adjoint."""

from __future__ import annotations

from dataclasses import dataclass

from symconv.notation.contraction import Access, Contraction, Program, Size, Tensor, index
from symconv.notation.graph import Graph
from symconv.notation.names import POSITIONS, TAPS
from symconv.notation.polynomial import Polynomial
from symconv.notation.substitution import Substitution
from symconv.prove import letters
from symconv.prove.certificate import Equation, Pairing
from symconv.prove.swaps import adjointness

CHANNELS = {"N": 2, "C": 3}


@dataclass(frozen=True)
class Pool:
    """Windows over X, channel by channel: letters for sizes, names and subscripts of the indices."""

    x: Tensor
    output: Tensor
    kernel: tuple[Size, ...]
    positions: tuple[str, ...]
    taps: tuple[str, ...]
    cells: tuple[Polynomial, ...]

    @property
    def extents(self) -> tuple[tuple[str, Size], ...]:
        """Image, channel, positions and taps."""
        names = ("n", "c", *self.positions, *self.taps)
        sizes = (*self.output.shape, *self.kernel)
        return tuple(zip(names, sizes, strict=True))

    def read(self) -> Access:
        """Read X at a window's tap."""
        return Access(self.x, (index("n"), index("c"), *self.cells))

    def at(self, tensor: Tensor, *names: str) -> Access:
        """Read or write a tensor at indices."""
        return Access(tensor, tuple(map(index, names)))


def pool_of(rank: int) -> Pool:
    """Return the windows of a pool of any size along so many axes."""
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


def _divisors(pool: Pool) -> tuple[Access, ...]:
    """Read 1/D along each axis."""
    sizes = zip(pool.positions, pool.output.shape[2:], strict=True)
    return tuple(Tensor(f"R{name}", (size,))[index(name)] for name, size in sizes)


def average(rank: int) -> Equation:
    """T7: an average is the depthwise correlation with ones, times R = 1/D along each axis."""
    pool = pool_of(rank)
    left, right = averages(pool)
    place = ("n", "c", *pool.positions)
    there = {f"{name}'": index(name) for name in (*place, *pool.taps)}
    there |= {f"{name}''": index(name) for name in ("c", *pool.taps)}
    return Equation(
        "T7",
        "average pooling is the depthwise correlation with a filter of ones, each position divided by "
        "its divisor, one along each axis (whatever padding counts)",
        letters.context(rank, channels=CHANNELS),
        left,
        right,
        (Pairing(0, 0, Substitution(there), Substitution({k: index(f"{k}'") for k in pool.taps})),),
    )


def averages(pool: Pool) -> tuple[Graph, Graph]:
    """Return the average, and the depthwise correlation with ones, then divided."""
    ones = Tensor("ones", (*pool.x.shape[1:2], *pool.kernel))
    sums = Tensor("S", pool.output.shape)
    place = ("n", "c", *pool.positions)
    tap = ("c", *pool.taps)
    left = Contraction(
        target=pool.at(pool.output, *place),
        factors=(pool.read(), *_divisors(pool)),
        extents=pool.extents,
    )
    fill = Contraction(pool.at(ones, *tap), (), tuple(zip(tap, ones.shape, strict=True)))
    correlate = Contraction(pool.at(sums, *place), (pool.read(), pool.at(ones, *tap)), pool.extents)
    scale = Contraction(
        target=pool.at(pool.output, *place),
        factors=(pool.at(sums, *place), *_divisors(pool)),
        extents=tuple(zip(place, pool.output.shape, strict=True)),
    )
    return (
        Graph((Program((left,)),)),
        Graph((Program((fill,)), Program((correlate,)), Program((scale,)))),
    )


def averaged(rank: int) -> Equation:
    """T7: the gradient of an average is its adjoint: each element gets its share of each window."""
    pool = pool_of(rank)
    return adjointness(
        "T7",
        "the gradient of average pooling is its adjoint: ⟨O, G⟩ = ⟨X, ∂E/∂X⟩",
        averages(pool)[0].programs[0],
        pool.x,
        letters.context(rank, channels=CHANNELS),
    )
