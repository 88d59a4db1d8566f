"""An ONNX file as a network and its parameters: constants folded, every node layers, or refused."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from symconv.building import Array, Layers, NotSupportedError, Value
from symconv.errors import SymconvError
from symconv.layers.network import Network
from symconv.onnx.constants import constant_of, folded
from symconv.onnx.free_batch import FEW, of_any_batch
from symconv.onnx.fusing import Fusion, fused
from symconv.onnx.model import Model, Reading
from symconv.onnx.nodes import Call, attributes_of, short
from symconv.onnx.operators import OPERATORS
from symconv.onnx.tensors import array_of, dtype_of, given_shape, read_model

if TYPE_CHECKING:
    import onnx

OPSETS = range(6, 29)  # whose operators are known
DEEPEST = 8  # branches in branches
Names: TypeAlias = Sequence[str] | str
Shapes: TypeAlias = Sequence[int] | Mapping[str, Sequence[int]]


def load(
    path: str | os.PathLike[str],
    batch: int | Literal["any"] | None = None,
    input_shape: Shapes | None = None,
    until: Names = (),
    since: Names = (),
    head: Sequence[Any] = (),
    trainable: Names = (),
    training: bool = False,
    fuse: bool = False,
) -> tuple[Network, dict[str, Array]]:
    """Return the network in an ONNX file, and its parameters by name.

    Parameters
    ----------
    path
        The file. Weights in other files must be in its folder.
    batch
        The number of samples, instead of the file's; ``"any"`` for a module in NumPy that takes any.
    input_shape
        The shape of the only input, instead of the file's; or shapes by the inputs' names.
    until
        The names of values in the file that the network returns, instead of the file's own.
    since
        The names of values in the file that the network is given, instead of the file's own inputs.
    head
        Layers that follow the only value returned, as in :class:`Network`: a new classifier, or a
        loss. ``params`` then lacks their parameters: ``module.init(seed) | params`` has all.
    trainable
        Names of parameters that are trained, or of layers whose parameters all are; empty for all.
    training
        Whether BatchNorm normalises with a batch's statistics, and updates the running ones. By default
        it uses the running ones, as inference does.
    fuse
        Whether functions of one value become one function (x·σ(x) is SiLU), and BatchNorm joins the
        convolution before it, unless it trains: each by an identity that SymPy confirms.

    Raises
    ------
    SymconvError
        If the file cannot be read, a shape is open, or an operator is not supported: it is named with
        its node and version, and the nearest value at which ``until`` can cut. Nothing is guessed.

    Examples
    --------
    >>> import symconv
    >>> network, params = symconv.onnx.load("model.onnx", batch=1)  # doctest: +SKIP
    >>> module = symconv.generate(network, "model").load()  # doctest: +SKIP
    >>> y = module.forward(params, x)  # doctest: +SKIP
    """
    model = read(path, batch, input_shape, until, since, head, trainable, training, fuse)
    return model.network, model.params


def read(
    path: str | os.PathLike[str],
    batch: int | Literal["any"] | None = None,
    input_shape: Shapes | None = None,
    until: Names = (),
    since: Names = (),
    head: Sequence[Any] = (),
    trainable: Names = (),
    training: bool = False,
    fuse: bool = False,
) -> Model:
    """Return what :func:`load` returns, and what each node of the file became."""
    if batch == "any":
        few = [
            read(path, samples, input_shape, until, since, head, trainable, training, fuse)
            for samples in FEW
        ]
        try:
            return replace(few[0], network=of_any_batch(*(model.network for model in few)))
        except SymconvError as error:
            raise SymconvError(f"{path}: {error}") from error
    proto = read_model(path)
    opset = max((i.version for i in proto.opset_import if i.domain in ("", "ai.onnx")), default=0)
    if opset not in OPSETS:
        raise SymconvError(f"{path}: opset {opset}: must be {OPSETS[0]} to {OPSETS[-1]}")
    try:
        reader = _Reader(proto, opset, training, Path(path).parent)
        wanted = _listed(until) or [value.name for value in proto.graph.output]
        reader.give(wanted, _listed(since), batch, input_shape)
        inferred = {} if _listed(since) else _inferred_shapes(proto, reader)
        for node in proto.graph.node:
            if reader.needed.difference(_listed(since)).intersection(node.output):
                reader.take(node)
                reader.compare(node, inferred)
        return reader.model(wanted, head, _listed(trainable), fuse)
    except SymconvError as error:
        raise SymconvError(f"{path}: {error}") from error


def _listed(names: Names) -> list[str]:
    found = [names] if isinstance(names, str) else names
    if not isinstance(found, tuple | list) or not all(isinstance(name, str) for name in found):
        raise SymconvError(f"{names!r}: must be a name, or names")
    return [*found]


class _Reader:
    """A graph while it is read: what each of its values is."""

    def __init__(self, model: onnx.ModelProto, opset: int, training: bool, folder: Path) -> None:
        self.proto, self.graph = model, model.graph
        self.opset, self.training = opset, training
        self.folder = folder
        self.known: dict[str, Value | Array] = {
            tensor.name: array_of(tensor, folder) for tensor in self.graph.initializer
        }
        self.counts: dict[str, int] = {}
        self.nodes: list[Reading] = []
        self.needed: set[str] = set()
        self.layers = Layers("float32")
        self.inputs = self.layers.inputs

    def give(
        self,
        wanted: Sequence[str],
        since: Sequence[str],
        batch: int | None,
        input_shape: Shapes | None,
    ) -> None:
        """Decide which values are the network's inputs, and which nodes are needed."""
        makers: dict[str, onnx.NodeProto] = {}
        for node in self.graph.node:
            for name in filter(None, node.output):
                if name in makers or name in self.known:
                    raise NotSupportedError(f"{short(name)}: is computed twice")
                makers[name] = node
        unknown = [name for name in wanted if name not in makers]
        if unknown:
            near = difflib.get_close_matches(unknown[0], makers, 1)
            hint = f"; did you mean {short(near[0])}?" if near else ""
            raise NotSupportedError(f"until: {short(unknown[0])}: no node computes it{hint}")
        todo = [*wanted]
        while todo:
            name = todo.pop()
            if name not in self.needed and name in makers and name not in since:
                todo += _taken(makers[name])
            self.needed.add(name)
        given = [v for v in self.graph.input if v.name not in self.known and v.name not in since]
        given = [v for v in given if v.name in self.needed]
        given += self._inferred(since)
        floats = [value for value in given if dtype_of(value)]
        if not floats:
            raise NotSupportedError("nothing is computed from an input")
        if isinstance(input_shape, Mapping):
            unknown = [name for name in input_shape if name not in {value.name for value in given}]
            if unknown:
                raise NotSupportedError(f"input_shape: {short(unknown[0])}: is not an input")
        elif input_shape is not None and len(floats) > 1:
            raise NotSupportedError("input_shape: there are several inputs; give shapes by their names")
        self.layers.dtype = dtype_of(floats[0])
        for number, value in enumerate(floats, 1):
            name = "x" if len(floats) == 1 else f"x{number}"
            self.inputs[name] = given_shape(value, batch, input_shape)
            self.known[value.name] = Value(name, self.inputs[name])
        for value in given:
            if value not in floats:
                shape = given_shape(
                    value, batch, input_shape if isinstance(input_shape, Mapping) else None
                )
                self.known[value.name] = Value("labels", shape, labels=True)

    def _inferred(self, since: Sequence[str]) -> list[onnx.ValueInfoProto]:
        """Return what the file, or ONNX's inference, says of values at which it is cut."""
        if not since:
            return []
        from onnx.shape_inference import infer_shapes

        graph = infer_shapes(self.proto).graph
        found = {value.name: value for value in (*graph.value_info, *graph.input, *graph.output)}
        unknown = [name for name in since if name not in found or name not in self.needed]
        if unknown:
            raise NotSupportedError(f"since: {short(unknown[0])}: is not a value that is needed")
        return [found[name] for name in since]

    def take(self, node: onnx.NodeProto, depth: int = 0) -> None:
        """Read a node: fold it, give its value another name, or add layers."""
        said = node.name or next(filter(None, node.output), "")
        where = f"node {short(said)}: {node.op_type[:60]!r} (opset {self.opset})"
        if node.domain not in ("", "ai.onnx"):
            raise NotSupportedError(f"{where}: is of the domain {short(node.domain)}")
        missing = [name for name in node.input if name and name not in self.known]
        if missing:
            raise NotSupportedError(f"{where}: takes {short(missing[0])}, not computed before")
        before = len(self.layers.entries)
        try:
            note = self._computed(node, depth)
        except SymconvError as error:
            raise NotSupportedError(f"{where}: {error}{self._nearest(node)}") from error
        added = tuple(name for name, _, _ in self.layers.entries[before:])
        if node.op_type != "If":  # whose branch's nodes stand for it
            self.nodes.append(Reading(said, node.op_type, added, "" if added else note))

    def compare(self, node: onnx.NodeProto, inferred: Mapping[str, tuple[int, ...]]) -> None:
        """Refuse a value whose shape is not the one that ONNX infers."""
        for name in node.output:
            value = self.known.get(name)
            if isinstance(value, Value) and inferred.get(name, value.shape) != value.shape:
                where = f"node {short(node.name or name)}: {node.op_type[:60]!r} (opset {self.opset})"
                said = f"gives shape {value.shape}, where ONNX infers {inferred[name]}"
                raise NotSupportedError(f"{where}: {said}")

    def _nearest(self, node: onnx.NodeProto) -> str:
        """Say where the network could end instead."""
        for name in node.input:
            value = self.known.get(name)
            if isinstance(value, Value) and value.name not in self.inputs and not value.labels:
                return f"; what is before it loads with until = {short(name)}"
        return ""

    def _computed(self, node: onnx.NodeProto, depth: int) -> str:
        """Find a node's outputs; say what it is if no layer computes it."""
        inputs = [self.known[name] if name else None for name in node.input]
        outputs = self._wanted(node, depth)
        if node.op_type == "If":
            self._branch(node, depth)
            return ""
        if node.op_type == "Constant":
            tensor = next((a.t for a in node.attribute if a.name == "value"), None)
            found = constant_of(node) if tensor is None else array_of(tensor, self.folder)
            if found is None:
                raise NotSupportedError("must hold numbers")
            self.known[outputs[0]] = found
            return "constant"
        if node.op_type in ("Shape", "Size") and isinstance(inputs[0], Value):
            given: Mapping[str, Array] = {node.input[0]: np.broadcast_to(np.int8(0), inputs[0].shape)}
        elif any(isinstance(value, Value) for value in inputs):
            self._add(node, inputs, outputs)
            return "the same value"
        else:
            given = {n: a for n, a in zip(node.input, inputs, strict=True) if isinstance(a, np.ndarray)}
        for name, array in zip(node.output, folded(node, given, self.opset), strict=False):
            self.known[name] = array
        return "constant"

    def _wanted(self, node: onnx.NodeProto, depth: int) -> list[str]:
        """Return a node's outputs up to the last one that is needed; in a branch, all."""
        names = list(node.output)
        while names and (not names[-1] or (not depth and names[-1] not in self.needed)):
            names.pop()
        return names

    def _branch(self, node: onnx.NodeProto, depth: int) -> None:
        """Read the branch that a constant chooses."""
        chosen = self.known[node.input[0]]
        if isinstance(chosen, Value) or depth == DEEPEST:
            raise NotSupportedError(
                f"the condition must be constant, and at most {DEEPEST} of them may be nested"
            )
        wanted = "then_branch" if bool(chosen.all()) else "else_branch"
        (graph,) = (a.g for a in node.attribute if a.name == wanted)
        self.known |= {tensor.name: array_of(tensor, self.folder) for tensor in graph.initializer}
        for inner in graph.node:
            self.take(inner, depth + 1)
        for name, value in zip(node.output, graph.output, strict=True):
            self.known[name] = self.known[value.name]

    def _add(
        self, node: onnx.NodeProto, inputs: Sequence[Value | Array | None], outputs: Sequence[str]
    ) -> None:
        operator = OPERATORS.get(node.op_type)
        if operator is None:
            raise NotSupportedError("is not supported")
        stem = re.sub(r"[^a-z]", "", node.op_type.lower())
        self.counts[stem] = self.counts.get(stem, 0) + 1
        call = Call(
            f"{stem}{self.counts[stem]}",
            tuple(inputs),
            len(outputs),
            len(node.output),
            attributes_of(node),
            self.opset,
            self.training,
            self.layers,
        )
        try:
            found = operator(call)
        except SymconvError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise NotSupportedError("has attributes or inputs that do not fit it") from error
        values = (found,) if isinstance(found, Value) else found
        if len(values) < len(outputs):
            raise NotSupportedError(f"has {len(outputs)} outputs")
        self.known |= {name: value for name, value in zip(outputs, values, strict=False) if name}

    def model(
        self, wanted: Sequence[str], head: Sequence[Any], trainable: Sequence[str], fuse: bool
    ) -> Model:
        """Return the network of all that was read."""
        outputs = self.layers.results([*self._results(wanted)])
        entries: list[Any] = self.layers.leading_to(outputs)
        if head:
            if len(outputs) != 1:
                raise NotSupportedError("head: follows one value that is not a loss; name it with until")
            last = next(at for at, entry in enumerate(entries) if entry[0] == outputs[0])
            entries = [*entries[:last], *entries[last + 1 :], entries[last], *head]
            outputs = ()
        shapes: dict[str, Any] = {"input_shapes": self.inputs}
        if [*self.inputs] == ["x"]:
            shapes = {"input_shape": self.inputs["x"]}
        network = Network(entries, dtype=self.layers.dtype, outputs=outputs, **shapes)
        chosen = trainable or self._moving(network)
        if chosen:
            network = Network(
                entries, dtype=self.layers.dtype, outputs=outputs, trainable=chosen, **shapes
            )
        params = {name: self.layers.params[name] for name in network.held if name in self.layers.params}
        fusions: tuple[Fusion, ...] = ()
        if fuse:
            network, params, fusions = fused(network, params)
        values = {n: value.name for n, value in self.known.items() if isinstance(value, Value)}
        return Model(network, params, self._readings(network, fusions), values, fusions)

    def _readings(self, network: Network, fusions: Sequence[Fusion]) -> tuple[Reading, ...]:
        """Return what each node became: layers that are there, or the one that they are part of."""
        into = {name: fusion.into for fusion in fusions for name in fusion.layers}
        there = {node.name for node in network.nodes}

        def layers(reading: Reading) -> tuple[str, ...]:
            names = (into.get(name, name) for name in reading.layers)
            return tuple(dict.fromkeys(name for name in names if name in there))

        return tuple(replace(reading, layers=layers(reading)) for reading in self.nodes)

    def _results(self, wanted: Sequence[str]) -> Iterator[Value]:
        """Visit the values that are asked for."""
        for name in wanted:
            value = self.known.get(name)
            if not isinstance(value, Value):
                raise NotSupportedError(f"until: {short(name)}: does not depend on the input")
            yield value

    def _moving(self, network: Network) -> list[str]:
        """Return the parameters that are trained, where some never are; empty for all."""
        fixed = self.layers.constants
        return [name for name in network.parameters if name not in fixed] if fixed else []


def _inferred_shapes(proto: onnx.ModelProto, reader: _Reader) -> dict[str, tuple[int, ...]]:
    """Return the shapes that ONNX infers from those of the inputs, where it knows every size."""
    import onnx
    from onnx.shape_inference import infer_shapes

    pinned = onnx.ModelProto()
    pinned.CopyFrom(proto)
    for value in pinned.graph.input:
        known = reader.known.get(value.name)
        if isinstance(known, Value):
            del value.type.tensor_type.shape.dim[:]
            for size in known.shape:
                value.type.tensor_type.shape.dim.add(dim_value=size)
    del pinned.graph.value_info[:], pinned.graph.output[:]
    try:
        graph = infer_shapes(pinned, data_prop=True).graph
    except Exception:  # what it has no rule for says nothing about what is read
        return {}
    found = {}
    for value in graph.value_info:
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in dims):
            found[value.name] = tuple(d.dim_value for d in dims)
    return found


def _taken(node: onnx.NodeProto) -> list[str]:
    """Return what a node takes, and what the graphs take that it has."""
    inner = [n for a in node.attribute for n in a.g.node]
    return [*node.input, *(name for n in inner for name in _taken(n))]
