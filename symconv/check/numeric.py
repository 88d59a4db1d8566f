"""The module in its own dtype: the adjoint identity, and the slope of Taylor's remainder."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.check.own_dtype import in_own_dtype, layer_answers
from symconv.check.report import Result
from symconv.check.values import taylor
from symconv.layers.layer import Layer
from symconv.notation.contraction import Program, Tensor
from symconv.notation.graph import Constant

ADJOINT = {"float32": 1e-5, "float64": 1e-12}

Array = NDArray[Any]
Loader = Callable[[object], ModuleType]


def check_numerically(layer: Layer, load: Loader) -> tuple[Result, ...]:
    """Check that the gradients belong to the forward function, with random numbers.

    Parameters
    ----------
    layer
        The layer.
    load
        Returns the module with another ``DTYPE``, or with its own for None.
    """
    module = load(None)
    rng = np.random.default_rng(0)

    def draw(shape: tuple[int, ...]) -> Array:
        return rng.standard_normal(shape).astype(layer.dtype)

    dtype = str(np.dtype(module.DTYPE))
    declared = Result("DTYPE", "numeric", dtype == layer.dtype, f"{dtype}, LAYER has {layer.dtype}")
    if not declared.passed:
        return (declared,)
    point = {name: draw(shape) for name, shape in layer.inputs.items()}
    return (
        declared,
        *_adjoint(layer, module, point, draw(layer.output_shape)),
        _secant(layer, load(np.float64), draw(layer.output_shape))
        if _is_linear(layer)
        else taylor(layer, load(np.float64)),
        in_own_dtype(dtype, load, layer_answers(layer)),
    )


def _is_linear(layer: Layer) -> bool:
    """Whether every product reads one input, or is a maximum of such: E is linear along short lines."""
    constants = {step.target for step in layer.graph.steps if isinstance(step, Constant)}
    contractions = [c for s in layer.graph.steps if isinstance(s, Program) for c in s.contractions]
    return all(sum(r.tensor not in constants for r in c.reads) < 2 for c in contractions)


def _secant(layer: Layer, module: ModuleType, cotangent: Array) -> Result:
    """E(θ + v) - E(θ) is ⟨∇E, v⟩: E is linear along a line on which no maximum changes its place."""
    rng = np.random.default_rng(0)
    shapes = layer.inputs.values()
    apart = [rng.permutation(math.prod(shape)).reshape(shape).astype(np.float64) for shape in shapes]
    ways = [rng.uniform(-0.4, 0.4, shape) for shape in shapes]
    cotangent = cotangent.astype(np.float64)
    moved = module.forward(*(a + v for a, v in zip(apart, ways, strict=True)))
    change = _inner(moved - module.forward(*apart), cotangent)
    gradients = module.backward(cotangent, *apart)
    slope = sum(_inner(gradient, v) for gradient, v in zip(gradients, ways, strict=True))
    size = max(float(np.linalg.norm(moved.ravel()) * np.linalg.norm(cotangent.ravel())), 1e-30)
    error = abs(change - slope) / size
    return Result(
        "secant",
        "numeric",
        error <= ADJOINT["float64"],
        f"in float64, E changes by ⟨∇E, v⟩: relative difference {error:.0e}, "
        f"at most {ADJOINT['float64']:.0e}",
    )


def _adjoint(
    layer: Layer, module: ModuleType, point: dict[str, Array], cotangent: Array
) -> list[Result]:
    """⟨O, G⟩ = ⟨T, ∂E/∂T⟩ for each T that O is linear in, what is added to its terms being 0.

    (A maximum is linear around a point without ties.) A bias alone would show nothing more.
    """
    results = []
    for at, (name, tensor) in enumerate(layer.differentiated.items()):
        if name == "bias" or not _is_alone(layer, tensor):
            continue
        _, together = _read_with(layer, tensor)
        values = {n: array * (layer.tensors[n] in together) for n, array in point.items()}
        output = module.forward(*values.values())
        gradient = module.backward(cotangent, *values.values())[at]
        size = float(np.linalg.norm(output.ravel()) * np.linalg.norm(cotangent.ravel()))
        difference = abs(_inner(output, cotangent) - _inner(values[name], gradient))
        error = difference / max(size, 1e-30)
        results.append(
            Result(
                f"adjoint ⟨{tensor.name}, ∂E/∂{tensor.name}⟩ = ⟨O, G⟩",
                "numeric",
                error <= ADJOINT[layer.dtype],
                f"relative difference {error:.0e}, at most {ADJOINT[layer.dtype]:.0e}",
            )
        )
    return results


def _is_alone(layer: Layer, tensor: Tensor) -> bool:
    """Whether the output is linear in a tensor when what is not in its terms is 0."""
    read, together = _read_with(layer, tensor)
    for step in layer.graph.steps:
        for contraction in step.contractions if isinstance(step, Program) else ():
            factors = [access.tensor for access in contraction.reads]
            count = sum(factor in read for factor in factors)
            if count > 1 or (not count and set(factors) <= together):
                return False
    return True


def _read_with(layer: Layer, tensor: Tensor) -> tuple[set[Tensor], set[Tensor]]:
    """Return a tensor and what is computed from it, and all that is read in terms with these."""
    read = {tensor}
    together = {tensor}
    for step in layer.graph.steps:
        for contraction in step.contractions if isinstance(step, Program) else ():
            factors = {access.tensor for access in contraction.reads}
            if factors & read:
                together |= factors
                read.add(contraction.target.tensor)
    return read, together


def _inner(a: Array, b: Array) -> float:
    return float(np.dot(a.ravel().astype(np.float64), b.ravel().astype(np.float64)))
