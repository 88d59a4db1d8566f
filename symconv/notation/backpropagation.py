"""The chain rule through a graph: each step's swap, in reverse; who is read often adds them up."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from symconv.notation.contraction import Access, Contraction, Program, Tensor, combined, index
from symconv.notation.expression import derivative
from symconv.notation.graph import (
    Argument,
    Constant,
    Elementwise,
    Graph,
    Selection,
    Step,
    needed,
    reads,
    written,
)
from symconv.notation.polynomial import Polynomial

if TYPE_CHECKING:
    import sympy


@dataclass(frozen=True)
class Share:
    """What one read adds to a tensor's gradient.

    ``contraction`` is the sum, which reads what the steps ``before`` compute; ``applied`` the same
    without a sum, where each cell is read by its own cell of the result alone.
    """

    contraction: Contraction
    before: tuple[Step, ...] = ()
    applied: Elementwise | None = None


def gradient_of(tensor: Tensor) -> Tensor:
    """Return the tensor that holds the gradient by another."""
    return Tensor(f"∂E/∂{tensor.name}", tensor.shape)


def gradient(graph: Graph, by: Tensor, cotangent: Tensor) -> Graph:
    """Return the graph that computes ∂E/∂(by) from ∂E/∂output, as :func:`gradients` does."""
    return gradients(graph, (by,), cotangent)


def gradients(graph: Graph, by: Sequence[Tensor], cotangent: Tensor) -> Graph:
    """Return the graph that computes ∂E/∂T for each T of ``by`` from ∂E/∂output.

    It has the steps of ``graph`` whose results the gradients read, then a step for the gradient by
    each tensor between the output and ``by``. The gradient by a tensor has the name ``∂E/∂`` and the
    tensor's, and its shape. The selection of a maximum is a constant: a maximum's gradient is the one
    away from ties.

    Raises
    ------
    ValueError
        If the output does not depend on one of them.
    """
    varying = varying_with(graph, by)
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
            back += _added(shares.pop(of))
        for tensor, share in _shares(step, varying, upstream):
            shares.setdefault(tensor, []).append(share)
    for tensor in by:
        if tensor not in shares:
            raise ValueError(f"the output does not depend on {tensor.name}")
        back += _added(shares[tensor])
    results = tuple(gradient_of(tensor).name for tensor in by)
    return needed(Graph((*graph.steps, *dict.fromkeys(back)), results))


def varying_with(graph: Graph, by: Sequence[Tensor]) -> set[Tensor]:
    """Return some tensors and every other that depends on them; selections are constants."""
    varying = set(by)
    for step in graph.steps:
        constant = isinstance(step, Constant | Selection) or written(step).name in graph.held
        if not constant and any(access.tensor in varying for access in reads(step)):
            varying.add(written(step))
    return varying


def _shares(step: Step, varying: set[Tensor], upstream: Tensor) -> list[tuple[Tensor, Share]]:
    """Return what the gradients by what a step reads are made of."""
    if isinstance(step, Elementwise):
        return _elementwise_shares(step, varying, upstream)
    assert isinstance(step, Program)  # nothing else varies
    shares: list[tuple[Tensor, Share]] = []
    for contraction in step.contractions:
        before: tuple[Step, ...] = ()
        if contraction.reduce == "max":
            selection = selection_of(contraction)
            before = (selection,)
            contraction = linearised(contraction, selection.target)
        shares += [
            (
                read.tensor,
                Share(contraction.swap(read, gradient_of(read.tensor), upstream), before),
            )
            for read in contraction.reads
            if read.tensor in varying
        ]
    return shares


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
    step: Elementwise, varying: set[Tensor], upstream: Tensor
) -> list[tuple[Tensor, Share]]:
    """Multiply by each partial derivative; a cell that several cells read sums their products."""
    shares: list[tuple[Tensor, Share]] = []
    above = Access(upstream, step.target.subscripts)
    for _, read, partial in partials(step, varying):
        coefficient, factors, before = _as_factors(step, read, partial)
        by = Access(gradient_of(read.tensor), read.subscripts)
        total = Contraction(by, (above, *factors), step.extents, coefficient)
        own = read.subscripts == step.target.subscripts and read.tensor.shape == upstream.shape
        shares.append(
            (
                read.tensor,
                Share(total, before, multiplied(step, by, (("g", above),), partial) if own else None),
            )
        )
    return shares


def _as_factors(
    step: Elementwise, read: Access, partial: sympy.Expr
) -> tuple[Fraction, tuple[Access, ...], tuple[Step, ...]]:
    """Return a derivative as a number times reads; if it is another expression, a step computes it."""
    number, product = partial.as_coeff_Mul()
    given = dict(step.arguments)
    names = [factor.name if factor.is_Symbol else "" for factor in product.as_ordered_factors()]
    reads = [given.get(name) for name in names if product != 1]
    plain = tuple(access for access in reads if isinstance(access, Access))
    if number.is_Rational and len(plain) == len(reads):
        return Fraction(int(number.p), int(number.q)), plain, ()
    sizes = tuple(size for _, size in step.extents)
    local = Tensor(f"∂{written(step).name}/∂{read.tensor.name}", sizes)
    cell = local[tuple(index(name) for name, _ in step.extents)]
    return Fraction(1), (cell,), (applied(step, cell, partial, step.arguments),)


def partials(step: Elementwise, varying: set[Tensor]) -> list[tuple[str, Access, sympy.Expr]]:
    """Return the name, the read and the partial derivative of each argument that varies."""
    symbols = {symbol.name: symbol for symbol in step.expression.free_symbols}
    return [
        (name, read, derivative(step.expression, symbols[name]))
        for name, read in step.arguments
        if isinstance(read, Access) and read.tensor in varying and name in symbols
    ]


def multiplied(
    step: Elementwise, target: Access, factors: tuple[Argument, ...], expression: sympy.Expr
) -> Elementwise:
    """Return an expression times what is read under each name, at a step's points.

    A name that the step has already gets an underscore: what is read decides, not its name.
    """
    import sympy

    own = {name for name, _ in step.arguments}
    named = [(fresh(name, own), read) for name, read in factors]
    for name, _ in reversed(named):
        expression = times(sympy.Symbol(name, real=True), expression)
    return applied(step, target, expression, (*named, *step.arguments))


def fresh(name: str, taken: Collection[str]) -> str:
    """Return a name that is not taken: with underscores behind it, if need be."""
    while name in taken:
        name += "_"
    return name


def times(factor: sympy.Expr, expression: sympy.Expr) -> sympy.Expr:
    """Multiply, case by case."""
    import sympy

    if isinstance(expression, sympy.Piecewise):
        return sympy.Piecewise(*((times(factor, value), where) for value, where in expression.args))
    return factor * expression


def applied(
    step: Elementwise, target: Access, expression: sympy.Expr, arguments: tuple[Argument, ...]
) -> Elementwise:
    """Return another expression of arguments at a step's points, without those it does not have."""
    names = {symbol.name for symbol in expression.free_symbols}
    kept = tuple(argument for argument in arguments if argument[0] in names)
    return replace(step, target=target, expression=expression, arguments=kept)


def _added(shares: list[Share]) -> list[Step]:
    """Return the steps that add up a gradient's shares."""
    alone = [share.applied for share in shares if share.applied]
    if len(alone) == len(shares) and len({(step.target, step.extents) for step in alone}) == 1:
        return [_together(alone)]
    before = [step for share in shares for step in share.before]
    return [*before, combined(share.contraction for share in shares)]


def _together(steps: list[Elementwise]) -> Elementwise:
    """Return the sum of expressions at the same points, each thing that is read under one name."""
    import sympy

    names: dict[Access | Polynomial, str] = {}
    total = sympy.Integer(0)
    for step in steps:
        for name, read in step.arguments:
            if read not in names:
                taken = names.values()
                fresh = (f"{name}{at or ''}" for at in itertools.count())
                names[read] = next(other for other in fresh if other not in taken)
        renamed = {
            symbol: sympy.Symbol(names[dict(step.arguments)[symbol.name]], **symbol.assumptions0)
            for symbol in step.expression.free_symbols
        }
        total += step.expression.subs(renamed, simultaneous=True)
    arguments = tuple((name, read) for read, name in names.items())
    return replace(steps[0], expression=total, arguments=arguments)
