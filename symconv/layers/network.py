"""Networks: layers whose inputs are other layers' outputs."""

from __future__ import annotations

import contextlib
import dataclasses
import keyword
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, TypeAlias, cast

from symconv.errors import SymconvError
from symconv.layers import arguments
from symconv.layers.activation import Activation
from symconv.layers.batch import Shape
from symconv.layers.layer import Layer, kind_hint, rebuild, smaller_sizes, with_size
from symconv.notation.contraction import Tensor
from symconv.notation.graph import Graph, needed, renamed, written

INPUT = "x"  # what the network's input is called among the values
# what a network's module calls something else: a layer must not be called so, or begin so
TAKEN = ("x", "labels", "target", "loss", "one", "grad_output", "ty", "ggo", "ggx")
BEGINNINGS = ("g_", "t_", "tg_", "more_", "moved_")
SHAPES = ("input_shape", "input_shapes", "dtype")  # what follows from the layers before


@dataclass(frozen=True)
class Node:
    """A layer of a network, its name (also the name of its output) and the values that it takes."""

    name: str
    layer: Layer
    sources: tuple[str, ...]

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
        return self.data.get(name, f"{self.name}.{name}")

    def as_dict(self) -> dict[str, object]:
        """Return plain data: name, inputs, the layer's kind, and the arguments that are not implied."""
        chosen = {
            f.name: getattr(self.layer, f.name)
            for f in dataclasses.fields(cast(Any, self.layer))  # every kind is a dataclass
            if f.name not in SHAPES and getattr(self.layer, f.name) != f.default
        }
        return {"name": self.name, "inputs": self.sources, "layer": type(self.layer).__name__, **chosen}


Given: TypeAlias = Layer | Mapping[str, object]
Entry: TypeAlias = Node | Given | tuple[str, Given] | tuple[str, Given, str | Sequence[str]]


def data_inputs(layer: Layer) -> list[str]:
    """Return the names of a layer's inputs that are not parameters, statistics or labels."""
    others = {*layer.parameters, *layer.label_names, *layer.statistic_names}
    return [name for name in layer.inputs if name not in others]


@dataclass(frozen=True)
class Network(Layer):
    """Layers whose inputs are other layers' outputs; a loss may come last.

    Parameters
    ----------
    layers
        The layers, in the order in which they are computed. Each entry is a layer, a name and a layer,
        or a name, a layer and the names of its inputs. An input is the name of another layer, or
        ``"x"`` for the network's input; by default, a layer takes the output of the layer before it.
        A layer may also be given as a mapping with its kind as ``layer``, its arguments, and
        optionally ``name`` and ``inputs``. Its ``input_shape`` and ``dtype`` then follow from the
        layers before it.
    input_shape
        Shape of the network's input; by default, the input shape of the first layer.
    dtype
        ``"float32"`` or ``"float64"``; by default, the dtype of the first layer.

    Raises
    ------
    SymconvError
        If an argument is not valid, the shapes of connected layers differ, or a value is unknown.
    """

    example: ClassVar[dict[str, object]] = {
        "layers": [{"layer": "Flatten"}, {"layer": "Linear", "out_features": 10}],
        "input_shape": (1, 4, 16, 16),
    }
    symbols: ClassVar[dict[str, str]] = {}

    layers: Sequence[Entry]
    input_shape: Shape = field(default=())
    dtype: str = ""

    def __post_init__(self) -> None:
        entries = self.layers
        if not isinstance(entries, tuple | list) or not entries:
            raise arguments.refuse("layers", entries, "a list of at least one layer")
        if self.input_shape:
            valid = "one to five positive ints"
            sizes = arguments.shape("input_shape", self.input_shape, range(1, 6), valid)
            object.__setattr__(self, "input_shape", sizes)
        if self.dtype:
            object.__setattr__(self, "dtype", arguments.dtype(self.dtype))
        found: dict[str, Node] = {}
        for number, entry in enumerate(entries, 1):
            try:
                node = _node(entry, found, self.input_shape, self.dtype)
            except SymconvError as error:
                raise SymconvError(f"layer {number}: {error}") from error
            if not self.dtype:
                object.__setattr__(self, "dtype", node.layer.dtype)
            if not self.input_shape and INPUT in node.sources:
                shape = next(node.layer.inputs[n] for n, source in node.data.items() if source == INPUT)
                object.__setattr__(self, "input_shape", shape)
            self._check(node, found)
            found[node.name] = node
        object.__setattr__(self, "layers", tuple(found.values()))
        self._check_values()

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """The layers with their names and the values that they take."""
        return tuple(node for node in self.layers if isinstance(node, Node))

    def _check(self, node: Node, before: Mapping[str, Node]) -> None:
        """Refuse a layer that takes another shape or dtype than is given to it."""
        for name, source in node.data.items():
            shape = node.layer.inputs[name]
            given = before[source].layer.output_shape if source in before else self.input_shape
            if given != shape:
                giver = f"{source} gives" if source in before else f"the input {INPUT} has"
                raise SymconvError(f"{giver} shape {given}, but {node.name} takes {shape}")
        if node.layer.dtype != self.dtype:
            raise SymconvError(
                f"{node.name} has dtype {node.layer.dtype}, but the other layers have {self.dtype}"
            )

    def _check_values(self) -> None:
        """Refuse a value that nothing reads, and a loss that is not last."""
        read = {source for node in self.nodes for source in node.sources}
        if not self.body:
            raise SymconvError("a loss alone is not a network: generate it as a single layer")
        if INPUT not in read:
            raise SymconvError(f"no layer takes the input {INPUT}")
        for node in self.nodes[:-1]:
            if node.is_loss:
                raise SymconvError(f"{node.name} is a loss, and must be the last layer")
            if node.name not in read:
                raise SymconvError(f"no layer takes the output of {node.name}")

    def with_batch(self, batch: int) -> Network:
        """Return the same network for another number of samples.

        Raises
        ------
        SymconvError
            If a layer's own arguments contain the number of samples, as those of Reshape and Contraction
            do.
        """
        again = super().with_batch(batch)
        assert isinstance(again, Network)  # a layer's kind stays
        return again

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output of the last layer."""
        return self.nodes[-1].layer.output_shape

    @property
    def loss(self) -> Node | None:
        """The last layer, if it is a loss."""
        return self.nodes[-1] if self.nodes[-1].is_loss else None

    @property
    def body(self) -> tuple[Node, ...]:
        """The layers without the loss."""
        return self.nodes[:-1] if self.loss else self.nodes

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the parameters, such as ``"conv1.weight"``."""
        return {
            node.own(name): shape for node in self.nodes for name, shape in node.layer.parameters.items()
        }

    @property
    def running(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the running statistics, such as ``"batch_norm1.running_mean"``."""
        return {
            node.own(name): node.layer.inputs[name]
            for node in self.nodes
            for name in node.layer.statistic_names
        }

    @property
    def labels(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of the labels or the target of the loss; empty without a loss."""
        last = self.nodes[-1].layer
        return {name: last.inputs[name] for name in last.label_names}

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """The input, the parameters, the running statistics and the labels."""
        return {INPUT: self.input_shape} | self.parameters | self.running | self.labels

    @property
    def differentiable(self) -> tuple[str, ...]:
        """The input and the parameters."""
        return (INPUT, *self.parameters)

    @property
    def classes(self) -> dict[str, int]:
        """The number of classes of the loss, by the name of its labels."""
        return self.nodes[-1].layer.classes

    @property
    def ignored(self) -> dict[str, int]:
        """The label that the loss ignores, if there is one."""
        return self.nodes[-1].layer.ignored

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors in formulas: X, the labels T, and those of the layers, such as ``conv1.F``."""
        found = {INPUT: Tensor("X", self.input_shape)}
        for node in self.nodes:
            for name, shape in node.layer.inputs.items():
                symbol = node.layer.symbols[name]
                if name in node.layer.label_names:
                    found[name] = Tensor(symbol, shape)
                elif name not in node.data:
                    found[node.own(name)] = Tensor(f"{node.name}.{symbol}", shape)
        return {name: found[name] for name in self.inputs}

    @cached_property
    def graph(self) -> Graph:
        """Every layer's steps, one after the other."""
        return self.composed({node.name: node.layer.graph for node in self.nodes})

    @cached_property
    def forward(self) -> Graph:
        """The same, with the steps that each layer computes."""
        return self.composed({node.name: node.layer.forward for node in self.nodes})

    def composed(self, graphs: Mapping[str, Graph]) -> Graph:
        """Return the steps of each layer's graph, with its tensors renamed to those of the network."""
        values = {INPUT: self.tensors[INPUT]}
        steps = []
        held: list[str] = []
        for node in self.nodes:
            graph = graphs[node.name]
            names = self.names_of(node, values)
            names |= {
                written(step).name: Tensor(f"{node.name}.{written(step).name}", written(step).shape)
                for step in graph.steps
            }
            names[graph.output.name] = Tensor(node.name, graph.output.shape)
            values[node.name] = names[graph.output.name]
            steps += [renamed(step, names) for step in graph.steps]
            held += [names[name].name for name in graph.held]
        return needed(Graph(tuple(steps), (self.nodes[-1].name,), tuple(held)))

    def names_of(self, node: Node, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the network's tensor for each tensor of a layer, by the name that the layer uses."""
        tensors = self.tensors | dict(values)
        return {t.name: tensors[node.own(name)] for name, t in node.layer.tensors.items()}

    @property
    def arguments(self) -> dict[str, object]:
        """The arguments that rebuild the network, without those that follow from earlier layers."""
        return {
            "input_shape": self.input_shape,
            "layers": tuple(node.as_dict() for node in self.nodes),
            "dtype": self.dtype,
        }

    def reductions(self) -> Iterator[Layer]:
        """Visit the network with fewer samples, then with smaller images."""
        for axis, size in enumerate(self.input_shape):
            for less in smaller_sizes(size):
                shape = with_size(self.input_shape, axis, less)
                with contextlib.suppress(SymconvError):
                    yield rebuild({**self.as_dict(), "input_shape": shape})

    def smaller(self) -> Layer:
        """Return the network for a batch of at most two samples."""
        try:
            return self.with_batch(min(self.input_shape[0], 2))
        except SymconvError:  # a layer has a size that the batch's number is part of
            return self


def _node(entry: object, before: Mapping[str, Node], input_shape: tuple[int, ...], dtype: str) -> Node:
    """Read a node: a layer, with or without a name and what it takes."""
    name: object = None
    layer: object = entry
    sources: object = None
    match entry:
        case Node():
            name, layer, sources = entry.name, entry.layer, entry.sources
        case Mapping():
            layer = {key: value for key, value in entry.items() if key not in ("name", "inputs")}
            name, sources = entry.get("name"), entry.get("inputs")
        case (given_name, given_layer):
            name, layer = given_name, given_layer
        case (given_name, given_layer, given_sources):
            name, layer, sources = given_name, given_layer, given_sources
    taken = _sources(sources, before)
    for source in taken:
        if source in before and before[source].is_loss:
            raise SymconvError(f"{source} is a loss, and must be the last layer")
    shapes = [before[s].layer.output_shape if s in before else input_shape for s in taken]
    node = Node(_name(name, found := _layer(layer, shapes, dtype), before), found, taken)
    needs = len(data_inputs(found))
    if len(taken) != needs:
        raise SymconvError(
            f"{node.name} takes {needs} values, but {len(taken)} are given: {', '.join(taken)}"
        )
    return node


def _sources(given: object, before: Mapping[str, Node]) -> tuple[str, ...]:
    """Return the values that a layer takes: without a word, what the one before gives."""
    if given is None:
        return (next(reversed(list(before)), INPUT),)
    words = (given,) if isinstance(given, str) else given
    known = [INPUT, *before]
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
    if isinstance(entry, Network):
        raise SymconvError("a Network cannot be a layer of another: give its layers")
    if not isinstance(entry, Layer):
        hint = kind_hint(entry) if isinstance(entry, str) else ""
        raise SymconvError(f"{entry!r}: must be a layer, or a name and a layer{hint}")
    return entry


def _name(name: object, layer: Layer, before: Mapping[str, Node]) -> str:
    """Return a node's name: the given one, or its kind's with a number."""
    if name is None:
        kind = type(layer).__name__
        if isinstance(layer, Activation) and layer.function.isidentifier():
            kind = layer.function
        word = re.sub("(?<=[a-z])(?=[A-Z])", "_", kind).lower()
        count = sum(bool(re.fullmatch(rf"{word}\d+", other)) for other in before)
        name = f"{word}{count + 1}"
    taken = name in TAKEN and not (name == "loss" and layer.label_names)
    if not isinstance(name, str) or not re.fullmatch("[a-z]([a-z0-9_]{0,38}[a-z0-9])?", name):
        valid = "up to 40 lower-case letters, digits and _, with a letter first and no _ last"
    elif name in before:
        valid = "different from the names of the other layers"
    elif taken or keyword.iskeyword(name):
        valid = "different from the module's own names and from Python's keywords"
    elif name.startswith(BEGINNINGS) or "_by_" in name:
        valid = f"a name that does not begin with {', '.join(BEGINNINGS)} and does not contain _by_"
    else:
        return name
    raise arguments.refuse("name", name, valid)
