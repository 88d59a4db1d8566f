"""Functions of PyTorch and of JAX as functions of NumPy's arrays."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symconv.errors import SymconvError
from symconv.layers.layer import Layer

Function = Callable[..., Any]
FRAMEWORKS = ("numpy", "torch", "jax")


def framework_of(function: Function, layer: Layer) -> str:
    """Return whose arrays a function takes, of the frameworks that are imported: it is called.

    Raises
    ------
    SymconvError
        If it returns an array of neither PyTorch nor JAX.
    """
    ones = [
        np.ones(shape, np.int64 if name in layer.classes else layer.dtype)
        for name, shape in layer.inputs.items()
    ]
    reasons = []
    for name, kind in (("torch", "Tensor"), ("jax", "Array")):
        if name not in sys.modules:
            reasons.append(f"{name} is not imported")
            continue
        try:
            found = function(*_given(ones, name))
        except Exception as error:  # whatever another framework's arrays lead to
            reasons.append(f"with arrays of {name}: {type(error).__name__}: {error}")
            continue
        if isinstance(found, getattr(sys.modules[name], kind)):
            return name
        reasons.append(f"with arrays of {name}: returns a {type(found).__name__}")
    raise SymconvError(
        "function: must take and return arrays of PyTorch or JAX; "
        + "; ".join(" ".join(reason.split())[:200] for reason in reasons)
    )


def in_numpy(function: Function, framework: str) -> Function:
    """Return a function that takes and returns NumPy's arrays."""

    def converted(*arrays: Any) -> Any:
        found = function(*_given(arrays, framework))
        return tuple(map(_taken, found)) if isinstance(found, tuple | list) else _taken(found)

    return function if framework == "numpy" else converted


def pulled_back(function: Function, layer: Layer, framework: str) -> Function:
    """Return the gradients of a function, as its framework computes them.

    Raises
    ------
    SymconvError
        If JAX would compute a layer of float64 in float32.
    """
    by = [at for at, name in enumerate(layer.inputs) if name in layer.differentiable]
    if framework == "torch":
        return _by_torch(function, by)
    if framework == "jax":
        import jax

        if jax.dtypes.canonicalize_dtype(layer.dtype) != layer.dtype:
            raise SymconvError(
                "function: JAX computes in float32; for a layer of float64 set jax_enable_x64"
            )
        return _by_jax(function, by)
    raise SymconvError("function: NumPy does not differentiate it: give backward")


def _by_torch(function: Function, by: Sequence[int]) -> Function:
    import torch

    def backward(grad_output: Any, *arrays: Any) -> tuple[Any, ...]:
        given = _given(arrays, "torch")
        wanted = [given[at].requires_grad_() for at in by]
        (grad,) = _given([grad_output], "torch")
        found = torch.autograd.grad(function(*given), wanted, grad, allow_unused=True)
        pairs = zip(found, wanted, strict=True)
        return tuple(_taken(torch.zeros_like(x) if g is None else g) for g, x in pairs)

    return backward


def _by_jax(function: Function, by: Sequence[int]) -> Function:
    import jax

    def backward(grad_output: Any, *arrays: Any) -> tuple[Any, ...]:
        given = _given(arrays, "jax")

        def of(*moved: Any) -> Any:
            whole = list(given)
            for at, array in zip(by, moved, strict=True):
                whole[at] = array
            return function(*whole)

        _, pull = jax.vjp(of, *(given[at] for at in by))
        return tuple(map(_taken, pull(*_given([grad_output], "jax"))))

    return backward


def _given(arrays: Sequence[Any], framework: str) -> list[Any]:
    """Return arrays of a framework, with memory of their own."""
    if framework == "torch":
        import torch

        return [torch.from_numpy(np.array(array)) for array in arrays]
    if framework == "jax":
        import jax.numpy

        return [jax.numpy.asarray(array) for array in arrays]
    return list(arrays)


def _taken(array: Any) -> Any:
    """Return an array of NumPy."""
    return np.asarray(array.detach() if hasattr(array, "detach") else array)
