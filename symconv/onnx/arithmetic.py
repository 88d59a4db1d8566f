"""ONNX's arithmetic, with broadcasting: of values, and of a value with constants."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from symconv.building import Array, NotSupportedError, Value
from symconv.onnx.nodes import Call, Operator

LETTERS = "nabcdefg"  # of a value's axes in a formula


def applied(call: Call, x: Value, function: str, part: str = "", **constants: float) -> Value:
    """Return a function of each element."""
    named = tuple((name, float(value)) for name, value in constants.items())
    return call.layer("Activation", x, part=part, function=function, constants=named)


def with_number(call: Call, x: Value, number: Array, function: str, part: str = "") -> Value:
    """Return a function of each element and a number c, which may have more axes of length 1."""
    return applied(call, ranked(call, x, number.ndim), function, part, c=number.item())


def ranked(call: Call, x: Value, rank: int) -> Value:
    """Return a value with as many axes as another has, at least: new ones come first."""
    if rank <= len(x.shape):
        return x
    return call.layer("Reshape", x, part="axes", shape=(*(1,) * (rank - len(x.shape)), *x.shape))


def scaled(
    call: Call, x: Value, numbers: Array, sign: str, part: str = "", trained: bool = True
) -> Value:
    """Return a value plus, or times, constants, which broadcast: they become parameters.

    A single number becomes part of a formula instead.
    """
    if numbers.size == 1:
        return with_number(call, x, numbers, f"x {sign} c", part)
    name = "scale" if sign == "*" else "shift"
    shape = np.broadcast_shapes(x.shape, numbers.shape)
    letters = LETTERS[: len(shape)]
    kept = tuple(n for n in numbers.shape if n > 1)
    left = letters[len(letters) - len(x.shape) :]
    read = [a if n == size else "0" for a, n, size in _aligned(left, x.shape, shape)]
    own = [a for a, n, _ in _aligned(letters[-numbers.ndim :], numbers.shape, shape) if n > 1]
    formula = f"O[{','.join(letters)}] = X[{','.join(read)}] {sign} {name}[{','.join(own)}]"
    shapes = {"X": x.shape, name: kept}
    more: dict[str, Any] = {}
    if shape != x.shape:  # which the constants enlarge
        more = {"extents": dict(zip(letters, shape, strict=True))}
        shapes["O"] = shape
    return call.layer(
        "Contraction",
        x,
        part=part,
        trained=trained,
        params={name: numbers.reshape(kept)},
        formula=formula,
        shapes=shapes,
        **more,
    )


def _aligned(letters: str, sizes: tuple[int, ...], shape: tuple[int, ...]) -> list[tuple[str, int, int]]:
    """Return each axis of a tensor with its size and that of the result."""
    return list(zip(letters, sizes, shape[len(shape) - len(sizes) :], strict=True))


def _inputs(call: Call) -> tuple[Value | Array | None, ...]:
    """Return the inputs; before opset 7 the second begins at an axis of the first that is named."""
    if call.opset >= 7 or "axis" not in call.attributes:
        return call.inputs
    first, second = call.inputs
    if first is None or second is None:
        raise NotSupportedError("an input is missing")
    behind = len(first.shape) - call.get("axis") % len(first.shape) - len(second.shape)
    shape = (*second.shape, *(1,) * behind)
    if isinstance(second, Value):
        return first, call.layer("Reshape", second, part="aligned", shape=shape)
    return first, second.reshape(shape)


def _split(call: Call) -> tuple[list[Value], list[Array]]:
    """Return what is computed of the inputs, and what is constant."""
    inputs = _inputs(call)
    values = [given for given in inputs if isinstance(given, Value)]
    return values, [given for given in inputs if given is not None and not isinstance(given, Value)]


def plus(call: Call) -> Value:
    """Return the sum of values and constants."""
    values, constants = _split(call)
    total = call.layer("Add", *values, part="values" if constants else "") if values[1:] else values[0]
    return scaled(call, total, _numbers(np.asarray(sum(constants))), "+") if constants else total


def times(call: Call) -> Value:
    """Return the product of values and constants."""
    values, constants = _split(call)
    part = "values" if constants else ""
    product = call.layer("Multiply", *values, part=part) if values[1:] else values[0]
    return scaled(call, product, _numbers(constants[0]), "*") if constants else product


def minus(call: Call) -> Value:
    """Return a difference."""
    first, second = _inputs(call)
    if not isinstance(second, Value):
        return scaled(call, call.value(0), -_numbers(second), "+")
    if isinstance(first, Value):
        return call.layer("Add", first, applied(call, second, "-x", "negative"))
    numbers = _numbers(first)
    if numbers.size == 1:
        return with_number(call, second, numbers, "c - x")
    return scaled(call, applied(call, second, "-x", "negative"), numbers, "+")


def over(call: Call) -> Value:
    """Return a quotient."""
    first, second = _inputs(call)
    if not isinstance(second, Value):
        numbers = _numbers(second)
        if numbers.size == 1:
            return with_number(call, call.value(0), numbers, "x/c")
        return scaled(call, call.value(0), 1 / numbers, "*")
    if isinstance(first, Value):
        return call.layer("Multiply", first, applied(call, second, "1/x", "inverse"))
    numbers = _numbers(first)
    if numbers.size == 1:
        return with_number(call, second, numbers, "c/x")
    return scaled(call, applied(call, second, "1/x", "inverse"), numbers, "*")


def _numbers(constant: Array | None) -> Array:
    if constant is None:
        raise NotSupportedError("an input is missing")
    if not np.issubdtype(constant.dtype, np.floating):
        raise NotSupportedError(f"takes constants of {constant.dtype}")
    return constant


def power(call: Call) -> Value:
    """Return a power with the same constant exponent everywhere."""
    exponent = call.needed(1, "the exponent")
    if exponent.size != 1:
        raise NotSupportedError("has several exponents")
    x, number = ranked(call, call.value(0), exponent.ndim), float(exponent.item())
    if number != int(number):
        return applied(call, x, "x^c", c=number)
    return applied(call, x, f"x^{int(number)}" if number >= 0 else f"1/x^{-int(number)}")


def mean(call: Call) -> Value:
    """Return the mean of values."""
    values = call.values()
    if len(values) == 1:
        return values[0]
    total = call.layer("Add", *values, part="total")
    return applied(call, total, f"x/{len(values)}")


def extreme(call: Call, name: str) -> Value:
    """Return the maximum, or the minimum, of values of one shape and of numbers."""
    values, constants = _split(call)
    if any(numbers.size > 1 for numbers in constants) or len({value.shape for value in values}) > 1:
        raise NotSupportedError("takes constants, or values of several shapes, which broadcast")
    numbers = getattr(np, name)([array.item() for array in constants]) if constants else None
    x = values[0]
    if len(values) > 1:
        x = _stacked(call, values, name, "" if numbers is None else "values")
    if numbers is None:
        return x
    x = ranked(call, x, max(array.ndim for array in constants))
    return applied(call, x, f"{name}(x, c)", c=np.asarray(numbers).item())


def _stacked(call: Call, values: list[Value], name: str, part: str) -> Value:
    """Return the maximum along a new last axis; the minimum is that of the negatives, negated."""
    shape = values[0].shape
    rows = []
    for number, value in enumerate(values, 1):
        given = applied(call, value, "-x", f"negative{number}") if name == "min" else value
        rows.append(call.layer("Reshape", given, part=f"row{number}", shape=(*shape, 1)))
    together = call.layer("Concat", *rows, part="stacked", axis=len(shape))
    if name == "max":
        return call.layer("ReduceMax", together, part=part, axes=(len(shape),))
    largest = call.layer("ReduceMax", together, part="largest", axes=(len(shape),))
    return applied(call, largest, "-x", part)


def where(call: Call) -> Value:
    """Return a value, or constants, where a constant is true, and another elsewhere."""
    chosen = call.needed(0, "the condition").astype(bool)
    parts: list[Value] = []
    constants = np.zeros((), np.float64)
    for at, mask, part in ((1, chosen, "true"), (2, ~chosen, "false")):
        given = call.inputs[at]
        if isinstance(given, Value):
            parts.append(masked(call, given, mask, part))
        else:
            constants = constants + np.where(mask, _numbers(given), 0)
    if len(parts) == 2:
        return call.layer("Add", *parts)
    return scaled(call, parts[0], np.asarray(constants), "+", trained=False)


def masked(call: Call, x: Value, mask: Array, part: str) -> Value:
    """Return a value where a mask is true, and 0 elsewhere; the mask is not trained."""
    return scaled(call, x, mask.astype(np.float64), "*", part, trained=False)


maximum: Operator = partial(extreme, name="max")
minimum: Operator = partial(extreme, name="min")
