"""The module in its own dtype: the adjoint identity, and the slope of Taylor's remainder."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.check.report import Result
from symconv.layers.layer import Layer
from symconv.notation.contraction import Program, Tensor
from symconv.notation.graph import Constant

ADJOINT = {"float32": 1e-5, "float64": 1e-12}
SLOPE = {"float32": 1e-2, "float64": 1e-6}  # E is a square along a line: the slope is 2

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
        _taylor(layer, module, point, {name: draw(shape) for name, shape in layer.inputs.items()})
        if _multiplies(layer)
        else _secant(layer, load(np.float64), draw(layer.output_shape)),
    )


def _multiplies(layer: Layer) -> bool:
    """Whether inputs are multiplied with each other."""
    constants = {step.target for step in layer.graph.steps if isinstance(step, Constant)}
    contractions = [c for s in layer.graph.steps if isinstance(s, Program) for c in s.contractions]
    return any(len({r.tensor for r in c.reads} - constants) > 1 for c in contractions)


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
    for at, (name, tensor) in enumerate(layer.tensors.items()):
        if name == "bias":
            continue
        together = _read_with(layer, tensor)
        values = {n: array * (n in together) for n, array in point.items()}
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


def _read_with(layer: Layer, tensor: Tensor) -> set[str]:
    """Return the inputs in whose terms a tensor is read, or one that is computed from it."""
    read = {tensor}
    together = {tensor}
    for step in layer.graph.steps:
        for contraction in step.contractions if isinstance(step, Program) else ():
            factors = {access.tensor for access in contraction.reads}
            if factors & read:
                together |= factors
                read.add(contraction.target.tensor)
    return {name for name, other in layer.tensors.items() if other in together}


def _taylor(
    layer: Layer, module: ModuleType, point: dict[str, Array], direction: dict[str, Array]
) -> Result:
    """E(θ + hv) - E(θ) falls as h; less h⟨∇E, v⟩ it falls as h²: the slope says if ∇E is right."""
    # the cotangent for which the remainder, h²⟨G, conv(v_X, v_F)⟩, is largest
    bilinear = {name: array * (name != "bias") for name, array in direction.items()}
    cotangent = module.forward(*bilinear.values())

    def energy(h: float) -> float:
        moved = [a + np.asarray(h, a.dtype) * direction[n] for n, a in point.items()]
        return _inner(module.forward(*moved), cotangent)

    gradients = module.backward(cotangent, *point.values())
    slope = sum(_inner(gradient, v) for gradient, v in zip(gradients, direction.values(), strict=True))
    start = energy(0.0)
    remainders = [abs(energy(h) - start - h * slope) for h in (1.0, 0.5, 0.25)]
    if not cotangent.any() and not any(remainders):
        return Result("Taylor slope", "numeric", True, "no element of X reaches the output")
    rates = [math.log2(max(a, 1e-300) / max(b, 1e-300)) for a, b in itertools.pairwise(remainders)]
    rate = rates[-1]
    return Result(
        "Taylor slope",
        "numeric",
        all(abs(rate - 2) <= SLOPE[layer.dtype] for rate in rates),
        f"the remainder falls as h^{rate:.3f}, must be h^2",
    )


def _inner(a: Array, b: Array) -> float:
    return float(np.dot(a.ravel().astype(np.float64), b.ravel().astype(np.float64)))
