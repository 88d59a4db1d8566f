"""Padding modes as operators of affine pieces, one step per axis."""

from __future__ import annotations

from dataclasses import dataclass

from symconv.notation.contraction import Access, Contraction, Program, Tensor, index
from symconv.notation.names import CELLS, POSITIONS

MODES = ("zeros", "reflect", "replicate", "circular")


@dataclass(frozen=True)
class Piece:
    """Cells ``start + k`` of the padded axis are cells ``source + step·k`` of the axis, k < count."""

    start: int
    count: int
    source: int
    step: int


def pieces(mode: str, size: int, lo: int, hi: int) -> tuple[Piece, ...]:
    """Return what fills a padded axis: the axis itself, then what stands before and after it."""
    before, after = {
        "reflect": (Piece(0, lo, lo, -1), Piece(lo + size, hi, size - 2, -1)),
        "replicate": (Piece(0, lo, 0, 0), Piece(lo + size, hi, size - 1, 0)),
        "circular": (Piece(0, lo, size - lo, 1), Piece(lo + size, hi, 0, 1)),
    }[mode]
    return tuple(piece for piece in (Piece(lo, size, 0, 1), before, after) if piece.count)


def padding_steps(x: Tensor, mode: str, pads: list[tuple[int, int]]) -> tuple[Program, ...]:
    """Return the programs that pad a tensor, an axis at a time; none for zeros."""
    if mode == "zeros":
        return ()
    steps: list[Program] = []
    rank = len(pads)
    for axis, (lo, hi) in enumerate(pads):
        if lo == hi == 0:
            continue
        size = x.shape[2 + axis]
        shape = (*x.shape[: 2 + axis], lo + size + hi, *x.shape[3 + axis :])
        padded = Tensor(x.name + POSITIONS[rank][axis], shape)
        names = ("n", "c", *CELLS[rank])
        contractions = []
        for piece in pieces(mode, size, lo, hi):
            cell = index(names[2 + axis])
            target = [index(name) for name in names]
            source = list(target)
            target[2 + axis] = cell + piece.start
            source[2 + axis] = cell * piece.step + piece.source
            extents = dict(zip(names, x.shape, strict=True)) | {names[2 + axis]: piece.count}
            contractions.append(
                Contraction(
                    target=Access(padded, tuple(target)),
                    factors=(Access(x, tuple(source)),),
                    extents=tuple(extents.items()),
                )
            )
        steps.append(Program(tuple(contractions)))
        x = padded
    return tuple(steps)
