"""Assertions for tests: that a gradient somebody wrote is that of a layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from symconv.check.report import Report
from symconv.errors import SymconvError
from symconv.frameworks import FRAMEWORKS, Function, framework_of, in_numpy, pulled_back
from symconv.layers.arguments import refuse
from symconv.layers.layer import Layer
from symconv.verbs import a_layer, check

__all__ = ["assert_gradients"]


def assert_gradients(
    layer: Layer,
    forward: Function | None = None,
    backward: Function | None = None,
    function: Function | None = None,
    framework: str | None = None,
) -> Report:
    """Return the report on functions that compute a layer, or its gradients; raise for wrong ones.

    Parameters
    ----------
    layer
        What they should compute.
    forward, backward
        Functions with the signatures of the layer's generated module, as for :func:`symconv.check`.
    function
        Instead of both: a function of PyTorch or JAX with the signature of ``forward``, which the
        framework differentiates, such as the ``apply`` of a ``torch.autograd.Function``, or a function
        with a ``jax.custom_vjp``.
    framework
        Whose arrays the functions take: ``"numpy"``, ``"torch"`` or ``"jax"``. By default NumPy's, and
        those of ``function`` are found by calling it.

    Raises
    ------
    AssertionError
        If a result is wrong. It says which, in the smallest case that shows it, and which known mistake
        gives the same numbers.
    SymconvError
        If an argument is not valid.

    Examples
    --------
    >>> import symconv
    >>> from symconv.testing import assert_gradients
    >>> layer = symconv.Activation((3, 4), "relu")
    >>> print(assert_gradients(layer, backward=lambda g, x: g * (x > 0)).summary)
    all 1 passed
    """
    a_layer(layer)
    given = {"forward": forward, "backward": backward, "function": function}
    for name, each in given.items():
        if each is not None and not callable(each):
            raise refuse(name, each, "a function")
    if function is None:
        report = check(layer, *(_converted(each, framework or "numpy") for each in (forward, backward)))
    else:
        if forward is not None or backward is not None:
            raise SymconvError("function: must not be given beside forward or backward")
        several = layer.with_batch(3) if layer.any_batch else layer
        found = framework or framework_of(function, several)
        report = check(layer, _converted(function, found), pulled_back(function, several, found))
    if not report:
        raise AssertionError(report.text())
    return report


def _converted(function: Function | None, framework: str) -> Callable[..., Any] | None:
    """Return a function of NumPy's arrays."""
    if framework not in FRAMEWORKS:
        raise refuse("framework", framework, ", ".join(map(repr, FRAMEWORKS)))
    return None if function is None else in_numpy(function, framework)
