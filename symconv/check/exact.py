"""The emitted code itself, run exactly: on polynomials where they are small, else on integers."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.check.report import Result
from symconv.layers.layer import Layer
from symconv.notation.arrays import evaluate_arrays
from symconv.notation.backpropagation import gradient
from symconv.notation.contraction import Program, Tensor
from symconv.notation.evaluate import evaluate
from symconv.notation.graph import Constant, Graph
from symconv.notation.monomials import term_count
from symconv.notation.polynomial import Monomial, Number, Polynomial
from symconv.plan.layer import plan_layer

MOST_TERMS = 40_000  # products that are run on polynomials
MOST_WORK = 12_000_000  # and their sums' lengths, summed: adding to a polynomial copies it
TRIALS = 2
FEW = 2  # integers to this size meet their equals

Array = NDArray[Any]
Loader = Callable[[object], ModuleType]


def check_exactly(layer: Layer, load: Loader) -> tuple[Result, ...]:
    """Compare a module's functions with the layer's own sums and maxima, exactly.

    Parameters
    ----------
    layer
        The layer.
    load
        Returns the module, unchanged but for ``DTYPE``, which it sets to its argument.
    """
    terms = term_count(layer.graph)
    longest = max(terms // math.prod(tensor.sizes) + 1 for tensor in layer.tensors.values())
    if is_linear(layer.graph) and terms <= MOST_TERMS and terms * longest <= MOST_WORK:
        return _on_polynomials(layer, load(object))
    return _on_integers(layer, load(np.float64))


def is_linear(graph: Graph) -> bool:
    """Whether a graph has sums of products only."""
    contractions = [c for step in graph.steps if isinstance(step, Program) for c in step.contractions]
    others = [step for step in graph.steps if not isinstance(step, Program | Constant)]
    return not others and all(c.reduce == "sum" for c in contractions)


def _on_polynomials(layer: Layer, module: ModuleType) -> tuple[Result, ...]:
    """Run the code on a variable for each element: equal polynomials prove it for its sizes."""
    tensors = {**layer.tensors, "grad_output": layer.cotangent}
    values = {name: _variables(tensor) for name, tensor in tensors.items()}
    inputs = {tensor.name: values[name] for name, tensor in layer.tensors.items()}
    output = evaluate(layer.graph, inputs)[layer.graph.output.name]
    gradients = _derivatives(output, values["grad_output"])
    expected = {
        name: _filled(tensor.sizes, [gradients.get(v, Polynomial({})) for v in _names(tensor)])
        for name, tensor in layer.tensors.items()
    }
    return _compare(
        layer, module, values, output, expected, "for all numbers: polynomials of {} elements compared"
    )


def _on_integers(layer: Layer, module: ModuleType) -> tuple[Result, ...]:
    """Run the code on random integers small enough that every sum in float64 is exact."""
    gradients = _gradients(layer)
    graphs = [layer.graph, *gradients.values()]
    longest, divisor = max(map(_longest_sum, graphs)), math.lcm(*map(_divisor, graphs))
    span = math.isqrt(2**52 // longest) // divisor
    rng = np.random.default_rng(0)
    failed: dict[str, Result] = {}
    results: tuple[Result, ...] = ()
    if is_linear(layer.graph):
        spans = [span] * TRIALS
        chance = (2 / (2 * span + 1)) ** TRIALS
        detail = (
            f"integers to ±{span}, sums exact in float64, {TRIALS} trials, {{}} elements each: "
            f"code of another polynomial of degree 2 passes with probability below {chance:.0e}"
        )
    else:
        spans = [span, FEW]
        detail = (
            f"integers to ±{span}, sums exact in float64, then to ±{FEW}, with many ties: "
            "{} elements each"
        )
    for span in spans:
        tensors = {**layer.tensors, "grad_output": layer.cotangent}
        values: dict[str, Array] = {
            name: divisor * rng.integers(-span, span, tensor.sizes, endpoint=True).astype(np.float64)
            for name, tensor in tensors.items()
        }
        arrays = {tensor.name: values[name] for name, tensor in tensors.items()}
        output = np.rint(evaluate_arrays(layer.graph, arrays))  # a multiple of 3, times 1/3, is whole
        expected = {name: np.rint(evaluate_arrays(graph, arrays)) for name, graph in gradients.items()}
        results = _compare(layer, module, values, output, expected, detail)
        failed |= {result.name: result for result in results if not result.passed}
    return tuple(failed.get(result.name, result) for result in results)


def _gradients(layer: Layer) -> dict[str, Graph]:
    cotangent = layer.cotangent
    return {name: gradient(layer.graph, tensor, cotangent) for name, tensor in layer.tensors.items()}


def _longest_sum(graph: Graph) -> int:
    """Bound the number of products in any one sum of a graph."""
    bound = 1  # sums of sums: the lengths multiply
    for step in graph.steps:
        longest = 1
        for c in step.contractions if isinstance(step, Program) else ():
            single = {s.variables[0] for s in c.target.subscripts if len(s.variables) == 1}
            longest += math.prod(size for name, size in c.ranges.items() if name not in single)
        bound *= longest
    return bound


def _divisor(graph: Graph) -> int:
    """Return what numbers must be multiples of so that no division of the graph leaves a rest."""
    divisor = 1
    for step in graph.steps:
        if isinstance(step, Constant):
            divisor *= math.lcm(*(Fraction(value).denominator for value in step.values))
    return divisor


def _compare(
    layer: Layer,
    module: ModuleType,
    values: dict[str, Array],
    output: Array,
    gradients: dict[str, Array],
    detail: str,
) -> tuple[Result, ...]:
    """Call every function of a module and compare what it returns."""
    inputs = [values[name] for name in layer.tensors]
    cotangent = values["grad_output"]
    results = [_result("forward", module.forward(*inputs, out=_unwritten(output)), output, detail)]
    for function in plan_layer(layer).gradients:
        arguments = [values[array.name] for array in function.inputs]
        (by,) = function.by
        out = _unwritten(gradients[by])
        received = getattr(module, function.name)(*arguments, out=out)
        results.append(_result(function.name, received, gradients[by], detail))
    together = module.backward(cotangent, *inputs)
    verdict = "returns the same gradients together"
    wrong = None
    if len(together) != len(gradients):
        wrong = f"returns {len(together)} arrays, expected {len(gradients)}"
    for (name, wanted), received in zip(gradients.items(), together, strict=False):
        difference = _first_difference(received, wanted)
        wrong = wrong or (difference and f"gradient by {name} {difference}")
    results.append(Result("backward", "exact", wrong is None, wrong or verdict))
    return tuple(results)


def _unwritten(like: Array) -> Array:
    """Return an array to write into: an element that is not written must not be right by chance."""
    return np.full(like.shape, None if like.dtype == object else np.nan, like.dtype)


def _result(name: str, received: Array, expected: Array, detail: str) -> Result:
    difference = _first_difference(received, expected)
    text = difference or detail.format(expected.size)
    return Result(name, "exact", difference is None, text)


def _first_difference(received: Array, expected: Array) -> str | None:
    """Return the first cell in which two arrays differ, in words; None if they are equal."""
    if received.shape != expected.shape:
        return f"shape {received.shape}, expected {expected.shape}"
    if received.dtype != object:
        unequal = np.argwhere(received != expected)
        cell = tuple(map(int, unequal[0])) if len(unequal) else None
    else:
        cell = next((c for c in np.ndindex(expected.shape) if received[c] != expected[c]), None)
    if cell is None:
        return None
    if received[cell] is None:
        return f"at {list(cell)}: nothing is written"
    if isinstance(expected[cell], Polynomial):
        return f"at {list(cell)}: has {_shortened(received[cell] - expected[cell])} too much"
    return f"at {list(cell)}: {received[cell]}, expected {expected[cell]}"


def _shortened(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _derivatives(output: Array, cotangent: Array) -> dict[str, Polynomial]:
    """Return the derivatives of E = Σ G·O by every variable, in one pass over its terms."""
    terms: dict[Monomial, Number] = {}
    for g, element in zip(cotangent.flat, output.flat, strict=True):
        for monomial, factor in (g * element).terms.items():
            terms[monomial] = terms.get(monomial, 0) + factor
    return Polynomial(terms).derivatives()


def _names(tensor: Tensor) -> list[str]:
    return [f"{tensor.name}[{','.join(map(str, cell))}]" for cell in np.ndindex(tensor.sizes)]


def _variables(tensor: Tensor) -> Array:
    return _filled(tensor.sizes, [Polynomial.variable(name) for name in _names(tensor)])


def _filled(shape: tuple[int, ...], elements: list[Polynomial]) -> Array:
    array = np.empty(math.prod(shape), dtype=object)
    array[:] = elements
    return array.reshape(shape)
