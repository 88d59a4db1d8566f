"""A network while a model of another library is read: its layers so far, and their parameters."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from symconv.errors import SymconvError
from symconv.layers.entries import read_node
from symconv.layers.layer import Layer

Array: TypeAlias = NDArray[Any]
Entry: TypeAlias = tuple[str, dict[str, object], tuple[str, ...]]  # name, layer, what it takes
LOSS = "SoftmaxCrossEntropy"


class NotSupportedError(SymconvError):
    """Raised for an operator that symconv cannot represent."""


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
    entries: list[Entry] = field(default_factory=list)
    params: dict[str, Array] = field(default_factory=dict)
    constants: set[str] = field(default_factory=set)
    _owners: dict[tuple[object, ...], str] = field(default_factory=dict)
    _held: list[Mapping[str, Array]] = field(default_factory=list)

    def kind(self, name: str) -> object:
        """Return the kind of a layer."""
        return next(entry["layer"] for own, entry, _ in self.entries if own == name)

    def _owner(self, name: str, kind: str, layer: Layer, params: Mapping[str, Array]) -> str:
        """Return the layer before it whose parameters these are, by their memory; empty if none."""
        if not layer.parameters or layer.statistic_names:
            return ""
        places = tuple(
            (array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str)
            for array in (np.asarray(params[own]) for own in layer.parameters)
        )
        self._held.append(params)  # so that no other array takes their places
        owner = self._owners.setdefault((kind, *places), name)
        return owner if owner != name else ""

    def results(self, values: Sequence[Value]) -> tuple[str, ...]:
        """Return the layers of what is returned: an input, or a value named twice, is copied."""
        seen: set[str] = {*self.inputs}
        found: list[str] = []
        for number, value in enumerate(values, 1):
            name = value.name
            if name in seen:
                name = f"output{number}"
                self.add(name, "Reshape", {"shape": value.shape}, [value], {})
            seen.add(name)
            found += [name] if self.kind(name) != LOSS else []
        return tuple(found)

    def leading_to(self, outputs: Collection[str]) -> list[Entry]:
        """Return the layers that others, or what is returned, are computed from; a loss is such."""
        needed = {*outputs}
        found: list[Entry] = []
        for name, entry, sources in reversed(self.entries):
            if name in needed or entry["layer"] == LOSS:
                found.append((name, entry, sources))
                needed.update(sources, [str(entry.get("shares", name))])
        return found[::-1]

    def add(
        self,
        name: str,
        kind: str,
        arguments: Mapping[str, object],
        sources: Sequence[Value],
        params: Mapping[str, Array],
        shares: str = "",
    ) -> Value:
        """Add a layer, and return its output; ``shares`` names one whose parameters it takes."""
        for source in sources:
            if source.labels:
                raise NotSupportedError(f"takes the integers {source.name!r}")
        entry = {"layer": kind, **arguments}
        shapes = {f"v{at}": source.shape for at, source in enumerate(dict.fromkeys(sources))}
        names = dict(zip(dict.fromkeys(sources), shapes, strict=True))
        own = tuple(names[source] for source in sources)
        layer = read_node((name, entry, own), {}, shapes, self.dtype).layer
        shares = shares or self._owner(name, kind, layer, params)
        wanted = layer.parameters | {n: layer.inputs[n] for n in layer.statistic_names}
        for parameter, shape in () if shares else wanted.items():
            array = np.asarray(params[parameter])
            if array.shape != shape:
                raise NotSupportedError(f"{parameter} has shape {array.shape}, not {shape}")
            self.params[f"{name}.{parameter}"] = np.array(array, self.dtype, order="C")
        entry |= {"shares": shares} if shares else {}
        self.entries.append((name, entry, tuple(source.name for source in sources)))
        return Value(name, layer.output_shape)
