"""What is to be decided about layers that are sums or maxima: poolings, products, copies."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

from symconv.layers.families import family
from symconv.layers.layer import Layer
from symconv.layers.pool import PoolLayer
from symconv.notation.contraction import Access, Contraction, Factor, Program, Tensor, index
from symconv.notation.graph import Graph
from symconv.notation.names import POSITIONS, TAPS
from symconv.prove import letters, swaps
from symconv.prove.claims import Claim
from symconv.prove.covers import Cover, cover
from symconv.prove.decisions import Decision
from symconv.prove.instances import Proved, proved
from symconv.prove.t7_average import Pool, average, averaged, averages
from symconv.prove.t7_maximum import selected

_COPY = re.compile(r"_[0-9]+$")  # what a tensor's second, third, … read adds to its name


def sum_decisions(layer: Layer) -> list[Decision]:
    """Return what is to be shown of each sum of a layer, by each tensor that varies in it."""
    decisions = []
    pool = layer.pooling
    if pool and not pool.takes_maxima:
        decisions.append(_average(pool))
    return decisions + [_adjoint(layer, at, tensor) for at, tensor in _varying_reads(layer)]


def for_any_batch(layer: Layer) -> list[Proved]:
    """Return the adjointness of each sum of a layer with a letter for the number of samples."""
    found = []
    for at, tensor in _varying_reads(layer.with_batch(2)):
        program = family(layer, partial(_program, at=at))
        reads = [r.tensor for c in program.contractions for r in c.reads]
        by = next(t for t in reads if t.name == tensor.name)
        found.append(proved(swaps.of_any_batch, "T4", f"by {by.name}", program, by))
    return found


def _varying_reads(layer: Layer) -> list[tuple[int, Tensor]]:
    """Return the number of each sum, and each tensor that varies in it."""
    found: list[tuple[int, Tensor]] = []
    varying = {tensor.name for tensor in layer.differentiated.values()}
    for at, step in enumerate(layer.graph.steps):
        if isinstance(step, Program):
            reads = [r.tensor for c in _program(layer, at).contractions for r in c.reads]
            found += [(at, t) for t in dict.fromkeys(reads) if _COPY.sub("", t.name) in varying]
            varying.add(step.target.name)
    return found


def _adjoint(layer: Layer, at: int, tensor: Tensor) -> Decision:
    """Return the adjointness of a step and the swap of a tensor that it reads."""
    name = tensor.name

    def sides(layer: Layer, shift: int = 0) -> tuple[Graph, Graph]:
        program = _program(layer, at)
        (by,) = {r.tensor for c in program.contractions for r in c.reads if r.tensor.name == name}
        left, right = swaps.sides(program, by)
        return left, _shifted(right, shift) if shift else right

    def covers(layer: Layer, own: tuple[Graph, Graph]) -> list[Cover]:
        if pool := layer.pooling:
            make = selected if pool.takes_maxima else averaged
            return [cover(make, (len(pool.windows),), pool_numbers(pool), own, {})]
        program = _program(layer, at)
        return [cover(swaps.adjointness, ("T4", statement, program, tensor), {}, own, {})]

    output = _program(layer, at).target.name
    maximum = any(c.reduce == "max" for c in _program(layer, at).contractions)
    of, _, number = name.partition("_")
    which = f", factor {number} of the product," if number else ""
    statement = f"the gradient ∂E/∂{of}{which} is the adjoint: ⟨{output}, G⟩ = ⟨{of}, ∂E/∂{of}⟩"
    if maximum:
        statement += ", once every window has selected its first maximum"
    theorem = "T7′" if maximum else "T7" if layer.pooling else "T4"
    shifts = [("a read off by one", Claim("off by one", lambda layer: sides(layer, 1)))]
    if not _program(layer, at).target.shape:
        shifts = []  # G is a number
    return Decision(theorem, Claim(statement, sides), covers, shifts)


def _program(layer: Layer, at: int) -> Program:
    """Return a step with its tensors apart: one that a product reads again is X_2 there, numbers κ.

    By the product rule the gradient with respect to X is the sum of those of X, X_2, …
    """
    step = layer.graph.steps[at]
    assert isinstance(step, Program)  # only these are decided
    return Program(tuple(_apart(c, number) for number, c in enumerate(step.contractions)))


def _apart(contraction: Contraction, number: int) -> Contraction:
    factors: list[Factor] = []
    for factor in contraction.factors:
        if isinstance(factor, Access):
            name = factor.tensor.name
            before = [_COPY.sub("", f.tensor.name) for f in factors if isinstance(f, Access)]
            again = f"{name}_{before.count(name) + 1}" if name in before else name
            factor = replace(factor, tensor=replace(factor.tensor, name=again))
        factors.append(factor)
    if contraction.coefficient != 1:
        factors.append(Access(Tensor(f"κ{number}", ()), ()))
    return replace(contraction, factors=tuple(factors), coefficient=1)


def _shifted(graph: Graph, shift: int) -> Graph:
    """Read the cotangent of a gradient's sums off by one along its last axis."""
    back, paired = graph.programs
    moved = tuple(
        replace(
            c,
            factors=tuple(
                replace(r, subscripts=(*r.subscripts[:-1], r.subscripts[-1] + shift))
                if r.tensor.name == "G"
                else r
                for r in c.reads
            ),
        )
        for c in back.contractions
    )
    return Graph((Program(moved), paired))


def _average(layer: PoolLayer) -> Decision:
    statement = (
        "the average is the depthwise correlation with a filter of ones, each position divided by its "
        "divisor"
    )

    def sides(layer: PoolLayer) -> tuple[Graph, Graph]:
        own = Graph((_program(layer, len(layer.graph.steps) - 1),))
        return own, averages(_pool_of(layer))[1]

    def covers(layer: PoolLayer, own: tuple[Graph, Graph]) -> list[Cover]:
        return [cover(average, (len(layer.windows),), pool_numbers(layer), own, {})]

    return Decision("T7", Claim(statement, sides), covers)


def _pool_of(layer: PoolLayer) -> Pool:
    """Return a layer's windows as the theorems have them."""
    rank = len(layer.windows)
    names = zip(POSITIONS[rank], TAPS[rank], layer.windows, strict=True)
    return Pool(
        x=layer.tensors["x"],
        output=layer.graph.output,
        kernel=tuple(w.kernel for w in layer.windows),
        positions=POSITIONS[rank],
        taps=TAPS[rank],
        cells=tuple(index(p) * w.stride + index(k) * w.dilation - w.lo for p, k, w in names),
    )


def pool_numbers(layer: PoolLayer) -> dict[str, int]:
    """Return a pool's number for each letter; its padding at the end has what ceil_mode adds."""
    numbers = {"N": layer.input_shape[0], "C": layer.input_shape[1]}
    return numbers | letters.window_numbers(layer.windows)
