"""What a module of a layer must return, and the comparison of all of its functions with that."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.check.interface import gradient_functions
from symconv.check.report import Result
from symconv.layers.layer import Layer
from symconv.notation.backpropagation import gradient, gradient_of
from symconv.notation.contraction import Tensor
from symconv.notation.graph import Graph
from symconv.notation.polynomial import Number, Polynomial
from symconv.notation.tangent import tangent_of
from symconv.notation.text import number_text

Array = NDArray[Any]


@dataclass(frozen=True)
class Expected:
    """What a module must return: the output, its change, and the gradients of E and of ⟨G, dO⟩.

    ``change`` is None for a module without derivatives of second order.
    """

    output: Array
    gradients: dict[str, Array]
    change: Array | None = None
    second: dict[str, Array] = field(default_factory=dict)


def graphs_of(layer: Layer, has_second: bool) -> list[Graph]:
    """Return what a module computes: the output and the gradients, then the derivatives of these."""
    graphs = [layer.graph, *gradients_of(layer).values()]
    if has_second:
        graphs += [
            layer.tangent(),
            *(layer.second().only(gradient_of(t).name) for t in layer.differentiated.values()),
        ]
    return graphs


def tensors_of(layer: Layer, has_second: bool) -> dict[str, Tensor]:
    """Return what numbers are drawn for."""
    tensors = {**layer.tensors, "grad_output": layer.cotangent}
    if has_second:
        tensors |= {f"d{name}": tangent_of(tensor) for name, tensor in layer.differentiated.items()}
    return tensors


def expected_of(layer: Layer, values: Sequence[Array]) -> Expected:
    """Return the values of a module's graphs by what they are."""
    output, *found = values
    by = layer.differentiable
    expected = Expected(output, dict(zip(by, found, strict=False)))
    if len(found) == len(by):
        return expected
    change, *second = found[len(by) :]
    return replace(expected, change=change, second=dict(zip(by, second, strict=True)))


def gradients_of(layer: Layer) -> dict[str, Graph]:
    """Return the graph of each gradient, by the input's name."""
    cotangent = layer.cotangent
    return {
        name: gradient(layer.graph, tensor, cotangent) for name, tensor in layer.differentiated.items()
    }


def compare_functions(
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
    if like.dtype == np.int64:
        return ~like
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
