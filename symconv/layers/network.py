"""Networks: layers whose inputs are other layers' outputs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, cast

from symconv.errors import SymconvError
from symconv.layers import arguments
from symconv.layers.batch import Shape
from symconv.layers.entries import Entry, Node, Shapes, derived_names, named_shapes, read_node
from symconv.layers.layer import Layer, rebuild, smaller_sizes, with_size
from symconv.notation.backpropagation import gradients
from symconv.notation.contraction import Contraction, Program, Tensor, index
from symconv.notation.graph import Graph, needed, renamed, total, written
from symconv.notation.names import element

INPUT = "x"  # what a network's only input is called among the values
ENERGY, SEED = Tensor("E", ()), Tensor("1", ())  # E, and ∂E/∂E, which is 1


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
        layers before it. ``shares`` names an earlier layer whose parameters it takes.
    input_shape
        Shape of the network's input; by default, the input shape of the first layer.
    dtype
        ``"float32"`` or ``"float64"``; by default, the dtype of the first layer.
    input_shapes
        Instead of ``input_shape``, the names and shapes of several inputs, as a mapping or pairs.
    outputs
        The layers whose outputs ``forward`` returns; by default, the last one before the loss.
    trainable
        Names of parameters that are trained, or of layers whose parameters all are; empty for every
        parameter. No gradient with respect to others is computed, nor a value that only it needs.

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
    input_shapes: Mapping[str, Shape] | Shapes = ()
    outputs: Sequence[str] = ()
    trainable: Sequence[str] = ()

    def __post_init__(self) -> None:
        entries = self.layers
        if not isinstance(entries, tuple | list) or not entries:
            raise arguments.refuse("layers", entries, "a list of at least one layer")
        valid = "one to five positive ints"
        object.__setattr__(self, "input_shapes", named_shapes(self.input_shapes, valid))
        if self.input_shape and self.input_shapes:
            raise SymconvError("input_shape: must not be given beside input_shapes")
        if self.input_shape:
            sizes = arguments.shape("input_shape", self.input_shape, range(1, 6), valid)
            object.__setattr__(self, "input_shape", sizes)
        if self.dtype:
            object.__setattr__(self, "dtype", arguments.dtype(self.dtype))
        found: dict[str, Node] = {}
        for number, entry in enumerate(entries, 1):
            try:
                node = read_node(entry, found, self.values, self.dtype)
            except SymconvError as error:
                raise SymconvError(f"layer {number}: {error}") from error
            if not self.dtype:
                object.__setattr__(self, "dtype", node.layer.dtype)
            if not self.input_shape and INPUT in node.sources and not self.input_shapes:
                shape = next(node.layer.inputs[n] for n, source in node.data.items() if source == INPUT)
                object.__setattr__(self, "input_shape", shape)
            self._check(node, found)
            found[node.name] = node
        object.__setattr__(self, "layers", tuple(found.values()))
        object.__setattr__(self, "outputs", self._outputs())
        object.__setattr__(self, "trainable", self._trainable())
        self._check_values()

    @property
    def network(self) -> Network:
        """The layer."""
        return self

    @property
    def values(self) -> dict[str, tuple[int, ...]]:
        """The names and shapes of what the network is given, besides parameters, masks and labels."""
        return dict(cast(Shapes, self.input_shapes)) or {INPUT: self.input_shape}

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """The layers with their names and the values that they take."""
        return tuple(node for node in self.layers if isinstance(node, Node))

    def _check(self, node: Node, before: Mapping[str, Node]) -> None:
        """Refuse a layer that takes another shape or dtype than is given to it."""
        for name, source in node.data.items():
            shape = node.layer.inputs[name]
            given = before[source].layer.output_shape if source in before else self.values[source]
            if given != shape:
                giver = f"{source} gives" if source in before else f"the input {source} has"
                raise SymconvError(f"{giver} shape {given}, but {node.name} takes {shape}")
        if node.layer.dtype != self.dtype:
            raise SymconvError(
                f"{node.name} has dtype {node.layer.dtype}, but the other layers have {self.dtype}"
            )
        if node.shares and before[node.shares].layer.parameters != node.layer.parameters:
            wanted, own = (
                ", ".join(f"{name} {sizes}" for name, sizes in of.parameters.items())
                for of in (node.layer, before[node.shares].layer)
            )
            raise SymconvError(
                f"{node.name} shares the parameters of {node.shares}, but takes others: {wanted} "
                f"instead of {own}"
            )

    def _outputs(self) -> tuple[str, ...]:
        """Return the names of what ``forward`` returns."""
        names = [node.name for node in self.body]
        if not self.outputs:
            return tuple(names[-1:])
        given = (self.outputs,) if isinstance(self.outputs, str) else self.outputs
        known = ", ".join(names)
        if not isinstance(given, tuple | list) or len(set(map(str, given))) < len(given):
            raise arguments.refuse("outputs", given, f"names of different layers: {known}")
        for name in given:
            if name not in names:
                raise arguments.refuse("outputs", name, f"one of the layers before the loss: {known}")
        return tuple(map(str, given))

    def _trainable(self) -> tuple[str, ...]:
        """Return the names of the parameters that are trained; empty for all."""
        given = (self.trainable,) if isinstance(self.trainable, str) else self.trainable
        every = [*self.parameters]
        known = ", ".join(dict.fromkeys(name.rpartition(".")[0] for name in every)) or "there is none"
        valid = f"names of layers with parameters, or of parameters: {known}"
        if not isinstance(given, tuple | list):
            raise arguments.refuse("trainable", given, valid)
        chosen: set[str] = set()
        for name in given:
            found = [own for own in every if name in (own, own.rpartition(".")[0])]
            if not found:
                raise arguments.refuse("trainable", name, valid)
            chosen.update(found)
        return tuple(name for name in every if name in chosen) if len(chosen) < len(every) else ()

    def _check_values(self) -> None:
        """Refuse a value that nothing reads, and a loss that is not last."""
        read = {source for node in self.nodes for source in node.sources}
        if not self.body:
            raise SymconvError("a loss alone is not a network: generate it as a single layer")
        names = [*self.values, *(node.name for node in self.nodes)]
        own = derived_names(self.values, tuple(self.outputs))
        twice = [name for name in names if own.count(name) + (name not in self.values) > 1]
        if twice:
            raise SymconvError(f"{twice[0]}: is what the module calls an array of another value")
        for name in self.values:
            if name not in read:
                raise SymconvError(f"no layer takes the input {name}")
        for node in self.nodes[:-1]:
            if node.is_loss:
                raise SymconvError(f"{node.name} is a loss, and must be the last layer")
            if node.name not in read and (node.name not in self.outputs or self.loss):
                lead = " that leads to the loss" if node.name in self.outputs else ""
                raise SymconvError(f"no layer{lead} takes the output of {node.name}")
        last = self.body[-1].name
        if not self.loss and last not in self.outputs:
            raise SymconvError(f"no layer takes the output of {last}, and outputs does not name it")

    def with_batch(self, batch: int) -> Network:
        """Return the same network for another number of samples.

        Raises
        ------
        SymconvError
            If a layer's own arguments contain the number of samples, as those of Reshape and Contraction
            do.
        """
        if self.any_batch:
            again = super().with_batch(batch)
        else:
            again = self._of({name: (batch, *shape[1:]) for name, shape in self.values.items()})
        assert isinstance(again, Network)  # a layer's kind stays
        return again

    def _of(self, values: Mapping[str, tuple[int, ...]]) -> Layer:
        """Return the same network for inputs of other shapes."""
        if self.input_shapes:
            return rebuild({**self.as_dict(), "input_shapes": tuple(values.items())})
        return rebuild({**self.as_dict(), "input_shape": values[INPUT]})

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output of the last layer."""
        return self.nodes[-1].layer.output_shape

    @property
    def returned(self) -> dict[str, tuple[int, ...]]:
        """The names and shapes of what ``forward`` returns."""
        shapes = {node.name: node.layer.output_shape for node in self.nodes}
        return {name: shapes[name] for name in self.outputs}

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
    def trained(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the parameters that are trained."""
        every = self.parameters
        return {name: every[name] for name in self.trainable} if self.trainable else every

    @property
    def frozen(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the parameters that are not trained."""
        trained = self.trained
        return {name: shape for name, shape in self.parameters.items() if name not in trained}

    @property
    def held(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of what functions are given as ``params``."""
        return self.parameters | self.running

    @property
    def running(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the running statistics, such as ``"batch_norm1.running_mean"``."""
        return {
            node.own(name): node.layer.inputs[name]
            for node in self.nodes
            for name in node.layer.statistic_names
        }

    @property
    def masks(self) -> dict[str, float]:
        """Names of the masks, such as ``"dropout1.mask"``, and the share that each keeps."""
        return {node.own(name): share for node in self.nodes for name, share in node.layer.masks.items()}

    @property
    def mask_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the masks."""
        return {
            node.own(name): node.layer.inputs[name] for node in self.nodes for name in node.layer.masks
        }

    @property
    def labels(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of the labels or the target of the loss; empty without a loss."""
        last = self.nodes[-1].layer
        return {name: last.inputs[name] for name in last.label_names}

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """The inputs, the parameters, the running statistics, the masks and the labels."""
        return self.values | self.parameters | self.running | self.mask_shapes | self.labels

    @property
    def differentiable(self) -> tuple[str, ...]:
        """The inputs and the parameters that are trained."""
        return (*self.values, *self.trained)

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
        found = {name: Tensor("X" if name == INPUT else name, s) for name, s in self.values.items()}
        for node in self.nodes:
            for name, shape in node.layer.inputs.items():
                symbol = node.layer.symbols[name]
                if name in node.layer.label_names:
                    found[name] = Tensor(symbol, shape)
                elif name not in node.data:
                    of = node.own(name).rpartition(".")[0]
                    found[node.own(name)] = Tensor(f"{of}.{symbol}", shape)
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
        """Return the steps of each layer's graph, with its tensors renamed to those of the network.

        The results are the loss, or else what is returned.
        """
        values = {name: self.tensors[name] for name in self.values}
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
        results = (self.loss.name,) if self.loss else tuple(self.outputs)
        return needed(Graph(tuple(steps), results, tuple(held)))

    @property
    def cotangents(self) -> dict[str, Tensor]:
        """The gradients of E that backpropagation begins with: 1 for a loss, G for what is returned."""
        shapes = {self.loss.name: self.output_shape} if self.loss else self.returned
        if len(shapes) == 1:
            return {name: Tensor("G", shape) for name, shape in shapes.items()}
        return {name: Tensor(f"G.{name}", shape) for name, shape in shapes.items()}

    @property
    def energy(self) -> Graph:
        """E, the sum of what is returned, element by element, times its gradient G; a loss times 1."""
        outputs = dict(zip(self.cotangents, self.graph.outputs, strict=True))
        products: list[Contraction] = []
        for name, g in self.cotangents.items():
            at = tuple(map(index, element(len(g.shape))))
            products += total(ENERGY[()], g[at], outputs[name][at]).contractions
        return replace(self.graph, steps=(*self.graph.steps, Program(tuple(products))), results=("E",))

    @property
    def backward(self) -> Graph:
        """The gradients of E with respect to the inputs and the parameters."""
        return gradients(self.energy, tuple(self.differentiated.values()), SEED)

    def names_of(self, node: Node, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the network's tensor for each tensor of a layer, by the name that the layer uses."""
        tensors = self.tensors | dict(values)
        return {t.name: tensors[node.own(name)] for name, t in node.layer.tensors.items()}

    @property
    def arguments(self) -> dict[str, object]:
        """The arguments that rebuild the network, without those that follow from earlier layers."""
        shapes = {"input_shape": self.input_shape, "input_shapes": self.input_shapes}
        outputs = {"outputs": self.outputs} if self.outputs != (self.body[-1].name,) else {}
        trainable = {"trainable": self.trainable} if self.trainable else {}
        return {
            **{name: given for name, given in shapes.items() if given},
            "layers": tuple(node.as_dict() for node in self.nodes),
            **outputs,
            **trainable,
            "dtype": self.dtype,
        }

    def reductions(self) -> Iterator[Layer]:
        """Visit the network with fewer samples, then with smaller images."""
        for name, shape in self.values.items():
            for axis, size in enumerate(shape):
                for less in smaller_sizes(size):
                    with contextlib.suppress(SymconvError):
                        yield self._of({**self.values, name: with_size(shape, axis, less)})

    def smaller(self) -> Network:
        """Return the network for a batch of at most two samples."""
        if self.any_batch:
            return self.with_batch(2)
        try:
            return self.with_batch(min(next(iter(self.values.values()))[0], 2))
        except SymconvError:  # a layer has a size that the batch's number is part of
            return self
