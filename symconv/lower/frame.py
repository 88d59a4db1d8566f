"""What the kernels of all correlations share: their three tensors, their indices, and padding.

A kernel addresses ``cells[n, g, c, cell]``, ``taps[g, o, c, tap]`` and ``positions[n, g, o, position]``;
a call gives it views of a module's arrays in this form: groups split off, the filter rotated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from symconv.kernel.copies import used_buffers
from symconv.kernel.language import Blocks, Buffer, Call, Do, Kernel, Loop, Statement, View
from symconv.kernel.units import without_unit_axes
from symconv.notation.contraction import Access, Contraction, Size, Tensor, index
from symconv.notation.correlation import Correlation
from symconv.notation.names import POSITIONS, TAPS
from symconv.notation.polynomial import Polynomial

N, B, G, M, C = map(index, "nbgoc")  # block, sample in it, group, filter, channel
WORDS = {  # what a kernel calls its cells, taps and positions
    "positions": ("source", "kernel", "target"),
    "taps": ("source", "gradient", "upstream"),
    "cells": ("target", "kernel", "upstream"),
}


@dataclass(frozen=True)
class Frame:
    """The tensors and the indices of a correlation.

    Parameters
    ----------
    correlation
        The correlation.
    images
        How many samples are computed together.
    """

    correlation: Correlation
    images: int

    @cached_property
    def cells(self) -> Tensor:
        """``[n, g, c, cell]``."""
        c = self.correlation
        return Tensor(self._names[0], (c.batch, c.groups, c.channels, *(a.cells for a in c.axes)))

    @cached_property
    def taps(self) -> Tensor:
        """``[g, o, c, tap]``."""
        c = self.correlation
        return Tensor(self._names[1], (c.groups, c.filters, c.channels, *(a.taps for a in c.axes)))

    @cached_property
    def positions(self) -> Tensor:
        """``[n, g, o, position]``."""
        c = self.correlation
        return Tensor(self._names[2], (c.batch, c.groups, c.filters, *(a.positions for a in c.axes)))

    @property
    def _names(self) -> tuple[str, str, str]:
        return WORDS[self.correlation.result]

    @property
    def tap_names(self) -> tuple[str, ...]:
        """The indices of the taps."""
        return TAPS[len(self.correlation.axes)]

    @property
    def position_names(self) -> tuple[str, ...]:
        """The indices of the positions."""
        return POSITIONS[len(self.correlation.axes)]

    @property
    def tap_at(self) -> tuple[Polynomial, ...]:
        """The taps' subscripts."""
        return tuple(map(index, self.tap_names))

    @property
    def position_at(self) -> tuple[Polynomial, ...]:
        """The positions' subscripts."""
        return tuple(map(index, self.position_names))

    @property
    def cell_at(self) -> tuple[Polynomial, ...]:
        """Which cell belongs to a position and a tap, along each axis."""
        return tuple(
            p * a.stride + k * a.dilation + a.offset
            for p, k, a in zip(self.position_at, self.tap_at, self.correlation.axes, strict=True)
        )

    def extents(self, names: str = "", **others: Size) -> tuple[tuple[str, Size], ...]:
        """Return extents of some of the indices n, b, g, o, c, of taps (k) and of positions (p)."""
        c = self.correlation
        plain: Mapping[str, Size] = {
            "n": c.batch,
            "b": index("images"),
            "g": c.groups,
            "o": c.filters,
            "c": c.channels,
        }
        found: list[tuple[str, Size]] = []
        for name in names:
            if name == "k":
                found += zip(self.tap_names, (a.taps for a in c.axes), strict=True)
            elif name == "p":
                found += zip(self.position_names, (a.positions for a in c.axes), strict=True)
            else:
                found.append((name, plain[name]))
        return (*found, *others.items())

    def in_blocks(self, *body: Statement) -> tuple[Statement, ...]:
        """Return statements that are done for blocks of samples."""
        return (Loop(("n", "images"), Blocks(self.correlation.batch, self.images), body),)

    def padded(self) -> tuple[Tensor, tuple[Polynomial, ...], tuple[Statement, ...]]:
        """Return what windows are read from: the cells, or their padded copy.

        The cell at which it begins comes with it, along each axis; and the statements that fill it.
        """
        axes = self.correlation.axes
        if all(axis.inside for axis in axes):
            return self.cells, tuple(Polynomial.lift(0) for _ in axes), ()
        c = self.correlation
        tensor = Tensor("padded", (self.images, c.groups, c.channels, *(a.span for a in axes)))
        cuts = [overlap(a.offset, a.offset + a.span, a.cells) for a in axes]
        names = self.position_names
        put = [index(n) + low - a.offset for n, a, (low, _) in zip(names, axes, cuts, strict=True)]
        read = [index(n) + low for n, (low, _) in zip(names, cuts, strict=True)]
        sizes = {n: count for n, (_, count) in zip(names, cuts, strict=True)}
        copy = Contraction(
            tensor[(B, G, C, *put)],
            (self.cells[(N + B, G, C, *read)],),
            self.extents("bgc", **sizes),
        )
        start = tuple(Polynomial.lift(axis.offset) for axis in axes)
        return tensor, start, (Do(copy),)

    def sample(
        self, role: str, reach: Sequence[int]
    ) -> tuple[Access, tuple[Statement, ...], list[Buffer]]:
        """Return sample n of the cells or the positions, as far as it is read.

        It is the array itself, or a copy with zeros around it: then statements fill a buffer.
        """
        c, names = self.correlation, self.position_names
        at = tuple(map(index, names))
        cells = role == "cells"
        tensor, channel = (self.cells, C) if cells else (self.positions, M)
        starts = [a.offset if cells else 0 for a in c.axes]
        sizes = [a.cells if cells else a.positions for a in c.axes]
        if all(s == 0 and n == size for s, n, size in zip(starts, reach, sizes, strict=True)):
            return tensor[(N, G, channel, *at)], (), []
        count = c.channels if cells else c.filters
        place = Tensor("padded" if cells else "filled", (c.groups, count, *reach))
        cuts = [overlap(s, s + n, size) for s, n, size in zip(starts, reach, sizes, strict=True)]
        put = [index(x) + low - s for x, s, (low, _) in zip(names, starts, cuts, strict=True)]
        read = [index(x) + low for x, (low, _) in zip(names, cuts, strict=True)]
        extents = self.extents(
            "gc" if cells else "go", **{x: n for x, (_, n) in zip(names, cuts, strict=True)}
        )
        copy = Contraction(place[(G, channel, *put)], (tensor[(N, G, channel, *read)],), extents)
        return place[(G, channel, *at)], (Do(copy),), [Buffer(place, "zeroed")]

    def read(self, source: Tensor, *subscripts: Polynomial) -> Access:
        """Read channels of a sample of a block: of the cells themselves, or of their padded copy."""
        sample = N + B if source is self.cells else B
        return source[(sample, G, C, *subscripts)]

    def call(
        self, name: str, body: tuple[Statement, ...], *others: Buffer, padded: Tensor | None = None
    ) -> Call:
        """Return the call of a kernel with this body on the module's arrays."""
        result = self.correlation.result
        tensors = {"cells": self.cells, "taps": self.taps, "positions": self.positions}
        inputs = [tensor for role, tensor in tensors.items() if role != result]
        zeroed = [Buffer(padded, "zeroed")] if padded and padded is not self.cells else []
        kernel = Kernel(
            name,
            (
                *(Buffer(tensor, "input") for tensor in inputs),
                Buffer(tensors[result], "output"),
                *zeroed,
                *others,
            ),
            body,
        )
        views = views_of(self.correlation)
        given = [views[role] for role in tensors if role != result]
        call = without_unit_axes(Call(kernel, (*given, views[result])))
        return Call(used_buffers(call.kernel), call.views)


def overlap(start: int, stop: int, size: int) -> tuple[int, int]:
    """Return the first element from start to before stop that an axis has, and how many there are."""
    low = min(max(start, 0), size)
    return low, max(min(stop, size), low) - low


def scratch(name: str, *sizes: Size) -> Buffer:
    """Return a scratch buffer."""
    return Buffer(Tensor(name, sizes), "scratch")


def views_of(c: Correlation) -> dict[str, View]:
    """Return how the module's arrays are seen as cells, taps and positions."""
    axes = c.axes
    rank = len(axes)
    group, batch = ("g", c.groups), ("n", c.batch)
    cells = Tensor(c.cells, (c.batch, c.groups * c.channels, *(a.cells for a in axes)))
    positions = Tensor(c.positions, (c.batch, c.groups * c.filters, *(a.positions for a in axes)))
    lead = (
        (c.groups * c.channels, c.filters) if c.taps_transposed else (c.groups * c.filters, c.channels)
    )
    taps = Tensor(c.taps, (*lead, *(a.taps for a in axes)))
    along, at = TAPS[rank], POSITIONS[rank]
    rotated = [index(k) * a.tap_step + a.tap_start for k, a in zip(along, axes, strict=True)]
    stored = (G * c.channels + C, M) if c.taps_transposed else (G * c.filters + M, C)
    return {
        "cells": View(
            cells[(N, G * c.channels + C, *map(index, at))],
            (batch, group, ("c", c.channels), *zip(at, (a.cells for a in axes), strict=True)),
        ),
        "taps": View(
            taps[(*stored, *rotated)],
            (
                group,
                ("o", c.filters),
                ("c", c.channels),
                *zip(along, (a.taps for a in axes), strict=True),
            ),
        ),
        "positions": View(
            positions[(N, G * c.filters + M, *map(index, at))],
            (batch, group, ("o", c.filters), *zip(at, (a.positions for a in axes), strict=True)),
        ),
    }
