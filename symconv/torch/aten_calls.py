"""A call of one of PyTorch's operators: what it is given, and the layers that it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from symconv.building import Array, Layers, NotSupportedError, Value

IGNORED = ("cudnn_enabled", "cudnn_enable", "memory_format", "implicit", "p")  # of no effect here


class Given(dict[str, Any]):
    """Arguments by name, which know those that were looked at."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        super().__init__(arguments)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return an argument, if there is one."""
        self.read.add(name)
        return super().get(name, default)


@dataclass(frozen=True)
class Call:
    """A node: its arguments by name, of which tensors are values or arrays, and what adds layers."""

    name: str
    given: Given
    training: bool
    layers: Layers

    def __getitem__(self, name: str) -> Any:
        return self.given[name]

    def value(self, name: str = "input") -> Value:
        """Return an argument that is computed."""
        found = self.given.get(name, self.given.get("self"))
        if not isinstance(found, Value):
            raise NotSupportedError(f"{name} must depend on the model's input")
        return found

    def array(self, name: str) -> Array | None:
        """Return an argument that is a parameter, or left out."""
        found = self.given.get(name)
        if isinstance(found, Value):
            raise NotSupportedError(f"{name} must be a parameter")
        return None if found is None else np.asarray(found)

    def layer(
        self,
        kind: str,
        *sources: Value,
        part: str = "",
        params: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> Value:
        """Add a layer; ``part`` names one that computes less than the whole node."""
        name = f"{self.name}_{part}" if part else self.name
        return self.layers.add(name, kind, arguments, sources, params or {})

    def activation(
        self, function: str, part: str = "", x: Value | None = None, **constants: float
    ) -> Value:
        """Add a function of each element."""
        named = tuple((name, float(value)) for name, value in constants.items())
        source = self.value() if x is None else x
        return self.layer("Activation", source, part=part, function=function, constants=named)


Op: TypeAlias = Callable[[Call], Any]
