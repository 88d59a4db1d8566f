"""Padding modes as operators of affine pieces, one step per axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

from symconv.layers.arguments import LARGEST
from symconv.layers.window import S
from symconv.notation.contraction import Access, Contraction, Program, Size, Tensor, index
from symconv.notation.names import CELLS, POSITIONS

MODES = ("zeros", "reflect", "replicate", "circular")


def most(mode: str, size: int) -> int:
    """Return how many elements a mode can add at each side of an axis."""
    return {"reflect": size - 1, "circular": size}.get(mode, LARGEST)


@dataclass(frozen=True)
class Piece(Generic[S]):
    """Element ``start + k`` of the padded axis is element ``source + step·k`` of the axis, k < count."""

    start: S
    count: S
    source: S
    step: int


def pieces(mode: str, size: Size, lo: Size, hi: Size) -> tuple[Piece[Size], ...]:
    """Return the pieces that fill a padded axis: the axis itself, then the padding on both sides."""
    before, after = {
        "reflect": (Piece[Size](0, lo, lo, -1), Piece[Size](lo + size, hi, size - 2, -1)),
        "replicate": (Piece[Size](0, lo, 0, 0), Piece[Size](lo + size, hi, size - 1, 0)),
        "circular": (Piece[Size](0, lo, size - lo, 1), Piece[Size](lo + size, hi, 0, 1)),
    }[mode]
    return tuple(piece for piece in (Piece[Size](lo, size, 0, 1), before, after) if piece.count)


def padding_steps(x: Tensor, mode: str, pads: list[tuple[int, int]]) -> tuple[Program, ...]:
    """Return the programs that pad a tensor, one axis at a time; zero padding has none."""
    steps: list[Program] = []
    for axis, (lo, hi) in enumerate(pads):
        if mode != "zeros" and (lo or hi):
            steps.append(padding_step(x, mode, axis, lo, hi))
            x = steps[-1].target
    return tuple(steps)


def padding_step(x: Tensor, mode: str, axis: int, lo: Size, hi: Size) -> Program:
    """Return the program that pads one spatial axis; the result's name ends with the axis."""
    rank = len(x.shape) - 2
    name = x.name + POSITIONS[rank][axis]
    return padded_along(x, mode, 2 + axis, lo, hi, name, ("n", "c", *CELLS[rank]))


def padded_along(
    x: Tensor, mode: str, axis: int, lo: Size, hi: Size, name: str, names: Sequence[str]
) -> Program:
    """Return the program that pads one axis of a tensor whose axes have these indices."""
    size = x.shape[axis]
    padded = Tensor(name, (*x.shape[:axis], lo + size + hi, *x.shape[axis + 1 :]))
    contractions = []
    for piece in pieces(mode, size, lo, hi):
        cell = index(names[axis])
        target = [index(name) for name in names]
        source = list(target)
        target[axis] = cell + piece.start
        source[axis] = cell * piece.step + piece.source
        extents = dict(zip(names, x.shape, strict=True)) | {names[axis]: piece.count}
        contractions.append(
            Contraction(
                target=Access(padded, tuple(target)),
                factors=(Access(x, tuple(source)),),
                extents=tuple(extents.items()),
            )
        )
    return Program(tuple(contractions))
