"""What several theorems state: a convolution's own sum, its gradients' forms, inner products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from symconv.derive.forms import (
    FilterCorrelation,
    FullConvolution,
    filter_correlation,
    full_convolution,
    full_convolution_substitutions,
    strided_correlation,
)
from symconv.layers.roles import Roles, correlation, with_bias
from symconv.notation.backpropagation import gradient, gradient_of
from symconv.notation.contraction import Contraction, Program, Size, Tensor, index
from symconv.notation.graph import Graph
from symconv.notation.names import CELLS, INDICES, POSITIONS, TAPS
from symconv.notation.polynomial import Polynomial
from symconv.notation.substitution import Substitution
from symconv.prove import letters
from symconv.prove.certificate import Context

SAME = Substitution()


TOTAL = Tensor("E", ())


def forward(roles: Roles[Size], bias: bool = False) -> Graph:
    """Return the layer's own sum, into O."""
    output = Tensor("O", roles.output.shape)
    contraction = correlation(roles.reading(output))
    if bias:
        return Graph((with_bias(contraction, Tensor("b", output.shape[1:2])),))
    return Graph((Program((contraction,)),))


def natural_numbers(numbers: letters.Numbers) -> letters.Numbers:
    """Return the number of taps that fit beyond the filter's, and what remains."""
    return {"f": numbers["r"] // numbers["d"], "e": numbers["r"] % numbers["d"]}


def natural_size(rank: int) -> Context:
    """Return what is assumed for T1: f = ⌊r/d⌋ and its remainder e, besides the windows."""
    return letters.context(
        rank,
        natural_numbers,
        least=lambda a: (a["f"], a["e"], a["d"] - 1 - a["e"]),
        zeros=lambda a: (a["r"] - a["d"] * a["f"] - a["e"],),
    )


def weight_form(roles: Roles[Polynomial]) -> Graph:
    """Return ∂E/∂F as a correlation of natural size K + f, cropped to K."""
    along = zip(roles.windows, letters.axes(roles.rank, ("f",)), strict=True)
    forms = [FilterCorrelation(w.dilation, w.stride, w.lo, w.kernel + a["f"]) for w, a in along]
    return Graph((filter_correlation(roles, forms),))


def input_form(roles: Roles[Polynomial]) -> Graph:
    """Return ∂E/∂X as a full convolution; of a transposed convolution, as a correlation."""
    if roles.transposed:
        return Graph((strided_correlation(roles),))
    return full_convolution_form(roles)


def full_convolution_form(roles: Roles[Polynomial]) -> Graph:
    """Return the full convolution of what is zero-upsampled with the rotated filter."""
    along = zip(roles.windows, letters.axes(roles.rank), strict=True)
    forms = [
        FullConvolution(w.stride, w.dilation, w.reach - w.lo, w.reach - w.hi + a["r"]) for w, a in along
    ]
    return full_convolution(roles, forms)


def substitutions(roles: Roles[Polynomial]) -> tuple[Substitution, Substitution]:
    """Return how the swapped sum's terms are those of ∂E/∂X's form."""
    return (SAME, SAME) if roles.transposed else full_convolution_substitutions(roles)


def inner(graph: Graph, *pairs: tuple[Tensor, Tensor, Sequence[str]]) -> Graph:
    """Add E, the sum of inner products of two tensors each, at indices of these names."""
    sums = [
        Contraction(
            target=TOTAL[()],
            factors=(one[tuple(map(index, names))], other[tuple(map(index, names))]),
            extents=tuple(zip(names, one.shape, strict=True)),
        )
        for one, other, names in pairs
    ]
    return Graph((*graph.steps, Program(tuple(sums))))


def names_of(roles: Roles[Size], tensor: Tensor) -> tuple[str, ...]:
    """Return what the indices of a whole tensor are called."""
    if tensor == roles.taps:
        return (*roles.letters, *TAPS[roles.rank])
    if tensor == roles.positions:
        return ("n", roles.letters[0], *POSITIONS[roles.rank])
    return ("n", roles.letters[1], *CELLS[roles.rank])


def paired(
    roles: Roles[Size], graph: Graph, form: Graph, tensor: Tensor, bias: bool
) -> tuple[Graph, Graph]:
    """Return ⟨O, G⟩, of what a graph computes, and ⟨T, ∂E/∂T⟩, of what a form computes."""
    pairs = [(tensor, gradient_of(tensor), names_of(roles, tensor))]
    if bias:
        b = Tensor("b", graph.output.shape[1:2])
        form = Graph((*form.steps, *gradient(graph, b, roles.output).steps))
        pairs.append((b, gradient_of(b), ("o",)))
    left = inner(graph, (graph.output, roles.output, names_of(roles, roles.output)))
    return left, inner(form, *pairs)


def primed(values: Mapping[str, Polynomial], more: str = "") -> dict[str, Polynomial]:
    """Write values in indices with one prime more, and their names with more."""
    names = {name for value in values.values() for name in value.variables}
    own = {name: index(f"{name}'") for name in names if name.rstrip("'") in INDICES}
    return {name + more: value.substitute(own) for name, value in values.items()}
