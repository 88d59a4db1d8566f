"""The algorithms that compute a canonical correlation, as data that a template is filled from.

``positions`` from cells and taps is a sweep like the forward one; ``taps`` from cells and positions is
one like ∂E/∂F; ``cells`` from taps and positions is ∂E/∂X before its write is solved.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

from symconv.layers.padding import Piece
from symconv.notation.correlation import Axis, Correlation
from symconv.notation.winograd import MinimalFiltering

if TYPE_CHECKING:
    import sympy


@dataclass(frozen=True)
class Table:
    """Every window at once through a constant table of flat cells, then one product.

    ``cells`` lists, for each channel and tap (rows) and position (columns), the flat cell of an image,
    or the number of its cells where the window reads outside: a zero stands there.
    """

    correlation: Correlation
    cells: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Pointwise:
    """One tap, stride 1: a plain product without any copy."""

    correlation: Correlation
    images: int


@dataclass(frozen=True)
class Columns:
    """Copy each tap's window side by side (im2col), ``images`` at a time, then one product."""

    correlation: Correlation
    images: int


@dataclass(frozen=True)
class Rows:
    """Copy one shift for each tap of the inner axes, then one product for each tap of the first axis.

    In blocks of images, and of ``rows`` positions of the first axis where an image is large.
    """

    correlation: Correlation
    images: int
    rows: int


@dataclass(frozen=True)
class Shift:
    """One axis, one channel in and out: multiply and add the shifted signal for each tap.

    In blocks of images, and of ``rows`` positions where a signal is long.
    """

    correlation: Correlation
    images: int
    rows: int


@dataclass(frozen=True)
class Phases:
    """A strided write solved: one plain correlation per phase of the cells.

    ``correlation`` is the one whose cells are sought; ``axes`` holds the phases along each axis, whose
    positions are these cells; ``covered`` says whether they are all of them.
    """

    correlation: Correlation
    axes: tuple[tuple[Axis, ...], ...]
    covered: bool
    images: int


@dataclass(frozen=True)
class Scatter:
    """One product for every tap's share, then a strided addition for each tap (col2im)."""

    correlation: Correlation
    images: int


@dataclass(frozen=True)
class Winograd:
    """Fewer products, along each axis those of F(m, r), in tiles of m positions; image by image."""

    correlation: Correlation
    filtering: tuple[MinimalFiltering, ...]

    @property
    def tiles(self) -> tuple[int, ...]:
        """The number of tiles along each axis; the last one may reach beyond the positions."""
        axes = zip(self.correlation.axes, self.filtering, strict=True)
        return tuple(-(-axis.positions // f.outputs) for axis, f in axes)

    @property
    def filled(self) -> tuple[int, ...]:
        """The number of positions that the tiles have, those beyond the last one, too."""
        return tuple(n * f.outputs for n, f in zip(self.tiles, self.filtering, strict=True))

    @property
    def reach(self) -> tuple[int, ...]:
        """The number of cells that the tiles read, from the first one on."""
        return tuple(n + f.taps - 1 for n, f in zip(self.filled, self.filtering, strict=True))


@dataclass(frozen=True)
class Fourier:
    """Products of transforms, image by image: of blocks of ``lengths`` cells, and of the taps.

    Blocks overlap; each gives the positions whose windows lie inside it (overlap-save).
    """

    correlation: Correlation
    lengths: tuple[int, ...]

    @property
    def steps(self) -> tuple[int, ...]:
        """How many positions a block gives along each axis."""
        axes = zip(self.correlation.axes, self.lengths, strict=True)
        return tuple(length - axis.taps + 1 for axis, length in axes)

    @property
    def blocks(self) -> tuple[int, ...]:
        """The number of blocks along each axis; the last one may reach beyond the positions."""
        axes = zip(self.correlation.axes, self.steps, strict=True)
        return tuple(-(-axis.positions // step) for axis, step in axes)

    @property
    def filled(self) -> tuple[int, ...]:
        """The number of positions that the blocks give, those beyond the last one, too."""
        return tuple(n * step for n, step in zip(self.blocks, self.steps, strict=True))

    @property
    def reach(self) -> tuple[int, ...]:
        """The number of cells that the blocks read, from the first one on."""
        taps = (axis.taps for axis in self.correlation.axes)
        return tuple(n + count - 1 for n, count in zip(self.filled, taps, strict=True))


Algorithm: TypeAlias = Table | Pointwise | Columns | Rows | Shift | Phases | Scatter | Winograd | Fourier


@dataclass(frozen=True)
class Epilogue:
    """What is done with each block of a result while it is in the cache.

    Parameters
    ----------
    bias
        The array that is added, a number for each channel; empty for none.
    function
        The expression in x that is applied then; None for none.
    """

    bias: str = ""
    function: sympy.Expr | None = None


@dataclass(frozen=True)
class Fused:
    """An algorithm that ends each block of its result with an epilogue."""

    algorithm: Algorithm
    epilogue: Epilogue


@dataclass(frozen=True)
class Extend:
    """Fill a padded copy of ``source``: its interior, then what a padding mode puts around it."""

    source: str
    target: str
    shape: tuple[int, ...]
    axes: tuple[tuple[Piece[int], ...], ...]


@dataclass(frozen=True)
class FoldBack:
    """The adjoint of :class:`Extend`: add what stands around the interior to where it came from."""

    source: str
    target: str
    shape: tuple[int, ...]
    axes: tuple[tuple[Piece[int], ...], ...]


@dataclass(frozen=True)
class Given:
    """An argument of the layer as an array; ``place`` is where the layer is in LAYER, in a network's."""

    name: str
    place: tuple[str | int, ...] = ()


@dataclass(frozen=True)
class Intermediate:
    """Scratch for a result that a later stage reads."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Cut:
    """The elements of an axis that an index addresses: ``count`` of ``size``, from ``start`` on."""

    index: str
    start: int
    step: int
    count: int
    size: int

    @property
    def whole(self) -> bool:
        """Whether these are all of the axis, in order."""
        return (self.start, self.step, self.count) == (0, 1, self.size)


@dataclass(frozen=True)
class Move:
    """Assign a part of ``source`` to a part of ``target``, or add it.

    An index that only the source has is summed over, one that only the target has is broadcast.
    """

    source: str
    target: str
    taken: tuple[Cut, ...]
    put: tuple[Cut, ...]
    coefficient: Fraction
    adds: bool


@dataclass(frozen=True)
class View:
    """The same elements in another shape."""

    source: str
    target: str
    shape: tuple[int, ...]
    adds: bool


@dataclass(frozen=True)
class Zero:
    """Set every element to 0."""

    target: str


@dataclass(frozen=True)
class Product:
    """A product of two matrices, whose transposes may be stored: ``first · second``."""

    first: Matrix
    second: Matrix
    target: Matrix


@dataclass(frozen=True)
class Matrix:
    """An array as a matrix: its shape, and whether its columns come first.

    ``plain``: it has these two axes; else several axes are one of the matrix's, or none is.
    """

    name: str
    plain: bool
    rows: int
    columns: int
    transposed: bool


@dataclass(frozen=True)
class Divisors:
    """What a window's sum is divided by: a number, and along some axes one for each position."""

    number: int
    along: tuple[tuple[int, tuple[int, ...]], ...]


@dataclass(frozen=True)
class WindowSum:
    """Add up the cells of each window, tap by tap, then divide."""

    source: str
    target: str
    axes: tuple[Axis, ...]
    divisors: Divisors


@dataclass(frozen=True)
class WindowSpread:
    """Add each position's share to the cells of its window, tap by tap."""

    source: str
    target: str
    axes: tuple[Axis, ...]
    divisors: Divisors


@dataclass(frozen=True)
class WindowMaximum:
    """The greatest of each window's cells, tap by tap; cells outside have no tap."""

    source: str
    target: str
    axes: tuple[Axis, ...]


@dataclass(frozen=True)
class WindowSelect:
    """Add each position's number to the first of its window's cells that is the greatest."""

    cells: str
    greatest: str
    source: str
    target: str
    axes: tuple[Axis, ...]


@dataclass(frozen=True)
class WindowPick:
    """For each position, ``source``'s number at the first of its window's cells that is greatest."""

    cells: str
    greatest: str
    source: str
    target: str
    axes: tuple[Axis, ...]


def is_whole(axes: tuple[Axis, ...]) -> bool:
    """Whether there is one window: all cells of the spatial axes, one for each tap."""
    return all(
        a.positions == 1 and a.inside and (a.taps, a.dilation if a.taps > 1 else 1) == (a.cells, 1)
        for a in axes[2:]
    )


@dataclass(frozen=True)
class Spread:
    """An array whose axes are some of a box's, along the others the same; without a name, counting."""

    array: str
    axes: tuple[int, ...]
    box: tuple[int, ...]

    @property
    def whole(self) -> bool:
        """Whether the axes are all of the box's."""
        return len(self.axes) == len(self.box)


@dataclass(frozen=True)
class Apply:
    """An expression at every place of a box; ``arrays`` are what its symbols' names stand for."""

    expression: sympy.Expr
    arrays: tuple[tuple[str, Spread], ...]
    target: str


@dataclass(frozen=True)
class Strided:
    """An array seen along indices: each moves so many steps along each of its axes.

    Parameters
    ----------
    array, sizes
        Its name and shape.
    pads
        The zeros before and after each axis that the indices reach.
    letters, shape
        The indices and their extents.
    first
        The cell, zeros counted, where all indices are 0.
    steps
        For each index, how far it moves along each axis.
    """

    array: str
    sizes: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    letters: str
    shape: tuple[int, ...]
    first: tuple[int, ...]
    steps: tuple[tuple[int, ...], ...]

    @property
    def padded(self) -> bool:
        """Whether a cell outside the array is addressed."""
        return any(pad != (0, 0) for pad in self.pads)

    @property
    def plain(self) -> bool:
        """Whether the indices are the array's own axes."""
        units = tuple(tuple(int(a == b) for b in range(len(self.sizes))) for a in range(len(self.sizes)))
        whole = (self.steps, self.shape, any(self.first)) == (units, self.sizes, False)
        return whole and not self.padded


@dataclass(frozen=True)
class Contract:
    """Any sum of products, or maximum of products.

    Where points that differ in the indices ``looped`` write to the same cell, they take turns.
    """

    sources: tuple[Strided, ...]
    target: Strided
    looped: str
    coefficient: Fraction
    reduce: str
    adds: bool


@dataclass(frozen=True)
class Choose:
    """1 where a term of a maximum is a cell's first greatest one, else 0."""

    maximum: Contract
    target: str


Windowed: TypeAlias = WindowSum | WindowSpread | WindowMaximum | WindowSelect | WindowPick
Stage: TypeAlias = (
    Algorithm
    | Fused
    | Given
    | Intermediate
    | Extend
    | FoldBack
    | Move
    | View
    | Zero
    | Product
    | Windowed
    | Apply
    | Contract
    | Choose
)


def unfused(stage: Stage) -> Stage:
    """Return a stage without what ends its blocks."""
    return stage.algorithm if isinstance(stage, Fused) else stage


@dataclass(frozen=True)
class Candidate:
    """An algorithm that applies, and its time in microseconds: estimated, or measured."""

    algorithm: Algorithm
    microseconds: float
    measured: bool = False
