"""A node of an ONNX graph, and the layer that it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from numpy.typing import NDArray

from symconv.errors import SymconvError

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]


class NotSupportedError(SymconvError):
    """What cannot be a layer, and why."""


@dataclass(frozen=True)
class Call:
    """A node: its inputs, what is constant of them, and its attributes."""

    inputs: tuple[str, ...]
    outputs: int
    attributes: Mapping[str, Any]
    opset: int
    training: bool
    constants: Mapping[str, Array]
    shapes: Mapping[str, tuple[int, ...]]

    @staticmethod
    def of(
        node: onnx.NodeProto,
        opset: int,
        training: bool,
        constants: Mapping[str, Array],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> Call:
        """Return a node's call."""
        from onnx.helper import get_attribute_value

        attributes = {a.name: _text(get_attribute_value(a)) for a in node.attribute}
        inputs = tuple(node.input)
        return Call(inputs, sum(map(bool, node.output)), attributes, opset, training, constants, shapes)

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute."""
        return self.attributes.get(name, default)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the first input."""
        return self.shapes[self.inputs[0]]

    def constant(self, at: int, what: str) -> Array | None:
        """Return an input that must be constant; None if it is left out."""
        if at >= len(self.inputs) or not self.inputs[at]:
            return None
        if self.inputs[at] not in self.constants:
            raise NotSupportedError(f"{what} must be constant")
        return self.constants[self.inputs[at]]

    def needed(self, at: int, what: str) -> Array:
        """Return an input that must be there, and constant."""
        found = self.constant(at, what)
        if found is None:
            raise NotSupportedError(f"{what} is missing")
        return found


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


@dataclass(frozen=True)
class Entry:
    """A layer: its kind, its arguments, the values that it takes, and its parameters."""

    kind: str
    arguments: Mapping[str, object]
    sources: tuple[str, ...]
    params: dict[str, Array] = field(default_factory=dict)


Operator: TypeAlias = Callable[[Call], Entry | str]
