"""Every function of a module in its own dtype, against the same code in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.check.interface import gradient_functions
from symconv.check.report import Result, difference, largest
from symconv.layers.layer import Layer

Array = NDArray[Any]
Answers = Mapping[str, Sequence[Array]]  # by function, what it returns
CLOSE = {"float32": 1e-3, "float64": 1e-9}  # of each function's largest number


def in_own_dtype(
    dtype: str, load: Callable[[object], ModuleType], answers: Callable[[ModuleType, str], Answers]
) -> Result:
    """Compare what functions return in a module's own dtype and in float64, for the same numbers.

    ``answers`` calls a module's functions, with numbers of its dtype that this one has, too.
    """
    own, wide = answers(load(None), dtype), answers(load(np.float64), "float64")
    most = CLOSE[dtype]
    for name, wanted in wide.items():
        scale = most * max(largest(wanted), 1e-30)
        for received, array in zip(own[name], wanted, strict=True):
            wrong = difference(np.asarray(received), np.asarray(array), scale)
            if wrong:
                return Result(f"in {dtype}", "numeric", False, f"{name} {wrong}")
    detail = f"{', '.join(wide)}: to {most:.0e} of the same code in float64"
    return Result(f"in {dtype}", "numeric", True, detail)


def layer_answers(layer: Layer) -> Callable[[ModuleType, str], Answers]:
    """Return what calls every function of a layer's module with random numbers."""
    rng = np.random.default_rng(6)

    def numbers(shape: tuple[int, ...]) -> Array:
        return np.asarray(rng.standard_normal(shape)).astype(layer.dtype)

    inputs = {name: numbers(shape) for name, shape in layer.inputs.items()}
    changes = {f"t{name}": numbers(layer.inputs[name]) for name in layer.differentiable}
    given = inputs | {"grad_output": numbers(layer.output_shape)}

    def answers(module: ModuleType, dtype: str) -> dict[str, Sequence[Array]]:
        def cast(arrays: Mapping[str, Array]) -> list[Array]:
            return [array.astype(dtype) for array in arrays.values()]

        found: dict[str, Sequence[Array]] = {"forward": [module.forward(*cast(inputs))]}
        for function in gradient_functions(layer, module):
            taken = cast({name: given[name] for name in function.arguments})
            found[function.name] = [getattr(module, function.name)(*taken)]
        (cotangent,) = cast({"": given["grad_output"]})
        found["backward"] = module.backward(cotangent, *cast(inputs))
        if hasattr(module, "jvp"):
            found["jvp"] = [module.jvp(*cast(inputs), *cast(changes))]
            second = module.double_backward(*cast(changes), cotangent, *cast(inputs))
            found["double_backward"] = second
        return found

    return answers
