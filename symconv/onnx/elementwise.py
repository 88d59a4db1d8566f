"""ONNX's operators on each element: activations, and arithmetic with broadcasting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.onnx.nodes import Call, Entry, NotSupportedError, Operator

Array = NDArray[Any]
LETTERS = "nabcdefg"  # of a value's axes in a formula


def activation(function: str, **defaults: float) -> Operator:
    """Return the operator of an expression in x and attributes."""

    def activated(call: Call) -> Entry:
        constants = tuple((name, float(call.get(name, value))) for name, value in defaults.items())
        return Entry("Activation", {"function": function, "constants": constants}, call.inputs[:1])

    return activated


def clip(call: Call) -> Entry:
    """Return limits from below and above, which are attributes before opset 11."""
    limits = [call.get(name) for name in ("min", "max")]
    if call.opset >= 11:
        limits = [call.constant(at, name) for at, name in ((1, "min"), (2, "max"))]
    low, high = (None if limit is None else float(np.asarray(limit).item()) for limit in limits)
    text = "x" if low is None else "max(x, low)"
    text = text if high is None else f"min({text}, high)"  # which wins where low is above it
    named = {"low": low, "high": high}
    constants = tuple((name, value) for name, value in named.items() if value is not None)
    return Entry("Activation", {"function": text, "constants": constants}, call.inputs[:1])


def gelu(call: Call) -> Entry:
    """Return GELU, or its approximation."""
    name = "gelu_tanh" if call.get("approximate", "none") == "tanh" else "gelu"
    return Entry("Activation", {"function": name}, call.inputs[:1])


def arithmetic(sign: str, layer: str = "") -> Operator:
    """Return what combines two values, or a value with a constant."""

    def combined(call: Call) -> Entry:
        first, second = call.inputs
        constant = next((name for name in (first, second) if name in call.constants), None)
        if constant is None:
            if not layer:
                raise NotSupportedError("combines two values")
            return Entry(layer, {}, (first, second))
        value = second if constant == first else first
        numbers = call.constants[constant]
        if numbers.size == 1:
            text = f"c {sign} x" if constant == first else f"x {sign} c"
            named = {"function": text, "constants": (("c", float(numbers.item())),)}
            return Entry("Activation", named, (value,))
        if sign in "-/" and constant == first:
            raise NotSupportedError("takes a value from constants, or divides these by it")
        numbers = {"-": np.negative, "/": np.reciprocal}.get(sign, np.asarray)(numbers)
        return _broadcast(value, call.shapes[value], numbers, "+" if sign in "+-" else "*")

    return combined


def _broadcast(value: str, shape: Sequence[int], numbers: Array, sign: str) -> Entry:
    """Return a value plus, or times, constants along some of its axes: these are parameters."""
    sizes = (1,) * (len(shape) - numbers.ndim) + numbers.shape
    if len(sizes) != len(shape) or any(n not in (1, size) for n, size in zip(sizes, shape, strict=True)):
        raise NotSupportedError(f"combines {tuple(shape)} with {numbers.shape}")
    letters = LETTERS[: len(shape)]
    own = [letter for letter, n in zip(letters, sizes, strict=True) if n > 1]
    if letters[0] in own:
        raise NotSupportedError("has constants for each sample")
    axes = ",".join(letters)
    name = "shift" if sign == "+" else "scale"
    formula = f"O[{axes}] = X[{axes}] {sign} {name}[{','.join(own)}]"
    kept = tuple(n for n in sizes if n > 1)
    arguments: dict[str, object] = {"formula": formula, "shapes": {"X": tuple(shape), name: kept}}
    return Entry("Contraction", arguments, (value,), {name: numbers.reshape(kept)})
