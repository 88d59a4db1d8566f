"""Padding modes: the interior copied once, then each border from inside it; and the adjoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from symconv.kernel.language import Do
from symconv.layers.padding import Piece
from symconv.lower.lowered import Lowered
from symconv.notation.contraction import Access, Contraction, Program, Size, Tensor, index
from symconv.notation.graph import Step, reads, written


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


def padding_chains(steps: Iterable[Step]) -> list[Step | tuple[Program, ...]]:
    """Group the programs that pad a tensor axis by axis, or fold it back; other steps stay alone.

    Folding back adds within what is folded, so that must be computed here, and read nowhere else.
    """
    steps = list(steps)
    computed = {written(step).name for step in steps}
    readers = Counter(read.tensor.name for step in steps for read in reads(step))
    found: list[Step | tuple[Program, ...]] = []
    for step in steps:
        kind = _padding_kind(step)
        last = found[-1] if found else ()
        if kind == "fold":
            (folded,) = {read.tensor.name for read in reads(step)}
            kind = kind if folded in computed and readers[folded] == len(reads(step)) else None
        if not isinstance(step, Program) or kind is None:
            found.append(step)
        elif isinstance(last, tuple) and last and _continues(last[-1], step):
            found[-1] = (*last, step)
        else:
            found.append((step,))
    return found


def _continues(before: Program, step: Program) -> bool:
    """Whether a step pads on, or folds on, what the one before computes."""
    same_kind = _padding_kind(before) == _padding_kind(step)
    return same_kind and before.target == step.contractions[0].reads[0].tensor


def _padding_kind(step: Step) -> str | None:
    """Tell a step that pads, ``extend``, and one that folds back, ``fold``, from all others."""
    if not isinstance(step, Program) or len(step.contractions) == 1:
        return None
    if any(len(c.factors) != 1 or len(c.reads) != 1 for c in step.contractions):
        return None
    (source, *others) = {c.reads[0].tensor for c in step.contractions}
    target = step.target
    if others or len(target.sizes) != len(source.sizes) or len(target.sizes) < 3:
        return None
    axes = [a for a, (n, m) in enumerate(zip(target.sizes, source.sizes, strict=True)) if n != m]
    if len(axes) != 1 or not all(_is_piece(c, axes[0]) for c in step.contractions):
        return None
    kind = "extend" if prod(target.sizes) > prod(source.sizes) else "fold"
    pieces = [_piece(c, axes[0], kind) for c in step.contractions]
    cells = sorted(cell for p in pieces for cell in range(p.start, p.start + p.count))
    padded = target if kind == "extend" else source
    return kind if cells == list(range(padded.sizes[axes[0]])) else None


def _is_piece(contraction: Contraction, axis: int) -> bool:
    """Whether a sum copies cells along one axis, the others as they are."""
    pairs = zip(contraction.target.subscripts, contraction.reads[0].subscripts, strict=True)
    sizes = contraction.reads[0].tensor.sizes
    names = []
    for at, (put, read) in enumerate(pairs):
        used = dict.fromkeys((*put.variables, *read.variables))
        if len(used) != 1 or contraction.coefficient != 1 or contraction.reduce != "sum":
            return False
        (name,) = used
        names.append(name)
        plain = put == read == index(name) and contraction.ranges[name] == sizes[at]
        if at != axis and not plain:
            return False
        if at == axis and 1 not in (put.coefficient(name), read.coefficient(name)):
            return False
    return len(set(names)) == len(names) == len(contraction.ranges)


def padding_stage(steps: tuple[Program, ...], names: Mapping[str, str]) -> Extend | FoldBack:
    """Collect the pieces along each axis from the programs that pad, or that fold back."""
    kind = _padding_kind(steps[0]) or ""
    if kind == "fold":
        steps = steps[::-1]
    small, large = (
        (steps[0].contractions[0].reads[0].tensor, steps[-1].target)
        if kind == "extend"
        else (steps[0].target, steps[-1].contractions[0].reads[0].tensor)
    )
    axes: list[tuple[Piece[int], ...]] = [(Piece(0, size, 0, 1),) for size in small.sizes]
    for step in steps:
        axis = next(
            a
            for a, sizes in enumerate(
                zip(step.target.shape, step.contractions[0].reads[0].tensor.shape, strict=True)
            )
            if sizes[0] != sizes[1]
        )
        axes[axis] = tuple(_piece(c, axis, kind) for c in step.contractions)
    if kind == "extend":
        return Extend(names[small.name], names[large.name], large.sizes, tuple(axes))
    return FoldBack(names[large.name], names[small.name], large.sizes, tuple(axes))


def _piece(contraction: Contraction, axis: int, kind: str) -> Piece[int]:
    padded, plain = contraction.target, contraction.reads[0]
    if kind == "fold":
        padded, plain = plain, padded
    name = padded.subscripts[axis].variables[0]
    return Piece(
        start=int(padded.subscripts[axis].constant),
        count=contraction.ranges[name],
        source=int(plain.subscripts[axis].constant),
        step=int(plain.subscripts[axis].coefficient(name)),
    )


def extended(stage: Extend, source: Tensor, target: Tensor) -> Lowered:
    """Fill a padded copy: the interior, then the borders along each axis in turn."""
    interior = _interior(stage.axes)
    body = [_copy(target, interior, source, [(0, 1)] * len(interior), _counts(stage.axes), False)]
    for axis, (inside, *borders) in enumerate(stage.axes):
        for piece in borders:  # axes behind this one have no borders yet
            put = [(0, 1)] * axis + interior[axis:]
            read = list(put)
            put[axis] = (piece.start, 1)
            read[axis] = (inside.start + piece.source, piece.step)
            counts = [*target.sizes[:axis], piece.count, *_counts(stage.axes)[axis + 1 :]]
            body.append(_copy(target, put, target, read, counts, False))
    return Lowered(tuple(body))


def folded_back(stage: FoldBack, source: Tensor, target: Tensor) -> Lowered:
    """Add each border to where it came from, last axis first; the interior is the result."""
    interior = _interior(stage.axes)
    body: list[Do] = []
    for axis in reversed(range(len(interior))):
        inside, *borders = stage.axes[axis]
        for piece in borders:
            read = [(0, 1)] * len(interior)
            put = list(read)
            read[axis] = (piece.start, 1)
            put[axis] = (inside.start + piece.source, piece.step)
            counts = list(source.sizes)
            counts[axis] = piece.count
            body.append(_copy(source, put, source, read, counts, True))
    body.append(_copy(target, [(0, 1)] * len(interior), source, interior, _counts(stage.axes), False))
    return Lowered(tuple(body))


def _interior(axes: Sequence[tuple[Piece[int], ...]]) -> list[tuple[int, int]]:
    return [(pieces[0].start, 1) for pieces in axes]


def _counts(axes: Sequence[tuple[Piece[int], ...]]) -> list[int]:
    return [pieces[0].count for pieces in axes]


def _copy(
    target: Tensor,
    put: Sequence[tuple[int, int]],
    source: Tensor,
    read: Sequence[tuple[int, int]],
    counts: Sequence[int],
    adds: bool,
) -> Do:
    """Copy, or add, elements from ``start + step·k`` along each axis of two tensors."""
    names = ["n", "c", "t", "u", "v"][: len(counts)]

    def at(tensor: Tensor, starts: Sequence[tuple[int, int]]) -> Access:
        return tensor[
            tuple(index(n) * step + start for n, (start, step) in zip(names, starts, strict=True))
        ]

    extents: tuple[tuple[str, Size], ...] = tuple(zip(names, counts, strict=True))
    return Do(Contraction(at(target, put), (at(source, read),), extents), "add" if adds else "assign")
