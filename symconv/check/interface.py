"""What a module says of itself: its functions and what they take, read from their signatures."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from types import FunctionType, ModuleType

from symconv.layers.layer import Layer
from symconv.layers.module_names import gradient_function

# public functions that compute no layer
RESERVED = ("init", "release", "sgd_step", "adam_step", "draw_mask", "draw_masks")


@dataclass(frozen=True)
class GradientFunction:
    """A module's function of one gradient: its name, its arguments' names, and the input's."""

    name: str
    arguments: tuple[str, ...]
    by: str


def module_target(module: ModuleType) -> str:
    """Return the language in which a module computes: ``"numpy"`` or ``"c"``."""
    return str(getattr(module, "TARGET", "numpy"))


def gradient_functions(layer: Layer, module: ModuleType) -> list[GradientFunction]:
    """Return the function of each gradient, in the order of the layer's inputs."""
    found = []
    for name in layer.differentiable:
        function = gradient_function(name)
        found.append(GradientFunction(function, positional(getattr(module, function)), name))
    return found


def positional(function: FunctionType) -> tuple[str, ...]:
    """Return the names of what a function takes by position."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.kind in kinds)


def public_functions(module: ModuleType) -> dict[str, FunctionType]:
    """Return the functions that a module defines for its users and that compute arrays, by name."""
    return {
        name: function
        for name, function in vars(module).items()
        if isinstance(function, FunctionType)
        and not name.startswith("_")
        and name not in RESERVED
        and function.__module__ == module.__name__
    }
