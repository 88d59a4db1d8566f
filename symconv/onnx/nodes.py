"""A node of an ONNX graph: what it is given, and the layers that it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from symconv.errors import SymconvError
from symconv.layers.entries import read_node

if TYPE_CHECKING:
    import onnx

Array: TypeAlias = NDArray[Any]


class NotSupportedError(SymconvError):
    """What cannot be a layer, and why."""


@dataclass(frozen=True)
class Value:
    """A value of the network: the input or the layer that computes it, and its shape.

    ``labels`` marks class numbers, which only a loss takes.
    """

    name: str
    shape: tuple[int, ...]
    labels: bool = False


@dataclass
class Layers:
    """The layers of a network while its file is read, and their parameters.

    ``inputs`` has the network's inputs. ``constants`` names the parameters that are never trained.
    """

    dtype: str
    inputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    entries: list[tuple[str, dict[str, object], tuple[str, ...]]] = field(default_factory=list)
    params: dict[str, Array] = field(default_factory=dict)
    constants: set[str] = field(default_factory=set)

    def kind(self, name: str) -> object:
        """Return the kind of a layer."""
        return next(entry["layer"] for own, entry, _ in self.entries if own == name)

    def add(
        self,
        name: str,
        kind: str,
        arguments: Mapping[str, object],
        sources: Sequence[Value],
        params: Mapping[str, Array],
    ) -> Value:
        """Add a layer, and return its output."""
        for source in sources:
            if source.labels:
                raise NotSupportedError(f"takes the integers {source.name!r}")
        entry = {"layer": kind, **arguments}
        shapes = {f"v{at}": source.shape for at, source in enumerate(dict.fromkeys(sources))}
        names = dict(zip(dict.fromkeys(sources), shapes, strict=True))
        own = tuple(names[source] for source in sources)
        layer = read_node((name, entry, own), {}, shapes, self.dtype).layer
        wanted = layer.parameters | {n: layer.inputs[n] for n in layer.statistic_names}
        for parameter, shape in wanted.items():
            array = np.asarray(params[parameter])
            if array.shape != shape:
                raise NotSupportedError(f"{parameter} has shape {array.shape}, not {shape}")
            self.params[f"{name}.{parameter}"] = np.array(array, self.dtype, order="C")
        self.entries.append((name, entry, tuple(source.name for source in sources)))
        return Value(name, layer.output_shape)


@dataclass(frozen=True)
class Call:
    """A node: its inputs, each a value or constant (None if it is left out), and its attributes."""

    name: str
    inputs: tuple[Value | Array | None, ...]
    outputs: int
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
        **arguments: object,
    ) -> Value:
        """Add a layer; ``part`` names one that computes less than the whole node."""
        name = f"{self.name}_{part}" if part else self.name
        found = self.layers.add(name, kind, arguments, sources, params or {})
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
