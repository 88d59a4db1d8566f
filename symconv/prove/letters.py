"""Letters for the sizes of a layer, what is assumed of them, and numbers that satisfy it.

N images; in each of the groups, M channels of the positions and C of the cells. Along each spatial
axis H cells, K taps, P positions, stride s, dilation d, padding lo and hi (negative crops), and r, the
cells that the stride leaves over. With more than one axis, the axis stands behind a letter: s_y.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from symconv.layers.roles import Roles
from symconv.layers.window import Window
from symconv.notation.contraction import Tensor, index
from symconv.notation.names import POSITIONS
from symconv.notation.polynomial import Polynomial
from symconv.prove.certificate import Context

Numbers = dict[str, int]
Axis = dict[str, Polynomial]  # the letters along an axis, each by its name without the axis
Facts = Callable[[Axis], Sequence[Polynomial]]

CHANNELS: Numbers = {"N": 2, "groups": 3, "M": 2, "C": 1}
WINDOWS: tuple[Numbers, ...] = (  # windows after which the stride leaves cells over, or none
    {"H": 10, "K": 3, "P": 3, "s": 3, "d": 2, "lo": 2, "hi": -1, "r": 0},
    {"H": 11, "K": 2, "P": 3, "s": 4, "d": 1, "lo": -1, "hi": 3, "r": 3},
    {"H": 15, "K": 4, "P": 2, "s": 6, "d": 4, "lo": 3, "hi": 4, "r": 3},
)


def suffixes(rank: int) -> list[str]:
    """Return what stands behind a letter of each axis."""
    return [""] if rank == 1 else [f"_{axis}" for axis in POSITIONS[rank]]


def axes(rank: int, letters: Sequence[str] = tuple(WINDOWS[0])) -> list[Axis]:
    """Return the letters along each axis."""
    return [{letter: index(letter + suffix) for letter in letters} for suffix in suffixes(rank)]


def context(
    rank: int,
    further: Callable[[Numbers], Numbers] = lambda numbers: {},
    least: Facts = lambda axis: (),
    zeros: Facts = lambda axis: (),
    channels: Numbers = CHANNELS,
) -> Context:
    """Return what is assumed of windows along some axes.

    Parameters
    ----------
    rank
        Number of axes.
    further
        From the numbers of an example, those of the letters that an axis has besides.
    least, zeros
        What is at least 0, and what is 0, along an axis, besides a stride and a dilation of at least
        1 and r = H + lo + hi - d(K - 1) - 1 - s(P - 1).
    channels
        The letters for images and channels, with an example's numbers.
    """
    complete = [{**numbers, **further(numbers)} for numbers in WINDOWS]
    along = axes(rank, tuple(complete[0]))
    symbols = [letter + suffix for letter in complete[0] for suffix in suffixes(rank)]
    examples = [
        channels
        | {
            letter + suffix: number
            for at, suffix in enumerate(suffixes(rank))
            for letter, number in complete[(first + at) % len(complete)].items()
        }
        for first in range(len(complete))
    ]
    return Context(
        (*symbols, *channels),
        tuple(p for a in along for p in (a["s"] - 1, a["d"] - 1, *least(a))),
        tuple(p for a in along for p in (window(a).remainder - a["r"], *zeros(a))),
        tuple(examples),
    )


def with_further(
    numbers: Mapping[str, int], rank: int, further: Callable[[Numbers], Numbers]
) -> Numbers:
    """Add the numbers of further letters along each axis."""
    added = dict(numbers)
    for suffix in suffixes(rank):
        added |= {
            letter + suffix: number
            for letter, number in further({name: numbers[name + suffix] for name in WINDOWS[0]}).items()
        }
    return added


def window(axis: Axis) -> Window[Polynomial]:
    """Return the windows along an axis."""
    return Window(*(axis[letter] for letter in ("H", "K", "s", "d", "lo", "hi", "P")))


def roles(rank: int, flip: bool = False, transposed: bool = False) -> Roles[Polynomial]:
    """Return the roles of every convolution, or transposed one, of so many axes; G for the output."""
    n, groups, m, c = map(index, CHANNELS)
    along = axes(rank)
    cells = (n, groups * c, *(a["H"] for a in along))
    positions = (n, groups * m, *(a["P"] for a in along))
    return Roles(
        cells=Tensor("G" if transposed else "X", cells),
        taps=Tensor("F", (groups * m, c, *(a["K"] for a in along))),
        positions=Tensor("X" if transposed else "G", positions),
        windows=tuple(map(window, along)),
        groups=groups,
        filters=m,
        channels=c,
        flip=flip,
        transposed=transposed,
    )


def window_numbers(windows: Sequence[Window[int]]) -> dict[str, int]:
    """Return the number for each letter of windows, axis by axis."""
    numbers: dict[str, int] = {}
    for w, suffix in zip(windows, suffixes(len(windows)), strict=True):
        sizes = {"H": w.size, "K": w.kernel, "P": w.outputs, "s": w.stride, "d": w.dilation}
        sizes |= {"lo": w.lo, "hi": w.hi, "r": w.remainder}
        numbers |= {letter + suffix: number for letter, number in sizes.items()}
    return numbers
