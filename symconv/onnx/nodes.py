"""A node of an ONNX graph: what it is given, and the layers that it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from symconv.building import Array, Layers, NotSupportedError, Value

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Call:
    """A node: its inputs, each a value or constant (None if it is left out), and its attributes.

    ``outputs`` is the number of outputs up to the last that is needed, ``count`` that of all.
    """

    name: str
    inputs: tuple[Value | Array | None, ...]
    outputs: int
    count: int
    attributes: Mapping[str, Any]
    opset: int
    training: bool
    layers: Layers

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute."""
        return self.attributes.get(name, default)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the first input."""
        return self.value(0).shape

    def value(self, at: int) -> Value:
        """Return an input that must be computed."""
        found = self.inputs[at]
        if not isinstance(found, Value):
            raise NotSupportedError(f"input {at + 1} must not be constant")
        return found

    def values(self) -> tuple[Value, ...]:
        """Return the inputs, all of which must be computed."""
        return tuple(map(self.value, range(len(self.inputs))))

    def constant(self, at: int, what: str) -> Array | None:
        """Return an input that must be constant; None if it is left out."""
        found = self.inputs[at] if at < len(self.inputs) else None
        if isinstance(found, Value):
            raise NotSupportedError(f"{what} must be constant")
        return found

    def needed(self, at: int, what: str) -> Array:
        """Return an input that must be there, and constant."""
        found = self.constant(at, what)
        if found is None:
            raise NotSupportedError(f"{what} is missing")
        return found

    def layer(
        self,
        kind: str,
        *sources: Value,
        part: str = "",
        params: Mapping[str, Array] | None = None,
        trained: bool = True,
        shares: str = "",
        **arguments: object,
    ) -> Value:
        """Add a layer; ``part`` names one that computes less than the whole node."""
        name = f"{self.name}_{part}" if part else self.name
        found = self.layers.add(name, kind, arguments, sources, params or {}, shares)
        if not trained:
            self.layers.constants.update(f"{name}.{parameter}" for parameter in params or {})
        return found


Operator: TypeAlias = Callable[[Call], Value | tuple[Value, ...]]


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's attributes, with text as such."""
    from onnx.helper import get_attribute_value

    return {a.name: _text(get_attribute_value(a)) for a in node.attribute}


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def short(name: str) -> str:
    """Return a name of the file in one short line."""
    return repr(name[:60])


def with_bias(weight: Array, bias: Array | None) -> dict[str, Array]:
    """Return parameters by name."""
    return {"weight": weight} | ({} if bias is None else {"bias": bias})
