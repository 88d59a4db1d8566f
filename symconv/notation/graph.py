"""Programs and elementwise expressions, one after the other, and backpropagation through them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from symconv.notation.contraction import Access, Program, Tensor
from symconv.notation.polynomial import Polynomial

if TYPE_CHECKING:
    import sympy


@dataclass(frozen=True)
class Elementwise:
    """``target[w(t)] = expression`` for every point ``t`` of a box of indices.

    Parameters
    ----------
    target
        Where each value is written.
    expression
        A SymPy expression in the names of ``arguments``.
    arguments
        What each of its names stands for: a tensor's element, or an index's own value.
    extents
        Each index and its number of values, counted from 0.
    """

    target: Access
    expression: sympy.Expr
    arguments: tuple[tuple[str, Access | Polynomial], ...]
    extents: tuple[tuple[str, int], ...]


Step: TypeAlias = Program | Elementwise


def written(step: Step) -> Tensor:
    """Return the tensor that a step computes."""
    return step.target if isinstance(step, Program) else step.target.tensor


@dataclass(frozen=True)
class Graph:
    """Steps in the order they are computed; the last one computes the output."""

    steps: tuple[Step, ...]

    @property
    def output(self) -> Tensor:
        """The tensor that the last step computes."""
        return written(self.steps[-1])

    @property
    def inputs(self) -> dict[str, Tensor]:
        """The tensors that a linear graph reads and does not compute, in the order they are read."""
        computed = {program.target.name for program in self.programs}
        reads = [r.tensor for p in self.programs for c in p.contractions for r in c.reads]
        return {tensor.name: tensor for tensor in reads if tensor.name not in computed}

    @property
    def programs(self) -> tuple[Program, ...]:
        """The steps of a linear graph.

        Raises
        ------
        TypeError
            If a step is elementwise.
        """
        found = tuple(step for step in self.steps if isinstance(step, Program))
        if len(found) < len(self.steps):
            raise TypeError("an elementwise step is no program")
        return found


def gradient(graph: Graph, by: Tensor, cotangent: Tensor) -> Graph:
    """Return the graph that computes ∂E/∂(by) from ∂E/∂output: each step's swap, in reverse.

    The gradient by a tensor has the name ``∂E/∂`` and the tensor's, and its shape. Every step must be
    a program; the graph's tensors may be read by one later step each (a chain).
    """
    cotangents: Mapping[Tensor, Tensor] = {graph.output: cotangent}
    steps: list[Step] = []
    for step in reversed(graph.steps):
        if not isinstance(step, Program):
            raise TypeError("an elementwise step has no swap: differentiate its expression")
        reads = dict.fromkeys(r.tensor for c in step.contractions for r in c.reads)
        if by in reads:
            steps.append(step.swap(by, gradient_of(by), cotangents[step.target]))
            return Graph(tuple(steps))
        for tensor in reads:
            if any(written(other) == tensor for other in graph.steps):
                steps.append(step.swap(tensor, gradient_of(tensor), cotangents[step.target]))
                cotangents = {tensor: gradient_of(tensor)}
    raise ValueError(f"no step reads {by.name}")


def gradient_of(tensor: Tensor) -> Tensor:
    """Return the tensor that holds the gradient by another."""
    return Tensor(f"∂E/∂{tensor.name}", tensor.shape)
