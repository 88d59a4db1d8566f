"""The entries of a network: a layer, its name and what it takes, however they are given."""

from __future__ import annotations

import builtins
import dataclasses
import keyword
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from symconv.errors import SymconvError
from symconv.layers import arguments
from symconv.layers.activation import Activation
from symconv.layers.batch import Shape
from symconv.layers.layer import Layer, kind_hint, rebuild

# what a network's module calls something else: a layer must not be called so, or begin so
TAKEN = ("labels", "target", "loss", "one", "grad_output", "ty", "ggo", "params", "masks", "seed")
LOCAL = ("y", "out", "outs", "p", "g", "v", "h", "s", "m", "samples", "np", "math")  # in its functions
BEGINNINGS = ("g_", "t_", "tg_", "more_", "moved_", "shared_", "grad_", "given_")
SHAPES = ("input_shape", "input_shapes", "dtype")  # what follows from the layers before


@dataclass(frozen=True)
class Node:
    """A layer of a network, its name (also the name of its output) and the values that it takes.

    ``shares`` is the layer before it whose parameters it takes; empty where it has its own.
    """

    name: str
    layer: Layer
    sources: tuple[str, ...]
    shares: str = ""

    @property
    def data(self) -> dict[str, str]:
        """The value of the network that each input takes; parameters and labels are left out."""
        return dict(zip(data_inputs(self.layer), self.sources, strict=True))

    @property
    def is_loss(self) -> bool:
        """Whether the layer compares its input with labels."""
        return bool(self.layer.label_names)

    def own(self, name: str) -> str:
        """Return the name that an input of the layer has in the network, such as ``conv1.weight``."""
        if name in self.layer.label_names:
            return name
        if self.shares and name in self.layer.parameters:
            return f"{self.shares}.{name}"
        return self.data.get(name, f"{self.name}.{name}")

    def as_dict(self) -> dict[str, object]:
        """Return plain data: name, inputs, the layer's kind, and the arguments that are not implied."""
        chosen = {
            f.name: getattr(self.layer, f.name)
            for f in dataclasses.fields(cast(Any, self.layer))  # every kind is a dataclass
            if f.name not in SHAPES and getattr(self.layer, f.name) != f.default
        }
        shared = {"shares": self.shares} if self.shares else {}
        kind = type(self.layer).__name__
        return {"name": self.name, "inputs": self.sources, **shared, "layer": kind, **chosen}


Given: TypeAlias = Layer | Mapping[str, object]
Entry: TypeAlias = Node | Given | tuple[str, Given] | tuple[str, Given, str | Sequence[str]]
Shapes: TypeAlias = tuple[tuple[str, Shape], ...]


def data_inputs(layer: Layer) -> list[str]:
    """Return the names of a layer's inputs that are not parameters, statistics, masks or labels."""
    others = {*layer.parameters, *layer.label_names, *layer.statistic_names, *layer.masks}
    return [name for name in layer.inputs if name not in others]


def named_shapes(given: object, valid: str) -> Shapes:
    """Return the names and shapes of several inputs."""
    pairs = tuple(given.items()) if isinstance(given, Mapping) else given
    if not isinstance(pairs, tuple | list) or not all(
        isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs
    ):
        raise arguments.refuse("input_shapes", given, "names and shapes, as a mapping or pairs")
    found = [
        (str(name), arguments.shape("input_shapes", shape, range(1, 6), valid)) for name, shape in pairs
    ]
    for at, (name, _) in enumerate(found):
        taken = (*TAKEN, *LOCAL, *dir(builtins), *derived_names(other for other, _ in found[:at]))
        _check_name("input_shapes", name, (), taken)
    return tuple(found)


def read_node(
    entry: object, before: Mapping[str, Node], values: Mapping[str, tuple[int, ...]], dtype: str
) -> Node:
    """Read a node: a layer, with or without a name and what it takes."""
    name: object = None
    layer: object = entry
    sources: object = None
    shares: object = ""
    match entry:
        case Node():
            name, layer, sources, shares = entry.name, entry.layer, entry.sources, entry.shares
        case Mapping():
            layer = {key: value for key, value in entry.items() if key not in ("name", "inputs")}
            name, sources = entry.get("name"), entry.get("inputs")
        case (given_name, given_layer):
            name, layer = given_name, given_layer
        case (given_name, given_layer, given_sources):
            name, layer, sources = given_name, given_layer, given_sources
    if isinstance(layer, Mapping):
        shares = layer.get("shares", shares)
        layer = {key: value for key, value in layer.items() if key != "shares"}
    taken = _sources(sources, before, values)
    for source in taken:
        if source in before and before[source].is_loss:
            raise SymconvError(f"{source} is a loss, and must be the last layer")
    shapes = [before[s].layer.output_shape if s in before else values[s] for s in taken]
    found = _layer(layer, shapes, dtype)
    named = _name(name, found, before, values)
    node = Node(named, found, taken, _shared(shares, found, before))
    needs = len(data_inputs(found))
    if len(taken) != needs:
        raise SymconvError(
            f"{node.name} takes {needs} value{'s' * (needs != 1)}, but is given {', '.join(taken)}"
        )
    return node


def _shared(given: object, layer: Layer, before: Mapping[str, Node]) -> str:
    """Return the layer whose parameters another one takes: the one that has them, of several."""
    if given == "":
        return ""
    if not isinstance(given, str) or given not in before:
        known = ", ".join(before) or "there is none yet"
        raise arguments.refuse("shares", given, f"one of the earlier layers: {known}")
    if layer.statistic_names or layer.masks or not layer.parameters:
        kind = type(layer).__name__
        has = "statistics or masks of its own" if layer.parameters or layer.masks else "no parameters"
        raise arguments.refuse("shares", given, f"left out: {kind} has {has}")
    return before[given].shares or given


def _sources(given: object, before: Mapping[str, Node], values: Iterable[str]) -> tuple[str, ...]:
    """Return the values that a layer takes: without a word, what the one before gives."""
    if given is None:
        return (next(reversed(list(before)), next(iter(values))),)
    words = (given,) if isinstance(given, str) else given
    known = [*values, *before]
    if not isinstance(words, tuple | list) or not words:
        raise arguments.refuse("inputs", given, f"names of values: {', '.join(known)}")
    for word in words:
        if word not in known:
            raise arguments.refuse("inputs", word, f"one of the earlier values: {', '.join(known)}")
    return tuple(map(str, words))


def _layer(entry: object, shapes: Sequence[tuple[int, ...]], dtype: str) -> Layer:
    """Return a layer; from a mapping, its shapes and dtype where they are left out."""
    if isinstance(entry, Mapping):
        data = dict(entry)
        fields = getattr(Layer.kinds.get(str(data.get("layer"))), "__dataclass_fields__", {})
        if all(shapes) and "input_shapes" in fields:
            data.setdefault("input_shapes", tuple(shapes))
        elif shapes[0] and "input_shape" in fields:
            data.setdefault("input_shape", shapes[0])
        if len(shapes) > 1 and "values" in fields:
            data.setdefault("values", len(shapes))
        if dtype and "dtype" in fields:
            data.setdefault("dtype", dtype)
        entry = rebuild(data)
    if isinstance(entry, Layer) and entry.network:
        raise SymconvError("a Network cannot be a layer of another: give its layers")
    if not isinstance(entry, Layer):
        hint = kind_hint(entry) if isinstance(entry, str) else ""
        raise SymconvError(f"{entry!r}: must be a layer, or a name and a layer{hint}")
    return entry


def _name(name: object, layer: Layer, before: Mapping[str, Node], values: Iterable[str]) -> str:
    """Return a node's name: the given one, or its kind's with a number."""
    if name is None:
        kind = type(layer).__name__
        if isinstance(layer, Activation) and layer.function.isidentifier():
            kind = layer.function
        word = re.sub("(?<=[a-z])(?=[A-Z])", "_", kind).lower()
        count = sum(bool(re.fullmatch(rf"{word}\d+", other)) for other in before)
        name = f"{word}{count + 1}"
    taken = (*TAKEN, *derived_names(values))
    if name == "loss" and layer.label_names:
        return "loss"
    return _check_name("name", name, before, taken)


def derived_names(values: Iterable[str], outputs: Sequence[str] = ()) -> list[str]:
    """Return what functions call arrays after inputs, and after outputs if there are several."""
    found = [form + value for value in values for form in ("", "g", "t", "gg")]
    several = outputs if len(outputs) > 1 else ()
    return found + [form + name for name in several for form in ("y_", "ty_", "ggo_", "grad_")]


def _check_name(
    argument: str, name: object, others: Collection[str], taken: Collection[str] = TAKEN
) -> str:
    """Return a value's name, if a module can call it so and nothing else has it."""
    if not isinstance(name, str) or not re.fullmatch("[a-z]([a-z0-9_]{0,38}[a-z0-9])?", name):
        valid = "up to 40 lower-case letters, digits and _, with a letter first and no _ last"
    elif name in others:
        valid = "different from the names of the other layers"
    elif name in taken or keyword.iskeyword(name):
        valid = "different from inputs, from the module's own names and from Python's keywords"
    elif name.startswith(BEGINNINGS) or "_by_" in name:
        valid = f"a name that does not begin with {', '.join(BEGINNINGS)} and does not contain _by_"
    else:
        return name
    raise arguments.refuse(argument, name, valid)
