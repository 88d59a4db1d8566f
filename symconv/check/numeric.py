"""The module in its own dtype: the adjoint identity, and the slope of Taylor's remainder."""

from __future__ import annotations

import itertools
import math
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.check.report import Result
from symconv.layers.conv import ConvLayer

ADJOINT = {"float32": 1e-5, "float64": 1e-12}
SLOPE = {"float32": 1e-2, "float64": 1e-6}  # E is a square along a line: the slope is 2

Array = NDArray[Any]


def check_numerically(layer: ConvLayer, module: ModuleType) -> tuple[Result, ...]:
    """Check that the gradients belong to the forward function, with random numbers."""
    rng = np.random.default_rng(0)

    def draw(shape: tuple[int, ...]) -> Array:
        return rng.standard_normal(shape).astype(layer.dtype)

    dtype = str(np.dtype(module.DTYPE))
    declared = Result("DTYPE", "numeric", dtype == layer.dtype, f"{dtype}, LAYER has {layer.dtype}")
    if not declared.passed:
        return (declared,)
    point = {name: draw(tensor.sizes) for name, tensor in layer.tensors.items()}
    return (
        declared,
        *_adjoint(layer, module, point, draw(layer.output_shape)),
        _taylor(
            layer,
            module,
            point,
            {name: draw(tensor.sizes) for name, tensor in layer.tensors.items()},
        ),
    )


def _adjoint(
    layer: ConvLayer, module: ModuleType, point: dict[str, Array], cotangent: Array
) -> list[Result]:
    """⟨conv(X, F), G⟩ = ⟨X, ∂E/∂X⟩ = ⟨F, ∂E/∂F⟩, without the bias."""
    without = {name: array * (name != "bias") for name, array in point.items()}
    output = module.forward(*without.values())
    gradients = module.backward(cotangent, *without.values())
    left = _inner(output, cotangent)
    size = float(np.linalg.norm(output.ravel()) * np.linalg.norm(cotangent.ravel()))
    results = []
    for (name, array), gradient in zip(without.items(), gradients, strict=True):
        if name == "bias":
            continue
        error = abs(left - _inner(array, gradient)) / max(size, 1e-30)
        symbol = layer.tensors[name].name
        results.append(
            Result(
                f"adjoint ⟨{symbol}, ∂E/∂{symbol}⟩ = ⟨O, G⟩",
                "numeric",
                error <= ADJOINT[layer.dtype],
                f"relative difference {error:.0e}, at most {ADJOINT[layer.dtype]:.0e}",
            )
        )
    return results


def _taylor(
    layer: ConvLayer, module: ModuleType, point: dict[str, Array], direction: dict[str, Array]
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
