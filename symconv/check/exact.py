"""The emitted code itself, run exactly: on polynomials where they are small, else on integers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.check.exact_range import exact_range, longest_sum
from symconv.check.expected import Expected, compare_functions, expected_of, graphs_of, tensors_of
from symconv.check.interface import module_target
from symconv.check.report import Result
from symconv.check.ring import check_in_ring, has_whole_numbers, spoilt_workspace
from symconv.check.values import AGREE, agreement, drawn
from symconv.layers.layer import Layer
from symconv.layers.module_names import upstream_array
from symconv.lower.layer_plan import Plan
from symconv.lower.rounding import integer_growth
from symconv.lower.tiles import Filtered
from symconv.notation.arrays import evaluate_arrays
from symconv.notation.contraction import Program, Tensor
from symconv.notation.evaluate import evaluate
from symconv.notation.graph import Constant, Graph
from symconv.notation.monomials import term_count
from symconv.notation.polynomial import Monomial, Number, Polynomial
from symconv.notation.tangent import tangent_of
from symconv.targets.c.plan import plan_in_c
from symconv.targets.numpy.plan import plan_layer

MOST_TERMS = 40_000  # products that are run on polynomials
MOST_WORK = 12_000_000  # and their sums' lengths, summed: adding to a polynomial copies it
MOST_IN_RING = 300_000_000  # products that are run on integers of 64 bits: some seconds
TRIALS = 2  # at least
CHANCE = 1e-3  # that code of another polynomial passes, at the most
TRANSFORMED = 100  # times the work, where each product is one of transformed numbers
FAR = 1 << 20  # below -this no padding's number should win a maximum
SMALL = 8  # integers to this size leave results of transforms far less than 1/2 from integers
WHOLE = 1e-3  # what a number that is rounded may be from an integer
FEW_CELLS = 64  # results of fewer elements are computed again
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
    transforms = functions_with_transforms(load(None))
    terms = term_count(layer.graph)
    if module_target(load(None)) == "c":
        plain = is_linear(layer.graph) and not hasattr(load(None), "ACCURACY")
        in_ring = plain and has_whole_numbers(layer) and terms <= MOST_IN_RING
        with spoilt_workspace(load(np.int64 if in_ring else np.float64)) as module:
            return check_in_ring(layer, module) if in_ring else _on_integers(layer, module, transforms)
    longest = max(terms // math.prod(tensor.sizes) + 1 for tensor in layer.tensors.values())
    work = terms * longest * (TRANSFORMED if hasattr(load(None), "ACCURACY") else 1)
    if is_linear(layer.graph) and terms <= MOST_TERMS and work <= MOST_WORK and not transforms:
        return _on_polynomials(layer, load(object))
    return _on_integers(layer, load(np.float64), transforms)


def functions_with_transforms(module: ModuleType) -> set[str]:
    """Return the functions that compute with Fourier transforms, or call one that does."""
    names = {
        name: set(function.__code__.co_names)
        for name, function in vars(module).items()
        if isinstance(function, FunctionType)
    }
    own = {name for name, used in names.items() if "fft" in used}
    return own | {name for name, used in names.items() if used & own}


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
    expected = Expected(output, _by_inputs(layer, output, values["grad_output"]))
    if hasattr(module, "jvp"):
        values |= {f"d{name}": _variables(tangent_of(t)) for name, t in layer.differentiated.items()}
        change = _changes(layer, output)
        second = _by_inputs(layer, change, values["grad_output"])
        expected = replace(expected, change=change, second=second)
    return compare_functions(
        layer, module, values, expected, "for all numbers: polynomials of {} elements compared"
    )


def _by_inputs(layer: Layer, output: Array, cotangent: Array) -> dict[str, Array]:
    """Return the derivatives of E = Σ G·O by every element of the inputs."""
    gradients = _derivatives(output, cotangent)
    return {
        name: _filled(tensor.sizes, [gradients.get(v, Polynomial({})) for v in _names(tensor)])
        for name, tensor in layer.differentiated.items()
    }


def _changes(layer: Layer, output: Array) -> Array:
    """Return the change of each element of the output: its derivatives, times the changes of inputs."""
    to = {
        name: Polynomial.variable(change)
        for tensor in layer.differentiated.values()
        for name, change in zip(_names(tensor), _names(tangent_of(tensor)), strict=True)
    }
    changes = [
        sum(
            (by * to[n] for n, by in Polynomial.lift(element).derivatives().items() if n in to),
            Polynomial({}),
        )
        for element in output.flat
    ]
    return _filled(output.shape, changes)


def _on_integers(layer: Layer, module: ModuleType, transforms: set[str]) -> tuple[Result, ...]:
    """Run the code on random integers small enough that every sum in float64 is exact.

    What transforms give is rounded to integers; this is no exact check, and reported as numeric.
    """
    has_second = hasattr(module, "jvp")
    graphs = graphs_of(layer, has_second)
    scale, growth = _of_fast(layer, module) if hasattr(module, "ACCURACY") else ({}, 1)
    growth = max(growth, math.prod(scale.values()) * max(map(longest_sum, graphs)))
    span, divisor, degree = exact_range(graphs, growth)
    span = min(span, SMALL) if transforms else span
    if span < 1:
        return _in_float64(layer, module, divisor)
    rng = np.random.default_rng(0)
    failed: dict[str, Result] = {}
    results: tuple[Result, ...] = ()
    if is_linear(layer.graph):
        once = degree / (2 * span + 1)
        trials = max(TRIALS, math.ceil(math.log(CHANCE) / math.log(once)))
        bounds = [(-span, span)] * trials
        chance = once**trials
        detail = (
            f"integers to ±{span}, sums exact in float64, {trials} trials, {{}} elements each: "
            f"code of another polynomial of degree {degree} passes with probability below {chance:.0e}"
        )
    else:
        bounds = [(-span, span), (-FEW, FEW), (-FEW, -1)] * max(
            1, FEW_CELLS // math.prod(layer.output_shape)
        )
        if len(layer.tensors) == 1:  # else products of such numbers would be too large
            bounds.append((-FAR - FEW, -FAR))
        detail = (
            f"integers to ±{span}, sums exact in float64, then to ±{FEW}, with many ties, then below 0, "
            f"and -{FAR}: {len(bounds)} trials, {{}} elements each"
        )
    tensors = tensors_of(layer, has_second)
    for low, high in bounds:
        values: dict[str, Array] = {
            name: scale.get(name.removeprefix("d"), 1)
            * divisor
            * rng.integers(low, high, tensor.sizes, endpoint=True).astype(np.float64)
            for name, tensor in tensors.items()
        }
        arrays = {tensor.name: values[name] for name, tensor in tensors.items()}
        whole = [_rounded(evaluate_arrays(graph, arrays)) for graph in graphs]  # of 3, a third is whole
        expected = expected_of(layer, whole)
        results = compare_functions(layer, module, values, expected, detail, transforms)
        failed |= {result.name: result for result in results if not result.passed}
    return tuple(failed.get(result.name, result) for result in results)


def _in_float64(layer: Layer, module: ModuleType, divisor: int) -> tuple[Result, ...]:
    """Compare in float64 where the numbers of a filter leave no room for sums that are exact."""
    point = drawn(layer, np.random.default_rng(0), np.float64)
    chain_rule = {name: layer.gradient(name) for name in layer.differentiable}
    found = agreement(layer, module, point, layer.graph, chain_rule, AGREE["float64"])
    why = f"no integers: the layer's numbers are multiples of 1/{divisor:.0e}"
    return tuple(replace(result, detail=f"{result.detail}; {why}") for result in found)


def _of_fast(layer: Layer, module: ModuleType) -> tuple[dict[str, int], int]:
    """Return what Winograd's transforms may divide inputs by, and how large their integers get."""
    scale: dict[str, int] = {}
    growth = 1
    planned = plan_in_c if module_target(module) == "c" else plan_layer
    plan = planned(layer, 2 if hasattr(module, "jvp") else 1, "fast")
    assert isinstance(plan, Plan)  # networks are checked layer by layer
    for function in plan.functions:
        for candidate in (candidate for choice in function.choices for candidate in choice):
            algorithm = candidate.algorithm
            if not isinstance(algorithm, Filtered):
                continue
            growth = max(growth, integer_growth(algorithm))
            taps = algorithm.correlation.taps
            for name in layer.tensors if algorithm.correlation.result != "taps" else ():
                if taps in (name, f"t{name}", upstream_array(name)):
                    whole = math.prod(f.divisor for f in algorithm.filtering)
                    scale[name] = math.lcm(whole, scale.get(name, 1))
    return scale, growth


def _rounded(array: Array) -> Array:
    """Return numbers as what they are but for their rounding, if that is whole."""
    whole = np.rint(array)
    return np.where(np.abs(array - whole) < WHOLE, whole, array)


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
