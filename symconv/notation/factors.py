"""Graphs too large to compare whole, as products of independent parts.

Where no subscript mixes two sets of indices, a graph's table of terms is the Cartesian product of the
tables of its parts, one for each set: equal parts make equal graphs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from symconv.notation.contraction import Access, Contraction, Program, Tensor
from symconv.notation.graph import Graph

Node = tuple[str, int | str]  # a tensor and its dimension, or a step and its index


@dataclass(frozen=True)
class Pair:
    """One part of two graphs: both restricted to the same dimensions of the tensors they share."""

    left: Graph
    right: Graph


def parts(left: Graph, right: Graph) -> list[Pair] | None:
    """Split two graphs with the same inputs and output into pairs of parts; None if they mix.

    A step that is a sum of several contractions splits only if they differ in one part alone.
    """
    parent: dict[Node, Node] = {}
    for side, graph in (("left", left), ("right", right)):
        for number, contraction in _numbered(graph):
            for access in (contraction.target, *contraction.reads):
                for dim, subscript in enumerate(access.subscripts):
                    cell = _find(parent, (_name(access.tensor, graph, side), dim))
                    for index in subscript.variables:
                        parent[_find(parent, (f"{side} {number}", index))] = cell
                        cell = _find(parent, cell)
    roots = dict.fromkeys(_find(parent, node) for node in list(parent))
    pairs = []
    for root in roots:
        a = _restricted(left, "left", root, parent)
        b = _restricted(right, "right", root, parent)
        if a is None or b is None:
            return None
        pairs.append(Pair(a, b))
    whole = _split_once(left, [p.left for p in pairs]) and _split_once(right, [p.right for p in pairs])
    return pairs if whole else None


def _numbered(graph: Graph) -> Iterator[tuple[int, Contraction]]:
    """Visit the contractions with their step's number; a step's share its indices' names."""
    for number, step in enumerate(graph.steps):
        if not isinstance(step, Program):
            raise TypeError("an elementwise step has no table of terms")
        for contraction in step.contractions:
            if len(contraction.reads) != len(contraction.factors):
                raise TypeError("a contraction with conditions is compared whole")
            yield number, contraction


def _name(tensor: Tensor, graph: Graph, side: str) -> str:
    """Name a tensor: what one graph computes on the way is its own, the output is shared."""
    if tensor == graph.output:
        return "output"
    computed = {step.target for step in graph.steps if isinstance(step, Program)}
    return f"{side} {tensor.name}" if tensor in computed else tensor.name


def _find(parent: dict[Node, Node], node: Node) -> Node:
    while parent.setdefault(node, node) != node:
        node = parent[node]
    return node


def _restricted(graph: Graph, side: str, root: Node, parent: dict[Node, Node]) -> Graph | None:
    """Keep the dimensions and indices of one part; equal contractions of a step become one."""
    steps = []
    for number, step in enumerate(graph.steps):
        assert isinstance(step, Program)  # checked before

        def kept(access: Access) -> Access:
            dims = [
                dim
                for dim in range(len(access.subscripts))
                if _find(parent, (_name(access.tensor, graph, side), dim)) == root
            ]
            tensor = Tensor(access.tensor.name, tuple(access.tensor.shape[d] for d in dims))
            return Access(tensor, tuple(access.subscripts[d] for d in dims))

        found: list[Contraction] = []
        for c in step.contractions:
            if c.coefficient != 1 or c.reduce != "sum":
                return None
            extents = [
                (n, size) for n, size in c.extents if _find(parent, (f"{side} {number}", n)) == root
            ]
            found.append(
                replace(
                    c,
                    target=kept(c.target),
                    factors=tuple(map(kept, c.reads)),
                    extents=tuple(extents),
                )
            )
        steps.append(Program(tuple(dict.fromkeys(found))))
    return Graph(tuple(steps))


def _split_once(graph: Graph, restricted: list[Graph]) -> bool:
    """Whether, in every step, all parts but one have a single contraction, that one has them all."""
    for number, step in enumerate(graph.steps):
        assert isinstance(step, Program)  # checked before
        several = []
        for part in restricted:
            program = part.steps[number]
            assert isinstance(program, Program)  # a restriction of one
            if len(program.contractions) > 1:
                several.append(len(program.contractions))
        if len(step.contractions) > 1 and several != [len(step.contractions)]:
            return False
    return True
