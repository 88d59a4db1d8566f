"""What a lowering gives: statements, and the buffers that they need."""

from __future__ import annotations

from dataclasses import dataclass

from symconv.kernel.language import Buffer, Statement


@dataclass(frozen=True)
class Lowered:
    """Statements in order, and scratch and constants of their own."""

    body: tuple[Statement, ...]
    buffers: tuple[Buffer, ...] = ()

    def __add__(self, other: Lowered) -> Lowered:
        return Lowered(self.body + other.body, self.buffers + other.buffers)
