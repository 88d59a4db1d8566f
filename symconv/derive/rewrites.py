"""The rewritings of a gradient's sum, each from a layer to a graph of the same polynomials."""

from __future__ import annotations

from dataclasses import replace

from symconv.layers.conv import ConvLayer
from symconv.notation.contraction import (
    Access,
    Contraction,
    Factor,
    Kronecker,
    Program,
    Solved,
    index,
)
from symconv.notation.correlation import gather, polyphase, recognise
from symconv.notation.graph import Graph
from symconv.notation.names import CELLS, POSITIONS, QUOTIENTS, TAPS
from symconv.notation.polynomial import Polynomial


def sum_of(graph: Graph) -> tuple[Contraction, list[Program], list[Program]]:
    """Return the sum of products, what comes before it and what comes after."""
    steps = list(graph.programs)
    at = next(i for i, p in enumerate(steps) if len(p.contractions[0].reads) == 2)
    return steps[at].contractions[0], steps[:at], steps[at + 1 :]


def with_deltas(layer: ConvLayer, name: str) -> Graph:
    """Write the gradient at primed indices, a δ for each subscript of the element it is taken by."""
    contraction, before, after = sum_of(layer.gradient(name))
    target = contraction.target
    form = _delta_form(contraction, range(len(target.subscripts)), name)
    return Graph((*before, Program((form,)), *after))


def channels_sifted(layer: ConvLayer) -> Graph:
    """Leave the δ along the axes only."""
    contraction, before, after = sum_of(layer.gradient("x"))
    axes = range(2, len(contraction.target.subscripts))
    return Graph((*before, Program((_delta_form(contraction, axes, "x"),)), *after))


def _delta_form(contraction: Contraction, dims: range, name: str) -> Contraction:
    """Write a contraction's target at free indices in some dimensions, tied to its subscripts by δ."""
    target = contraction.target
    free = free_names(name, len(target.subscripts) - 2)
    subscripts = list(target.subscripts)
    deltas: list[Factor] = []
    extents = list(contraction.extents)
    for dim in dims:
        deltas.append(Kronecker(target.subscripts[dim], index(free[dim])))
        subscripts[dim] = index(free[dim])
        extents.append((free[dim], target.tensor.shape[dim]))
    return replace(
        contraction,
        target=Access(target.tensor, tuple(subscripts)),
        factors=(*contraction.factors, *deltas),
        extents=tuple(extents),
    )


def free_names(name: str, rank: int) -> tuple[str, ...]:
    """Return the indices of the element that a derivative is taken by."""
    return {
        "x": ("n'", "c'", *CELLS[rank]),
        "weight": ("o'", "c'", *(f"{tap}'" for tap in TAPS[rank])),
        "bias": ("o'",),
    }[name]


def substituted(layer: ConvLayer) -> Graph:
    """Solve the δ along each axis for the position."""
    contraction, before, after = sum_of(layer.gradient("x"))
    correlation = recognise(contraction)
    rank = len(correlation.axes)
    solved: list[Factor] = []
    subscripts = list(contraction.target.subscripts)
    extents = list(contraction.extents)
    values: dict[str, Polynomial] = {}
    for at, axis in enumerate(correlation.axes):
        cell, position = index(CELLS[rank][at]), POSITIONS[rank][at]
        tap = next(n for n in subscripts[2 + at].variables if n != position)
        numerator = cell - index(tap) * axis.dilation - axis.offset
        extents = [(n, size) for n, size in extents if n != position]
        if axis.stride == 1:
            values[position] = numerator
        else:
            solved.append(Solved(position, numerator, axis.stride))
        subscripts[2 + at] = cell
        extents.append((CELLS[rank][at], axis.cells))
    factors = [f.substitute(values) if isinstance(f, Access) else f for f in contraction.factors]
    gathered = replace(
        contraction,
        target=Access(contraction.target.tensor, tuple(subscripts)),
        factors=(*factors, *solved),
        extents=tuple(extents),
    )
    return Graph((*before, Program((gathered,)), *after))


def in_phases(layer: ConvLayer) -> Graph:
    """Solve the affine write of ∂E/∂X: a plain correlation for each phase of the cells."""
    return phase_forms(layer.gradient("x"))


def phase_forms(graph: Graph) -> Graph:
    """Solve the affine write of a graph's sum of products, if a tap reaches any cell."""
    contraction, before, after = sum_of(graph)
    correlation = recognise(contraction)
    phases = gather(contraction, QUOTIENTS[len(correlation.axes)])
    return Graph((*before, phases if phases.contractions else Program((contraction,)), *after))


def phases_disjoint(layer: ConvLayer) -> bool:
    """Whether the phases share no cell, and leave out only cells that no tap reaches."""
    for axis in recognise(sum_of(layer.gradient("x"))[0]).axes:
        cells = [
            p.position_start + p.position_step * q for p in polyphase(axis) for q in range(p.positions)
        ]
        reached = {cell for cell, _, _ in axis.triples()}
        if len(cells) != len(set(cells)) or not reached <= set(cells):
            return False
    return True
