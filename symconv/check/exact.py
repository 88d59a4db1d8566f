"""The emitted code itself, run exactly: on polynomials where they are small, else on integers."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.check.interface import gradient_functions
from symconv.check.report import Result
from symconv.check.values import AGREE, agreement, drawn
from symconv.layers.layer import Layer
from symconv.layers.module_names import upstream_array
from symconv.lower.rounding import integer_growth
from symconv.lower.winograd import Winograd
from symconv.notation.arrays import evaluate_arrays
from symconv.notation.backpropagation import gradient, gradient_of
from symconv.notation.contraction import Program, Tensor
from symconv.notation.evaluate import evaluate
from symconv.notation.graph import Constant, Graph, written
from symconv.notation.monomials import term_count
from symconv.notation.polynomial import Monomial, Number, Polynomial
from symconv.notation.tangent import tangent_of
from symconv.notation.text import number_text
from symconv.targets.numpy.plan import plan_layer

MOST_TERMS = 40_000  # products that are run on polynomials
MOST_WORK = 12_000_000  # and their sums' lengths, summed: adding to a polynomial copies it
TRIALS = 2  # at least
CHANCE = 1e-3  # that code of another polynomial passes, at the most
TRANSFORMED = 100  # times the work, where each product is one of transformed numbers
FAR = 1 << 20  # below -this no padding's number should win a maximum
SMALL = 8  # integers to this size leave results of transforms far less than 1/2 from integers
FEW_CELLS = 64  # results of fewer elements are computed again
FEW = 2  # integers to this size meet their equals

Array = NDArray[Any]
Loader = Callable[[object], ModuleType]


@dataclass(frozen=True)
class Expected:
    """What a module must return: the output, its change, and the gradients of E and of ⟨G, dO⟩.

    ``change`` is None for a module without derivatives of second order.
    """

    output: Array
    gradients: dict[str, Array]
    change: Array | None = None
    second: dict[str, Array] = field(default_factory=dict)


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
    return _compare(
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
    gradients = _gradients(layer)
    graphs = [layer.graph, *gradients.values()]
    has_second = hasattr(module, "jvp")
    if has_second:
        graphs += [
            layer.tangent(),
            *(layer.second().only(gradient_of(t).name) for t in layer.differentiated.values()),
        ]
    scale, growth = _of_fast(layer, 2 if has_second else 1) if hasattr(module, "ACCURACY") else ({}, 1)
    growth = max(growth, math.prod(scale.values()) * max(map(_longest_sum, graphs)))
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
    tensors = {**layer.tensors, "grad_output": layer.cotangent}
    if has_second:
        tensors |= {f"d{name}": tangent_of(tensor) for name, tensor in layer.differentiated.items()}
    for low, high in bounds:
        values: dict[str, Array] = {
            name: scale.get(name.removeprefix("d"), 1)
            * divisor
            * rng.integers(low, high, tensor.sizes, endpoint=True).astype(np.float64)
            for name, tensor in tensors.items()
        }
        arrays = {tensor.name: values[name] for name, tensor in tensors.items()}
        whole = [np.rint(evaluate_arrays(graph, arrays)) for graph in graphs]  # of 3, a third is whole
        output, *found = whole
        expected = Expected(output, dict(zip(gradients, found, strict=False)))
        if has_second:
            change, *second = found[len(gradients) :]
            by_inputs = dict(zip(gradients, second, strict=True))
            expected = replace(expected, change=change, second=by_inputs)
        results = _compare(layer, module, values, expected, detail, transforms)
        failed |= {result.name: result for result in results if not result.passed}
    return tuple(failed.get(result.name, result) for result in results)


def _in_float64(layer: Layer, module: ModuleType, divisor: int) -> tuple[Result, ...]:
    """Compare in float64 where the numbers of a filter leave no room for sums that are exact."""
    point = drawn(layer, np.random.default_rng(0), np.float64)
    chain_rule = {name: layer.gradient(name) for name in layer.differentiable}
    found = agreement(layer, module, point, layer.graph, chain_rule, AGREE["float64"])
    why = f"no integers: the layer's numbers are multiples of 1/{divisor:.0e}"
    return tuple(replace(result, detail=f"{result.detail}; {why}") for result in found)


def _of_fast(layer: Layer, order: int) -> tuple[dict[str, int], int]:
    """Return what Winograd's transforms may divide inputs by, and how large their integers get."""
    scale: dict[str, int] = {}
    growth = 1
    for function in plan_layer(layer, order, "fast").functions:
        for candidate in (candidate for choice in function.choices for candidate in choice):
            algorithm = candidate.algorithm
            if not isinstance(algorithm, Winograd):
                continue
            growth = max(growth, integer_growth(algorithm))
            taps = algorithm.correlation.taps
            for name in layer.tensors if algorithm.correlation.result != "taps" else ():
                if taps in (name, f"t{name}", upstream_array(name)):
                    whole = math.prod(f.divisor for f in algorithm.filtering)
                    scale[name] = math.lcm(whole, scale.get(name, 1))
    return scale, growth


def _gradients(layer: Layer) -> dict[str, Graph]:
    cotangent = layer.cotangent
    return {
        name: gradient(layer.graph, tensor, cotangent) for name, tensor in layer.differentiated.items()
    }


def exact_range(graphs: Sequence[Graph], growth: int = 1) -> tuple[int, int, int]:
    """Return how large integers with exact sums may be, what divides them, and the sums' degree.

    ``growth`` is how large the code's own integers get, if these are larger than the sums'.
    """
    longest, divisor = max(map(_longest_sum, graphs)), math.lcm(*map(_divisor, graphs))
    longest = max(longest, growth)
    degree = max(2, *map(_degree, graphs))
    largest = math.isqrt(2**52 // longest) if degree == 2 else int((2**51 / longest) ** (1 / degree))
    return largest // divisor, divisor, degree


def _degree(graph: Graph) -> int:
    """Return how many inputs' elements a product has at the most; selections are 0 or 1."""
    degrees: dict[str, int] = {}
    for step in graph.steps:
        if isinstance(step, Program):
            products = (sum(degrees.get(r.tensor.name, 1) for r in c.reads) for c in step.contractions)
            degrees[step.target.name] = max(products, default=0)
        else:
            degrees[written(step).name] = 0
    return degrees[graph.output.name]


def _longest_sum(graph: Graph) -> int:
    """Bound the number of products in any one sum of a graph, those with large numbers as so many."""
    bound = 1  # sums of sums: the lengths multiply
    for step in graph.steps:
        longest = 1
        if isinstance(step, Constant):
            longest = max(1, *(math.ceil(abs(Fraction(value))) for value in step.values))
        for c in step.contractions if isinstance(step, Program) else ():
            single = {s.variables[0] for s in c.target.subscripts if len(s.variables) == 1}
            terms = math.prod(size for name, size in c.ranges.items() if name not in single)
            longest += terms * max(1, math.ceil(abs(Fraction(c.number))))
        bound *= longest
    return bound


def _divisor(graph: Graph) -> int:
    """Return what numbers must be multiples of so that no division of the graph leaves a rest."""
    divisor = 1
    for step in graph.steps:
        if isinstance(step, Constant):
            divisor *= math.lcm(*(Fraction(value).denominator for value in step.values))
        elif isinstance(step, Program):
            divisor *= math.lcm(*(Fraction(c.number).denominator for c in step.contractions))
    return divisor


def _compare(
    layer: Layer,
    module: ModuleType,
    values: dict[str, Array],
    expected: Expected,
    detail: str,
    transforms: Collection[str] = (),
) -> tuple[Result, ...]:
    """Call every function of a module and compare what it returns; round what transforms give."""

    def rounded(name: str, array: Array) -> Array:
        return np.asarray(np.rint(array)) if name in transforms else array

    def marked(result: Result) -> Result:
        if result.name not in transforms:
            return result
        return replace(result, method="numeric", detail=f"rounded to integers: {result.detail}")

    inputs = [values[name] for name in layer.tensors]
    cotangent = values["grad_output"]
    output, gradients = expected.output, expected.gradients
    forward = rounded("forward", module.forward(*inputs, out=_unwritten(output)))
    results = [_result("forward", forward, output, detail)]
    for function in gradient_functions(layer, module):
        arguments = [values[name] for name in function.arguments]
        by = function.by
        out = _unwritten(gradients[by])
        received = rounded(function.name, getattr(module, function.name)(*arguments, out=out))
        results.append(_result(function.name, received, gradients[by], detail))
    outs = tuple(map(_unwritten, gradients.values()))
    together = [rounded("backward", a) for a in module.backward(cotangent, *inputs, out=outs)]
    wrong = _first_wrong(together, gradients)
    verdict = "returns the same gradients together"
    results.append(Result("backward", "exact", wrong is None, wrong or verdict))
    if expected.change is not None:
        changes = [values[f"d{name}"] for name in gradients]
        out = _unwritten(expected.change)
        received = rounded("jvp", module.jvp(*inputs, *changes, out=out))
        results.append(_result("jvp", received, expected.change, detail))
        every = {"grad_output": expected.change, **expected.second}
        outs = tuple(map(_unwritten, every.values()))
        second = module.double_backward(*changes, cotangent, *inputs, out=outs)
        wrong = _first_wrong([rounded("double_backward", array) for array in second], every)
        size = sum(array.size for array in every.values())
        result = Result("double_backward", "exact", wrong is None, wrong or detail.format(size))
        results.append(result)
    return tuple(map(marked, results))


def _first_wrong(received: Sequence[Array], expected: Mapping[str, Array]) -> str | None:
    """Return how gradients differ from the expected ones, in words; None if they do not."""
    if len(received) != len(expected):
        return f"returns {len(received)} arrays, expected {len(expected)}"
    for (name, wanted), array in zip(expected.items(), received, strict=True):
        difference = _first_difference(array, wanted)
        if difference:
            return f"gradient with respect to {name} {difference}"
    return None


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
        cells = np.ndindex(expected.shape)
        cell = next((c for c in cells if received[c] is None or received[c] - expected[c]), None)
    if cell is None:
        return None
    if received[cell] is None:
        return f"at {list(cell)}: nothing is written"
    if isinstance(expected[cell], Polynomial):
        return f"at {list(cell)}: {_terms_that_differ(received[cell], expected[cell])}"
    return f"at {list(cell)}: {received[cell]}, expected {expected[cell]}"


def _terms_that_differ(received: Polynomial | Number, expected: Polynomial) -> str:
    """Say which term is missing, not expected, or has another coefficient, and how many more are."""
    ours, theirs = Polynomial.lift(received).terms, expected.terms
    unequal = [m for m in {**theirs, **ours} if ours.get(m, 0) != theirs.get(m, 0)]
    first = unequal[0]
    has, wanted = (Fraction(terms.get(first, 0)) for terms in (ours, theirs))
    if not has:
        text = f"the term {Polynomial({first: wanted})} is missing"
    elif not wanted:
        text = f"the term {Polynomial({first: has})} is not expected"
    else:
        times = f" of {'*'.join(first)}" if first else ""
        text = f"the coefficient{times} is {number_text(has)}, expected {number_text(wanted)}"
    more = len(unequal) - 1
    return f"{text}; {more} more term{'s' * (more > 1)} differ{'s' * (more == 1)}" if more else text


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
