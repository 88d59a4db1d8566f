"""Tiles: parts of a correlation's positions that are computed together, from cells that overlap."""

from __future__ import annotations

from dataclasses import dataclass

from symconv.notation.cook_toom import MinimalFiltering
from symconv.notation.correlation import Correlation


@dataclass(frozen=True)
class Tiled:
    """What algorithms have that compute a correlation tile by tile."""

    correlation: Correlation

    @property
    def steps(self) -> tuple[int, ...]:
        """How many positions a tile gives along each axis."""
        raise NotImplementedError

    @property
    def tiles(self) -> tuple[int, ...]:
        """The number of tiles along each axis; the last one may reach beyond the positions."""
        axes = zip(self.correlation.axes, self.steps, strict=True)
        return tuple(-(-axis.positions // step) for axis, step in axes)

    @property
    def filled(self) -> tuple[int, ...]:
        """The number of positions in the tiles, including those beyond the last one."""
        return tuple(n * step for n, step in zip(self.tiles, self.steps, strict=True))

    @property
    def reach(self) -> tuple[int, ...]:
        """The number of cells that the tiles read, from the first one on."""
        axes = zip(self.filled, self.correlation.axes, strict=True)
        return tuple(n + axis.taps - 1 for n, axis in axes)


@dataclass(frozen=True)
class Filtered(Tiled):
    """What algorithms have whose tiles need fewer products, along each axis those of F(m, r)."""

    filtering: tuple[MinimalFiltering, ...]

    @property
    def steps(self) -> tuple[int, ...]:
        """How many positions a tile gives along each axis."""
        return tuple(f.outputs for f in self.filtering)
