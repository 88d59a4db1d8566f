"""The differential of a graph: how its output changes, to first order, when tensors change.

A program's differential is a sum of programs, one factor replaced by its change: the product rule. So
programs are closed under it, and the gradients of ⟨G, dO⟩ are those of second order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from symconv.notation.backpropagation import (
    applied,
    fresh,
    gradient_of,
    gradients,
    linearised,
    partials,
    selection_of,
    times,
    varying_with,
)
from symconv.notation.contraction import Access, Contraction, Program, Tensor, combined, index
from symconv.notation.graph import Argument, Elementwise, Graph, Step, needed, reads, written
from symconv.notation.names import element

if TYPE_CHECKING:
    import sympy


def tangent_of(tensor: Tensor) -> Tensor:
    """Return the tensor that holds the change of another."""
    return Tensor(f"d{tensor.name}", tensor.shape)


def tangent(graph: Graph, by: Sequence[Tensor]) -> Graph:
    """Return the graph that computes dO, the change of the first output, from the changes of ``by``.

    It has the steps of ``graph`` whose results the changes read, then one for the change of each tensor
    that varies. The selection of a maximum is a constant, as for gradients.
    """
    varying = varying_with(graph, by)
    found = list(graph.steps)
    for step in graph.steps:
        if written(step) in varying:
            found += _changed(step, varying)
    return needed(replace(graph, steps=tuple(found), results=(tangent_of(graph.output).name,)))


def second_gradients(change: Graph, by: Sequence[Tensor], cotangent: Tensor) -> Graph:
    """Return the graph of dO, and of the gradients of ⟨G, dO⟩ by each T of ``by``.

    ``change`` computes dO. What it does not depend on has the gradient 0.
    """
    depends = [tensor for tensor in by if change.output in varying_with(change, [tensor])]
    back = gradients(change, depends, cotangent).steps if depends else ()
    nothing = [_zero(tensor, change) for tensor in by if tensor not in depends]
    results = (change.output.name, *(gradient_of(tensor).name for tensor in by))
    steps = dict.fromkeys((*change.steps, *back, *nothing))
    return needed(Graph(tuple(steps), results, change.held))


def _changed(step: Step, varying: set[Tensor]) -> list[Step]:
    """Return the steps that compute the change of what a step computes."""
    if isinstance(step, Elementwise):
        return [_elementwise(step, varying)]
    assert isinstance(step, Program)  # nothing else varies
    found: list[Step] = []
    changes: list[Contraction] = []
    for contraction in step.contractions:
        if contraction.reduce == "max":
            selection = selection_of(contraction)
            found.append(selection)
            contraction = linearised(contraction, selection.target)
        target = replace(contraction.target, tensor=tangent_of(step.target))
        for at, factor in enumerate(contraction.factors):
            if isinstance(factor, Access) and factor.tensor in varying:
                change = replace(factor, tensor=tangent_of(factor.tensor))
                factors = (*contraction.factors[:at], change, *contraction.factors[at + 1 :])
                changes.append(replace(contraction, target=target, factors=factors))
    return [*found, combined(changes)]


def _elementwise(step: Elementwise, varying: set[Tensor]) -> Elementwise:
    """Return the sum of the partial derivatives, each times the change of its argument."""
    import sympy

    change: sympy.Expr = sympy.Integer(0)
    arguments: list[Argument] = list(step.arguments)
    for name, read, partial in partials(step, varying):
        moved = fresh(f"d{name}", [other for other, _ in arguments])
        change += times(sympy.Symbol(moved, real=True), partial)
        arguments.append((moved, replace(read, tensor=tangent_of(read.tensor))))
    target = replace(step.target, tensor=tangent_of(step.target.tensor))
    return applied(step, target, change, tuple(arguments))


def _zero(tensor: Tensor, change: Graph) -> Elementwise:
    """Return the step that sets a gradient to 0, at the indices that the tensor's change is read at."""
    import sympy

    names = element(len(tensor.shape))
    for access in (access for step in change.steps for access in reads(step)):
        used = tuple(name for subscript in access.subscripts for name in subscript.variables)
        plain = access.subscripts == tuple(map(index, used)) and len(set(used)) == len(used)
        if access.tensor == tangent_of(tensor) and plain:
            names = used
    by = gradient_of(tensor)[tuple(map(index, names))]
    return Elementwise(by, sympy.Integer(0), (), tuple(zip(names, tensor.shape, strict=True)))
