"""The emitted code itself, run exactly: on polynomials where they are small, else on integers."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.check.reference import evaluate_arrays
from symconv.check.report import Result
from symconv.derive.forms import swapped
from symconv.layers.conv import ConvLayer
from symconv.notation.contraction import Program, Tensor
from symconv.notation.evaluate import evaluate
from symconv.notation.monomials import term_count
from symconv.notation.polynomial import Monomial, Number, Polynomial
from symconv.plan.layer import FUNCTIONS, READS

MOST_TERMS = 40_000  # products that are run on polynomials
MOST_WORK = 12_000_000  # and their sums' lengths, summed: adding to a polynomial copies it
TRIALS = 2

Array = NDArray[Any]
Loader = Callable[[object], ModuleType]


def check_exactly(layer: ConvLayer, load: Loader) -> tuple[Result, ...]:
    """Compare a module's functions with the layer's programs, exactly.

    Parameters
    ----------
    layer
        The layer.
    load
        Returns the module, unchanged but for ``DTYPE``, which it sets to its argument.
    """
    terms = term_count(layer.graph)
    factors = [layer.tensors["x"], layer.tensors["weight"]]
    longest = max(terms // math.prod(tensor.sizes) + 1 for tensor in factors)
    if terms <= MOST_TERMS and terms * longest <= MOST_WORK:
        return _on_polynomials(layer, load(object))
    return _on_integers(layer, load(np.float64))


def _on_polynomials(layer: ConvLayer, module: ModuleType) -> tuple[Result, ...]:
    """Run the code on a variable for each element: equal polynomials prove it for its sizes."""
    tensors = {**layer.tensors, "grad_output": Tensor("G", layer.output_shape)}
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


def _on_integers(layer: ConvLayer, module: ModuleType) -> tuple[Result, ...]:
    """Run the code on random integers small enough that every sum in float64 is exact."""
    longest = max(_longest_sums(layer))
    span = math.isqrt(2**52 // longest)
    rng = np.random.default_rng(0)
    failed: dict[str, Result] = {}
    results: tuple[Result, ...] = ()
    chance = (2 / (2 * span + 1)) ** TRIALS
    detail = (
        f"integers to ±{span}, sums exact in float64, {TRIALS} trials, {{}} elements each: "
        f"code of another polynomial of degree 2 passes with probability below {chance:.0e}"
    )
    for _ in range(TRIALS):
        tensors = {**layer.tensors, "grad_output": Tensor("G", layer.output_shape)}
        values: dict[str, Array] = {
            name: rng.integers(-span, span, tensor.sizes, endpoint=True).astype(np.float64)
            for name, tensor in tensors.items()
        }
        arrays = {tensor.name: values[name] for name, tensor in tensors.items()}
        output = evaluate_arrays(layer.graph, arrays)
        expected = {name: evaluate_arrays(swapped(layer, name), arrays) for name in layer.tensors}
        results = _compare(layer, module, values, output, expected, detail)
        failed |= {result.name: result for result in results if not result.passed}
    return tuple(failed.get(result.name, result) for result in results)


def _longest_sums(layer: ConvLayer) -> list[int]:
    """Bound the number of products in any one sum of a layer or its gradients."""
    bounds = []  # sums of sums: the lengths multiply
    for graph in (layer.graph, *(swapped(layer, name) for name in layer.tensors)):
        bound = 1
        for step in graph.steps:
            assert isinstance(step, Program)  # the layers checked here are linear
            longest = 0
            for c in step.contractions:
                single = {s.variables[0] for s in c.target.subscripts if len(s.variables) == 1}
                longest += math.prod(size for name, size in c.ranges.items() if name not in single)
            bound *= longest
        bounds.append(bound)
    return bounds


def _compare(
    layer: ConvLayer,
    module: ModuleType,
    values: dict[str, Array],
    output: Array,
    gradients: dict[str, Array],
    detail: str,
) -> tuple[Result, ...]:
    """Call every function of a module and compare what it returns."""
    inputs = [values[name] for name in layer.tensors]
    cotangent = values["grad_output"]
    results = [_result("forward", module.forward(*inputs), output, detail)]
    for name, function in FUNCTIONS.items():
        if name in layer.tensors:
            arguments = [values[other] for other in READS[name]]
            received = getattr(module, function)(cotangent, *arguments)
            results.append(_result(function, received, gradients[name], detail))
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
