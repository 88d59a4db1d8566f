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
from symconv.check.values import taylor
from symconv.layers.layer import Layer
from symconv.notation.contraction import Program, Tensor
from symconv.notation.graph import Constant

ADJOINT = {"float32": 1e-5, "float64": 1e-12}
ROUNDING = 1e-13  # of an energy, relative
SLOPE = 1e-6  # E is a square along a line: the slope is 2

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
        _along_a_line(layer, load, draw),
    )


def _along_a_line(layer: Layer, load: Loader, draw: Callable[[tuple[int, ...]], Array]) -> Result:
    """Check the gradients together, in float64: how E changes along a line."""
    kind = _products(layer)
    if kind == "linear":
        return _secant(layer, load(np.float64), draw(layer.output_shape))
    if kind == "other":
        return taylor(layer, load(np.float64))
    precise, way = (
        {name: draw(shape).astype(np.float64) for name, shape in layer.inputs.items()} for _ in range(2)
    )
    return _taylor(load(np.float64), precise, way)


def _products(layer: Layer) -> str:
    """Tell whether products read at most one input each, or two different ones and are added up."""
    constants = {step.target for step in layer.graph.steps if isinstance(step, Constant)}
    contractions = [c for s in layer.graph.steps if isinstance(s, Program) for c in s.contractions]
    varying = [[r.tensor for r in c.reads if r.tensor not in constants] for c in contractions]
    most = max(map(len, varying))
    if most < 2:
        return "linear"
    plain = all(c.reduce == "sum" for c in contractions)
    return "bilinear" if plain and most == 2 and all(len(set(r)) == len(r) for r in varying) else "other"


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


def _taylor(module: ModuleType, point: dict[str, Array], direction: dict[str, Array]) -> Result:
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
    steps = (1.0, 0.5, 0.25)
    energies = [energy(h) for h in steps]
    remainders = [abs(e - start - h * slope) for e, h in zip(energies, steps, strict=True)]
    if max(remainders) <= ROUNDING * max(1.0, *map(abs, energies)):
        return Result("Taylor slope", "numeric", True, "no remainder: a line")
    rates = [math.log2(max(a, 1e-300) / max(b, 1e-300)) for a, b in itertools.pairwise(remainders)]
    rate = rates[-1]
    return Result(
        "Taylor slope",
        "numeric",
        all(abs(rate - 2) <= SLOPE for rate in rates),
        f"the remainder falls as h^{rate:.3f}, must be h^2",
    )


def _inner(a: Array, b: Array) -> float:
    return float(np.dot(a.ravel().astype(np.float64), b.ravel().astype(np.float64)))
