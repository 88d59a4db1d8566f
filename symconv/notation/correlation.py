"""The canonical correlation: what forward, ∂E/∂X and ∂E/∂F of a convolution have in common.

Three tensors are related along each spatial axis by ``cell = stride·position + dilation·tap + offset``::

    cells[n, g, c, cell]   taps[g, m, c, tap]   positions[n, g, m, position]

Each sweep of a convolution computes one of the three from the two others. Where the result is the
cells, the write is affine; its solution for the positions is the polyphase form, again a correlation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from symconv.errors import NotRecognisedError
from symconv.notation.contraction import Access, Contraction, Program, index
from symconv.notation.polynomial import Polynomial

Role: TypeAlias = Literal["cells", "taps", "positions"]


@dataclass(frozen=True)
class Axis:
    """One spatial axis: which cell, tap and position belong together.

    ``cell = stride·p + dilation·k + offset`` for p < positions and k < taps, where the tensors are
    addressed at ``tap_start + tap_step·k`` and ``position_start + position_step·p``. Cells outside
    ``0 … cells − 1`` do not exist.
    """

    cells: int
    taps: int
    positions: int
    stride: int
    dilation: int
    offset: int
    tap_start: int = 0
    tap_step: int = 1
    position_start: int = 0
    position_step: int = 1

    @property
    def span(self) -> int:
        """Number of consecutive cells from the first one read to the last."""
        return self.stride * (self.positions - 1) + self.dilation * (self.taps - 1) + 1

    @property
    def inside(self) -> bool:
        """Whether no cell is read outside the tensor."""
        return self.offset >= 0 and self.offset + self.span <= self.cells

    @property
    def meets(self) -> bool:
        """Whether every position has a tap on a cell that exists."""
        reached = (
            any(
                0 <= self.stride * p + self.dilation * k + self.offset < self.cells
                for k in range(self.taps)
            )
            for p in range(self.positions)
        )
        return all(reached)

    def triples(self) -> list[tuple[int, int, int]]:
        """Return every (cell, tap, position) that belongs together, sorted, by their addresses."""
        return sorted(
            (cell, self.tap_start + self.tap_step * k, self.position_start + self.position_step * p)
            for p in range(self.positions)
            for k in range(self.taps)
            if 0 <= (cell := self.stride * p + self.dilation * k + self.offset) < self.cells
        )


def phase_count(axis: Axis) -> int:
    """Return the number of residues mod s that taps reach: taps repeat them after s/gcd(s, d)."""
    return min(axis.taps, axis.stride // math.gcd(axis.stride, axis.dilation))


def polyphase(axis: Axis) -> tuple[Axis, ...]:
    """Solve ``cell = s·p + d·k + offset`` for p: one plain correlation per phase of the cells mod s.

    In each phase the positions are the cells ``first, first + s, …``, the cells the former positions,
    and the taps every (s/g)-th, last first (g = gcd(s, d)). Phases that no tap reaches are left out:
    the result is zero there. Division with remainder, so phases are disjoint and cover every cell.
    """
    s, d = axis.stride, axis.dilation
    g = math.gcd(s, d)
    phases = []
    reached = {(d * k + axis.offset) % s for k in range(phase_count(axis))}
    for residue in sorted(reached):
        if residue >= axis.cells:
            continue
        rest = (residue - axis.offset) % s
        first_tap = (rest // g) * pow(d // g, -1, s // g) % (s // g)
        taps = len(range(first_tap, axis.taps, s // g))
        last_tap = first_tap + (s // g) * (taps - 1)
        phases.append(
            Axis(
                cells=axis.positions,
                taps=taps,
                positions=len(range(residue, axis.cells, s)),
                stride=1,
                dilation=d // g,
                offset=(residue - axis.offset - d * last_tap) // s,
                tap_start=axis.tap_start + axis.tap_step * last_tap,
                tap_step=-axis.tap_step * (s // g) if taps > 1 else 1,
                position_start=residue,
                position_step=s,
            )
        )
    return tuple(phases)


@dataclass(frozen=True)
class Correlation:
    """A contraction of two tensors, recognised as the canonical correlation.

    Parameters
    ----------
    cells, taps, positions
        The names of the three tensors.
    result
        Which of the three is computed.
    batch, groups, channels, filters
        Extents: n of cells and positions, g of all three, c of cells and taps, m of taps and positions.
    taps_transposed
        Whether the taps are stored as ``[g, c, m, tap]`` instead of ``[g, m, c, tap]``.
    axes
        The spatial axes.
    solved
        Whether it is the solution of an affine write, its positions the cells that were written.
    """

    cells: str
    taps: str
    positions: str
    result: Role
    batch: int
    groups: int
    channels: int
    filters: int
    taps_transposed: bool
    axes: tuple[Axis, ...]
    solved: bool = False


def recognise(contraction: Contraction) -> Correlation:
    """Read a contraction of two tensors as a canonical correlation, by the roles of its indices.

    Raises
    ------
    NotRecognisedError
        If it is not one.
    """
    contraction = _ascending(contraction)
    cells, taps, positions = roles = _roles(contraction)
    extents = contraction.ranges
    batch = _only(cells.subscripts[0].variables)
    spatial = _spatial(cells, taps, positions)
    along = {name for s in spatial for name in s.variables}
    plain = [name for name in extents if name not in along]
    in_cells, in_taps, in_positions = map(_variables, roles)
    groups = [n for n in plain if n in in_cells and n in in_taps and n in in_positions]
    channels = [n for n in plain if n in in_cells and n in in_taps and n not in groups]
    filters = [n for n in plain if n in in_taps and n in in_positions and n not in groups]
    names: tuple[Role, ...] = ("cells", "taps", "positions")
    found = Correlation(
        cells=cells.tensor.name,
        taps=taps.tensor.name,
        positions=positions.tensor.name,
        result=names[roles.index(contraction.target)],
        batch=extents[batch],
        groups=math.prod(extents[n] for n in groups),
        channels=math.prod(extents[n] for n in channels),
        filters=math.prod(extents[n] for n in filters),
        taps_transposed=[n for n in in_taps if n in channels + filters] == channels + filters,
        axes=tuple(
            _axis(subscript, size, taps, positions, extents)
            for subscript, size in zip(cells.subscripts, cells.tensor.sizes, strict=True)
            if subscript in spatial
        ),
    )
    along_axes = [(_index_of(s, taps), _index_of(s, positions)) for s in spatial]
    own = [batch, *groups, *channels, *filters, *itertools.chain.from_iterable(along_axes)]
    if (
        len(own) != len(set(own))
        or set(own) != set(extents)
        or max(map(len, (groups, channels, filters))) > 1
    ):
        raise NotRecognisedError("an index plays no part, or several the same one")
    wanted = _written_out(found, roles, (batch, groups, channels, filters), along_axes)
    if contraction.coefficient != 1 or contraction.reduce != "sum" or wanted != roles:
        raise NotRecognisedError("it is written in another way")
    return found


def _ascending(contraction: Contraction) -> Contraction:
    """Count an index from its last value down where cells are read backwards: ``x - i``."""
    cells, *others = _roles(contraction)
    for subscript in _spatial(cells, *others):
        for name in subscript.variables:
            if subscript.coefficient(name) < 0:
                last = {name: -index(name) + (contraction.ranges[name] - 1)}
                contraction = replace(
                    contraction,
                    target=contraction.target.substitute(last),
                    factors=tuple(read.substitute(last) for read in contraction.reads),
                )
    return contraction


def _only(names: Sequence[str]) -> str:
    if len(names) != 1:
        raise NotRecognisedError("images have no index of their own")
    return names[0]


def _written_out(
    c: Correlation,
    roles: tuple[Access, Access, Access],
    plain: tuple[str, list[str], list[str], list[str]],
    along: Sequence[tuple[str, str]],
) -> tuple[Access, Access, Access]:
    """Return the accesses that a correlation has, in the names of its indices."""
    batch, groups, channels, filters = plain
    n = index(batch)
    g, channel, filter_ = (
        index(names[0]) if names else Polynomial({}) for names in (groups, channels, filters)
    )
    inner, outer = g * c.channels + channel, g * c.filters + filter_
    taps_at = [index(k) * a.tap_step + a.tap_start for (k, _), a in zip(along, c.axes, strict=True)]
    cells_at = [
        index(p) * a.stride + index(k) * a.dilation + a.offset
        for (k, p), a in zip(along, c.axes, strict=True)
    ]
    places = [
        index(p) * a.position_step + a.position_start for (_, p), a in zip(along, c.axes, strict=True)
    ]
    first = (inner, filter_) if c.taps_transposed else (outer, channel)
    stored = (
        (c.groups * c.channels, c.filters) if c.taps_transposed else (c.groups * c.filters, c.channels)
    )
    shapes = (
        (c.batch, c.groups * c.channels, *(a.cells for a in c.axes)),
        (*stored, *roles[1].tensor.sizes[2:]),
        (c.batch, c.groups * c.filters, *roles[2].tensor.sizes[2:]),
    )
    if tuple(access.tensor.sizes for access in roles) != shapes:
        raise NotRecognisedError("a tensor has other channels than it is read at")
    cells, taps, positions = (access.tensor for access in roles)
    return (
        Access(cells, (n, inner, *cells_at)),
        Access(taps, (*first, *taps_at)),
        Access(positions, (n, outer, *places)),
    )


def gather(contraction: Contraction, names: Sequence[str]) -> Program:
    """Solve the affine write of a correlation's cells: the polyphase form, one contraction per phase.

    Parameters
    ----------
    contraction
        A correlation whose target is its cells.
    names
        What to call the new positions' index, for each axis.
    """
    contraction = _ascending(contraction)
    cells, taps, former = _roles(contraction)
    spatial = _spatial(cells, taps, former)
    gone = {name for s in spatial for name in s.variables}
    plain = [(name, size) for name, size in contraction.extents if name not in gone]

    contractions = []
    for phase in itertools.product(*map(polyphase, recognise(contraction).axes)):
        targets, sources, kernels, extents = {}, {}, {}, []
        for axis, name, subscript in zip(phase, names, spatial, strict=True):
            k, p = _index_of(subscript, taps), _index_of(subscript, former)
            targets[subscript] = index(name) * axis.position_step + axis.position_start
            sources[p] = index(name) + index(k) * axis.dilation + axis.offset
            kernels[k] = index(k) * axis.tap_step + axis.tap_start
            extents += [(name, axis.positions), (k, axis.taps)]
        contractions.append(
            replace(
                contraction,
                target=replace(cells, subscripts=tuple(targets.get(s, s) for s in cells.subscripts)),
                factors=(former.substitute(sources), _readdress(taps, kernels)),
                extents=(*plain, *extents),
            )
        )
    return Program(tuple(contractions))


def _roles(contraction: Contraction) -> tuple[Access, Access, Access]:
    """Return the cells, the taps and the positions of a correlation."""
    accesses = (contraction.target, *contraction.reads)
    if len(accesses) == 3 and len(contraction.factors) == 2:
        for at, cells in enumerate(accesses):
            others = [*accesses[:at], *accesses[at + 1 :]]
            if _spatial(cells, *others) and cells.subscripts[0].variables:
                batch = cells.subscripts[0].variables[0]
                positions, taps = sorted(others, key=lambda a: batch not in _variables(a))
                return cells, taps, positions
    raise NotRecognisedError("no tensor of the contraction is read along a position and a tap")


def _spatial(cells: Access, *others: Access) -> list[Polynomial]:
    """Return the subscripts that combine an index of one other tensor with an index of the other.

    (A group and a channel in it combine too, but all three tensors have the group.)
    """
    in_first, in_second = (set(_variables(a)) for a in others)
    return [
        s
        for s in cells.subscripts
        if len(s.variables) == 2
        and all((name in in_first) != (name in in_second) for name in s.variables)
        and len({name in in_first for name in s.variables}) == 2
    ]


def _readdress(taps: Access, kernels: dict[str, Polynomial]) -> Access:
    """Address each tap by its new polynomial, from the first tap that the old addresses count from."""
    subscripts = (
        next((new for name, new in kernels.items() if name in s.variables), s) for s in taps.subscripts
    )
    return replace(taps, subscripts=tuple(subscripts))


def _variables(access: Access) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for s in access.subscripts for name in s.variables))


def _index_of(subscript: Polynomial, access: Access) -> str:
    return next(name for name in subscript.variables if name in _variables(access))


def _axis(cell: Polynomial, size: int, taps: Access, positions: Access, extents: dict[str, int]) -> Axis:
    k, p = _index_of(cell, taps), _index_of(cell, positions)
    tap = next(s for s in taps.subscripts if k in s.variables)
    position = next(s for s in positions.subscripts if p in s.variables)
    return Axis(
        cells=size,
        taps=extents[k],
        positions=extents[p],
        stride=int(cell.coefficient(p)),
        dilation=int(cell.coefficient(k)),
        offset=int(cell.constant),
        tap_start=int(tap.constant),
        tap_step=int(tap.coefficient(k)),
        position_start=int(position.constant),
        position_step=int(position.coefficient(p)),
    )
