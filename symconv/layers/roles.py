"""The parts that three tensors play in a convolution and in both its gradients.

Along each spatial axis ``cell = s·p + d·k - lo``: windows read cells, filters have taps, and there is a
position for each window. Sizes are numbers for a layer, letters for a statement about every layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic

from symconv.layers.window import S, Window
from symconv.notation.contraction import Access, Contraction, Program, Size, Tensor, index
from symconv.notation.names import POSITIONS, TAPS
from symconv.notation.polynomial import Polynomial


@dataclass(frozen=True)
class Roles(Generic[S]):
    """The three tensors of a convolution, by role.

    Parameters
    ----------
    cells, taps, positions
        The tensor that windows read, the filter, and the tensor with an element for each window. The
        output is ``positions``, or ``cells`` in a transposed convolution.
    windows
        The sizes along each spatial axis.
    groups, filters, channels
        The number of groups, and how many channels ``positions`` and ``cells`` have in each group.
    flip
        Whether the filter is stored in reverse order, with its last element first.
    transposed
        Whether ``cells`` is the output.
    interleaved
        Whether a group reads every groups-th channel of ``cells``. This is a mistake, refuted as a
        pitfall: a group is a block of neighbouring channels.
    """

    cells: Tensor
    taps: Tensor
    positions: Tensor
    windows: tuple[Window[S], ...]
    groups: S
    filters: S
    channels: S
    flip: bool = False
    transposed: bool = False
    interleaved: bool = False

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.windows)

    @property
    def x(self) -> Tensor:
        """The input: ``cells``, or ``positions`` in a transposed convolution."""
        return self.positions if self.transposed else self.cells

    @property
    def output(self) -> Tensor:
        """The output, or the upstream gradient in its place."""
        return self.cells if self.transposed else self.positions

    @property
    def letters(self) -> tuple[str, str]:
        """The channel indices of ``positions`` and ``cells``: the input has ``c``, the output ``o``."""
        return ("c", "o") if self.transposed else ("o", "c")

    def reading(self, cotangent: Tensor) -> Roles[S]:
        """Return the roles with the upstream gradient in place of the output."""
        if self.transposed:
            return replace(self, cells=cotangent)
        return replace(self, positions=cotangent)

    def channel_subscripts(self) -> tuple[Polynomial, Polynomial, Polynomial]:
        """Return the subscripts of the sample, the channel of positions and the channel of cells."""
        n, m, c = map(index, ("n", *self.letters))
        if self.groups == 1:
            return n, m, c
        m = index("g") * self.filters + m
        if self.interleaved:
            return n, m, c * self.groups + index("g")
        return n, m, index("g") * self.channels + c

    def stored(self, taps: Sequence[Polynomial]) -> tuple[Polynomial, ...]:
        """Return the subscripts of stored filter elements; a flipped layer stores them in reverse."""
        if not self.flip:
            return tuple(taps)
        return tuple(-k + (w.kernel - 1) for k, w in zip(taps, self.windows, strict=True))

    def tap(self, taps: Sequence[Polynomial]) -> Access:
        """Return the access that reads or writes the filter at some elements."""
        m = index(self.letters[0])
        if self.groups != 1:
            m = index("g") * self.filters + m
        return Access(self.taps, (m, index(self.letters[1]), *self.stored(taps)))

    def extents(
        self,
        outer: Sequence[str],
        outer_sizes: Sequence[Size],
        inner: Sequence[str],
        sizes: Sequence[Size],
    ) -> tuple[tuple[str, Size], ...]:
        """Return every index's extent: sample, group and channels, then the result's and the sum's."""
        extents: dict[str, Size] = {"n": self.cells.shape[0]}
        if self.groups != 1:
            extents["g"] = self.groups
        extents |= dict(zip(self.letters, (self.filters, self.channels), strict=True))
        extents |= dict(zip(outer, outer_sizes, strict=True))
        return tuple((extents | dict(zip(inner, sizes, strict=True))).items())


def correlation(roles: Roles[Size]) -> Contraction:
    """Return the sum that computes positions from cells, or cells from positions if transposed."""
    n, m, c = roles.channel_subscripts()
    taps = [index(name) for name in TAPS[roles.rank]]
    positions = [index(name) for name in POSITIONS[roles.rank]]
    cells = [
        p * w.stride + k * w.dilation - w.lo
        for p, k, w in zip(positions, taps, roles.windows, strict=True)
    ]
    inside = Access(roles.cells, (n, c, *cells))
    at = Access(roles.positions, (n, m, *positions))
    return Contraction(
        target=inside if roles.transposed else at,
        factors=(at if roles.transposed else inside, roles.tap(taps)),
        extents=roles.extents(
            POSITIONS[roles.rank],
            [w.outputs for w in roles.windows],
            TAPS[roles.rank],
            [w.kernel for w in roles.windows],
        ),
    )


def with_bias(contraction: Contraction, bias: Tensor) -> Program:
    """Add ``b[o]`` to every element of an output channel."""
    output = contraction.target.tensor
    positions = POSITIONS[len(output.shape) - 2]
    n, o, *_ = contraction.target.subscripts
    sizes = dict(contraction.extents) | dict(zip(positions, output.shape[2:], strict=True))
    added = Contraction(
        target=Access(output, (n, o, *map(index, positions))),
        factors=(Access(bias, (o,)),),
        extents=tuple((name, sizes[name]) for name in ("n", "g", "o", *positions) if name in sizes),
    )
    return Program((contraction, added))
