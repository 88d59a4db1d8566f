"""The chain rule through a graph: each step's swap, in reverse; who is read often adds them up."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

from symconv.notation.contraction import Access, Contraction, Program, Tensor, index
from symconv.notation.graph import (
    Argument,
    Constant,
    Elementwise,
    Graph,
    Selection,
    Step,
    reads,
    written,
)

if TYPE_CHECKING:
    import sympy

Share: TypeAlias = Contraction | Elementwise  # what one read adds to a tensor's gradient


def gradient_of(tensor: Tensor) -> Tensor:
    """Return the tensor that holds the gradient by another."""
    return Tensor(f"∂E/∂{tensor.name}", tensor.shape)


def gradient(graph: Graph, by: Tensor, cotangent: Tensor) -> Graph:
    """Return the graph that computes ∂E/∂(by) from ∂E/∂output.

    It has the steps of ``graph`` whose results the gradients read, then a step for the gradient by
    each tensor between the output and ``by``. The gradient by a tensor has the name ``∂E/∂`` and the
    tensor's, and its shape. The selection of a maximum is a constant: a maximum's gradient is the one
    away from ties.

    Raises
    ------
    ValueError
        If the output does not depend on ``by``.
    """
    varying = _varying(graph, by)
    if graph.output not in varying:
        raise ValueError(f"no step reads {by.name}")
    often = _read_often(graph, varying)
    shares: dict[Tensor, list[Share]] = {}
    back: list[Step] = []
    for step in reversed(graph.steps):
        of = written(step)
        if of not in varying or (of != graph.output and of not in shares):
            continue
        if of == graph.output:
            upstream = cotangent
        else:
            upstream = gradient_of(of)
            back.append(_added(shares.pop(of)))
        before, found = _shares(step, varying, often, upstream)
        back += before
        for tensor, share in found:
            shares.setdefault(tensor, []).append(share)
    back.append(_added(shares[by]))
    return Graph((*_recomputed(graph, back), *back))


def _varying(graph: Graph, by: Tensor) -> set[Tensor]:
    """Return ``by`` and every tensor that depends on it; a selection counts as constant."""
    varying = {by}
    for step in graph.steps:
        linear = not isinstance(step, Constant | Selection)
        if linear and any(access.tensor in varying for access in reads(step)):
            varying.add(written(step))
    return varying


def _read_often(graph: Graph, varying: set[Tensor]) -> set[Tensor]:
    """Return the tensors that more than one read makes others depend on."""
    found = [a.tensor for step in graph.steps if written(step) in varying for a in reads(step)]
    return {tensor for tensor in found if found.count(tensor) > 1}


def _shares(
    step: Step, varying: set[Tensor], often: set[Tensor], upstream: Tensor
) -> tuple[list[Step], list[tuple[Tensor, Share]]]:
    """Return what the gradients by what a step reads are made of, and the steps that this needs."""
    if isinstance(step, Elementwise):
        return _elementwise_shares(step, varying, often, upstream)
    assert isinstance(step, Program)  # nothing else varies
    before: list[Step] = []
    shares: list[tuple[Tensor, Share]] = []
    for contraction in step.contractions:
        if contraction.reduce == "max":
            selection = selection_of(contraction)
            before.append(selection)
            contraction = linearised(contraction, selection.target)
        shares += [
            (read.tensor, contraction.swap(read, gradient_of(read.tensor), upstream))
            for read in contraction.reads
            if read.tensor in varying
        ]
    return before, shares


def selection_of(maximum: Contraction) -> Selection:
    """Return the step that selects the first greatest term for each cell of a maximum."""
    sizes = tuple(size for _, size in maximum.extents)
    of = maximum.target.tensor.name
    return Selection(Tensor("S" if of == "O" else f"S_{of}", sizes), maximum)


def linearised(maximum: Contraction, selection: Tensor) -> Contraction:
    """Return the sum of the selected terms: what a maximum is around a point without ties."""
    chosen = selection[tuple(index(name) for name, _ in maximum.extents)]
    return replace(maximum, factors=(*maximum.factors, chosen), reduce="sum")


def _elementwise_shares(
    step: Elementwise, varying: set[Tensor], often: set[Tensor], upstream: Tensor
) -> tuple[list[Step], list[tuple[Tensor, Share]]]:
    """Multiply by each partial derivative: in place where only its own cell reads a cell; else sum."""
    import sympy

    before: list[Step] = []
    shares: list[tuple[Tensor, Share]] = []
    g = sympy.Symbol("g", real=True)
    symbols = {symbol.name: symbol for symbol in step.expression.free_symbols}
    above = Access(upstream, step.target.subscripts)
    for name, read in step.arguments:
        if not isinstance(read, Access) or read.tensor not in varying:
            continue
        if name not in symbols:
            continue
        partial = step.expression.diff(symbols[name])
        forms = step.forms[1:]
        own = read.subscripts == step.target.subscripts and read.tensor.shape == upstream.shape
        if own and read.tensor not in often:
            by = Access(gradient_of(read.tensor), read.subscripts)
            share: Share = _applied(
                step,
                by,
                _times(g, partial),
                (("g", above), *step.arguments),
                tuple(_times(g, form) for form in forms),
            )
        else:
            factors: tuple[Access, ...] = (above,)
            if not partial.is_Rational:
                sizes = tuple(size for _, size in step.extents)
                local = Tensor(f"∂{written(step).name}/∂{name}", sizes)
                cell = local[tuple(index(n) for n, _ in step.extents)]
                before.append(_applied(step, cell, partial, step.arguments, forms))
                factors = (above, cell)
            share = Contraction(
                Access(gradient_of(read.tensor), read.subscripts),
                factors,
                step.extents,
                coefficient=1 if factors[1:] else Fraction(int(partial.p), int(partial.q)),
            )
        shares.append((read.tensor, share))
    return before, shares


def _times(factor: sympy.Expr, expression: sympy.Expr) -> sympy.Expr:
    """Multiply, case by case."""
    import sympy

    if isinstance(expression, sympy.Piecewise):
        return sympy.Piecewise(*((_times(factor, value), where) for value, where in expression.args))
    return factor * expression


def _applied(
    step: Elementwise,
    target: Access,
    expression: sympy.Expr,
    arguments: tuple[Argument, ...],
    forms: tuple[sympy.Expr, ...],
) -> Elementwise:
    """Return another expression of a step's arguments, without those that it does not have."""
    names = {s.name for e in (expression, *forms) for s in e.free_symbols}
    return replace(
        step,
        target=target,
        expression=expression,
        forms=forms,
        arguments=tuple(argument for argument in arguments if argument[0] in names),
    )


def _added(shares: list[Share]) -> Step:
    """Return the step that adds up a gradient's shares."""
    if len(shares) == 1 and isinstance(shares[0], Elementwise):
        return shares[0]
    assert all(isinstance(share, Contraction) for share in shares)  # who is read often has only these
    return Program(tuple(share for share in shares if isinstance(share, Contraction)))


def _recomputed(graph: Graph, back: list[Step]) -> list[Step]:
    """Return the graph's own steps whose results are read, directly or by one of these."""
    read = {access.tensor for step in back for access in reads(step)}
    found: list[Step] = []
    for step in reversed(graph.steps):
        if written(step) in read:
            found.insert(0, step)
            read |= {access.tensor for access in reads(step)}
    return found
