"""Functions of single elements: against 340 digits, and the slope of Taylor's remainder."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.check.interface import gradient_functions
from symconv.check.report import Result
from symconv.check.slope import falls
from symconv.layers.activation import Activation
from symconv.layers.activations import NAMED
from symconv.notation.backpropagation import gradient, gradient_of
from symconv.notation.contraction import Tensor
from symconv.notation.evaluate import evaluate
from symconv.notation.tangent import second_gradients, tangent, tangent_of

Array = NDArray[Any]
Loader = Callable[[object], ModuleType]

ROUNDINGS = 256  # units in the last place that a value may be off
DIGITS = 340  # 1 + exp(-745) must not be 1
NEAR = (1e-3, 8)  # where anybody's expression must be finite if it should be
_EDGES = (0, 1e-30, 1e-8, 1e-3, 0.5, 1, 2, 6, 10, 20, 30, 50, 87, 89, 104, 300, 700, 745, 1000)


def check_functions(layer: Activation, load: Loader) -> tuple[Result, ...]:
    """Compare a module with the layer's function, and its gradient with the derivative.

    Parameters
    ----------
    layer
        The layer.
    load
        Returns the module with another ``DTYPE``, or with its own for None.
    """
    module = load(None)
    dtype = str(np.dtype(module.DTYPE))
    declared = Result("DTYPE", "numeric", dtype == layer.dtype, f"{dtype}, LAYER has {layer.dtype}")
    if not declared.passed:
        return (declared,)
    return (declared, *_values(layer, module), _slope(layer, load(np.float64)))


def _values(layer: Activation, module: ModuleType) -> tuple[Result, ...]:
    """Compare values and gradients at numbers that every place of the input may have."""
    rng = np.random.default_rng(0)
    edges = np.array([*_EDGES, *(-e for e in _EDGES)])
    everywhere = (np.arange(-128, 128) + rng.uniform(0, 1, 256)) / 16
    numbers = np.concatenate([edges, everywhere]).astype(layer.dtype)
    order = 2 if hasattr(module, "jvp") else 1
    alone = dataclasses.replace(layer, input_shape=(1,))
    exactly, real = _exactly(alone, tuple(numbers.tolist()), order)
    numbers, value, slope, *curvature = numbers[real], *exactly[:, real]
    if not len(numbers):
        text = "is no real number at any x that was tried"
        return (Result("forward", "numeric", False, text),)
    calls = -(-len(numbers) // math.prod(layer.input_shape))  # that together have every number
    places = np.resize(np.arange(len(numbers)), (calls, *layer.input_shape))
    x = numbers[places]
    cotangent, change = (rng.choice([-2.0, -1.0, 1.0, 2.0], x.shape).astype(x.dtype) for _ in range(2))
    with warnings.catch_warnings(record=True) as seen, np.errstate(all="warn", under="ignore"):
        warnings.simplefilter("always")
        answers = [
            _answers(layer, module, *given, order) for given in zip(x, cotangent, change, strict=True)
        ]
    output, found, together, *second = map(np.stack, zip(*answers, strict=True))
    same = np.array_equal(together, found, equal_nan=True)
    text = "returns the same gradient" if same else "returns another gradient than input_gradient"
    named = layer.function in NAMED
    results = [
        _compared("forward", output, value[places], layer, x, named),
        _compared("input_gradient", found, cotangent * slope[places], layer, x, False),
        Result("backward", "numeric", same, text),
    ]
    if order == 2:
        first, twice = change * slope[places], cotangent * change * curvature[0][places]
        names = ("jvp", "double_backward, by grad_output", "double_backward, by x")
        for name, array, wanted in zip(names, second, (first, first, twice), strict=True):
            results.append(_compared(name, array, wanted, layer, x, False))
    infinite = sorted({float(at) for at in x[~_all_finite(output, found, *second)].flat})
    warned = sorted({str(w.message) for w in seen})
    where = f"no finite number at x = {', '.join(f'{at:g}' for at in infinite[:8])}" if infinite else ""
    fine = "finite, and no warning, from -1000 to 1000 wherever value and slopes are finite"
    said = "; ".join(filter(None, [where, *warned])) or fine
    results.append(Result("range", "numeric", not named or not (infinite or warned), said))
    return tuple(results)


def _answers(
    layer: Activation, module: ModuleType, x: Array, cotangent: Array, change: Array, order: int
) -> list[Array]:
    """Return what forward, input_gradient, backward, jvp and double_backward return."""

    def out() -> Array:
        return np.full(x.shape, np.nan, x.dtype)

    (function,) = gradient_functions(layer, module)
    given = {"grad_output": cotangent, "x": x}
    arguments = [given[name] for name in function.arguments]
    found = [module.forward(x, out=out()), module.input_gradient(*arguments, out=out())]
    found += module.backward(cotangent, x, out=(out(),))
    if order == 2:
        found.append(module.jvp(x, change, out=out()))
        found += module.double_backward(change, cotangent, x, out=(out(), out()))
    return found


def _all_finite(*arrays: Array) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(arrays).all(axis=0))


@lru_cache(maxsize=64)
def _exactly(
    alone: Activation, numbers: tuple[float, ...], order: int
) -> tuple[Array, NDArray[np.bool_]]:
    """Return the function and its derivatives to many digits, and where all are real numbers.

    ``alone`` is the layer of one element.
    """
    import mpmath

    x, cotangent = alone.tensors["x"], Tensor("G", (1,))
    graphs = [alone.graph, gradient(alone.graph, x, cotangent)]
    if order == 2:
        second = second_gradients(tangent(alone.graph, [x]), [x], cotangent)
        graphs.append(second.only(gradient_of(x).name))
    one = {name: np.array([1], object) for name in (cotangent.name, tangent_of(x).name)}
    found: list[list[float]] = []
    with mpmath.workdps(DIGITS):
        for number in numbers:
            tensors = {"X": np.array([mpmath.mpf(number)], object), **one}
            try:
                found.append([float(evaluate(g, tensors)[g.output.name][0]) for g in graphs])
            except (TypeError, ValueError, ZeroDivisionError, OverflowError):  # complex, or a pole
                found.append([math.nan] * len(graphs))
    values = np.array(found).T
    largest = np.finfo(alone.dtype).max / 4
    with np.errstate(invalid="ignore"):
        return values, (np.abs(values) < largest).all(axis=0)


def _compared(
    name: str, received: Array, wanted: Array, layer: Activation, x: Array, relative: bool
) -> Result:
    """Compare where numbers are finite: relatively, or relative to what is at least 1."""
    unit = ROUNDINGS * float(np.finfo(layer.dtype).eps)
    if layer.function not in NAMED:
        unit = math.sqrt(float(np.finfo(layer.dtype).eps))  # anybody's expression may cancel
    finite = np.isfinite(received)
    least = 16 * float(np.finfo(layer.dtype).tiny) if relative else 1.0
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(received.astype(np.float64) - wanted) / np.maximum(np.abs(wanted), least)
    near = (np.abs(x) >= NEAR[0]) & (np.abs(x) <= NEAR[1])
    error = np.where(finite, error, np.where(near | (layer.function in NAMED), np.inf, 0))
    worst = np.unravel_index(int(np.argmax(error)), error.shape)
    passed = received.shape == wanted.shape and bool(error[worst] <= unit) and bool(finite.any())
    if passed:
        return Result(
            name,
            "numeric",
            True,
            f"to {error[worst]:.0e} of what {DIGITS} digits give, at most {unit:.0e}",
        )
    text = f"at x = {x[worst]:g}: {received[worst]:g}, expected {wanted[worst]:g}"
    return Result(name, "numeric", False, text)


def _slope(layer: Activation, module: ModuleType) -> Result:
    """E(x + hv) - E(x) - h⟨∇E, v⟩ falls as h², for x from 0.3 to 1.7."""
    rng = np.random.default_rng(0)
    x, way = (rng.uniform(low, high, layer.input_shape) for low, high in ((0.3, 1.7), (-1, 1)))
    cotangent = rng.standard_normal(layer.input_shape)
    with np.errstate(all="ignore"):
        (found,) = module.backward(cotangent, x)

        def energy(h: float) -> float:
            return float(np.sum(cotangent * module.forward(x + h * way)))

        return falls("Taylor slope", energy, float(np.sum(found * way)))
