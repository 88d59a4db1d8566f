"""An ONNX file as a network and its parameters: constants folded, every node a layer, or refused."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from symconv.errors import SymconvError
from symconv.layers.network import Network
from symconv.onnx.nodes import Call, NotSupportedError
from symconv.onnx.operators import OPERATORS

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]
LARGEST = 1 << 31  # bytes of a file
OPSETS = range(7, 27)  # whose operators are known
FOLDED = 1 << 28  # elements that folding may make of constants
DTYPES = {1: "float32", 11: "float64"}  # by ONNX's numbers


def load(
    path: str | os.PathLike[str],
    batch: int | None = None,
    input_shape: Sequence[int] | None = None,
    until: Sequence[str] | str = (),
    training: bool = False,
) -> tuple[Network, dict[str, Array]]:
    """Return the network in an ONNX file, and its parameters by name.

    Parameters
    ----------
    path
        The file, with all weights in it.
    batch
        The number of samples, where the file leaves it open or says another.
    input_shape
        The shape of the only input, where the file leaves it open.
    until
        The names of values in the file that the network returns, instead of the file's own.
    training
        Whether BatchNorm normalises with a batch's statistics, and updates the running ones. By default
        it uses the running ones, as inference does.

    Raises
    ------
    SymconvError
        If the file cannot be read, a shape is open, or an operator is not supported: it is named with
        its node. Nothing is guessed.

    Examples
    --------
    >>> import symconv
    >>> network, params = symconv.onnx.load("model.onnx", batch=1)  # doctest: +SKIP
    >>> module = symconv.generate(network, "model").load()  # doctest: +SKIP
    >>> y = module.forward(params, x)  # doctest: +SKIP
    """
    model = _model(path)
    opset = max((i.version for i in model.opset_import if i.domain in ("", "ai.onnx")), default=0)
    if opset not in OPSETS:
        raise SymconvError(f"{path}: opset {opset}: must be {OPSETS[0]} to {OPSETS[-1]}")
    try:
        return _Reader(model, opset, batch, input_shape, training).network(until)
    except SymconvError as error:
        raise SymconvError(f"{path}: {error}") from error


def _model(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """Read a file, without data outside it."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise SymconvError("onnx: is not installed: pip install 'symconv[onnx]'") from error
    try:
        if os.path.getsize(path) > LARGEST:
            raise SymconvError(f"{path}: is larger than {LARGEST} bytes")
        return onnx.load(path, load_external_data=False)
    except OSError as error:
        raise SymconvError(f"{path}: cannot be read: {error.strerror}") from error
    except DecodeError as error:
        raise SymconvError(f"{path}: must be an ONNX file") from error


class _Reader:
    """A graph while it is read: what each of its values is."""

    def __init__(
        self,
        model: onnx.ModelProto,
        opset: int,
        batch: int | None,
        input_shape: Sequence[int] | None,
        training: bool,
    ) -> None:
        self.graph, self.opset, self.training = model.graph, opset, training
        self.constants: dict[str, Array] = {t.name: _array(t) for t in self.graph.initializer}
        self.layers: dict[str, str] = {}  # by value: the input or the layer that it is
        self.shapes: dict[str, tuple[int, ...]] = {}  # of these
        self.entries: list[tuple[str, dict[str, object], tuple[str, ...]]] = []
        self.params: dict[str, Array] = {}
        self.counts: dict[str, int] = {}
        given = [value for value in self.graph.input if value.name not in self.constants]
        if not given:
            raise NotSupportedError("the graph has no input")
        if input_shape is not None and len(given) > 1:
            raise NotSupportedError("input_shape: the file has several inputs")
        self.inputs: dict[str, tuple[int, ...]] = {}
        for number, value in enumerate(given, 1):
            name = "x" if len(given) == 1 else f"x{number}"
            shape, dtype = _shape(value, batch, input_shape)
            self.inputs[name] = self.shapes[name] = shape
            self.layers[value.name] = name
            self.dtype = dtype

    def network(self, until: Sequence[str] | str) -> tuple[Network, dict[str, Array]]:
        """Return the network of what is needed for some values, and its parameters."""
        wanted = [until] if isinstance(until, str) else [*until]
        wanted = wanted or [value.name for value in self.graph.output]
        needed = self._needed(wanted)
        for node in self.graph.node:
            if needed.intersection(node.output):
                self._read(node)
        unknown = [name for name in wanted if name not in self.layers]
        if unknown:
            raise NotSupportedError(f"until: {unknown[0]!r}: no node computes it from the input")
        outputs = tuple(dict.fromkeys(self.layers[name] for name in wanted))
        given = self.inputs
        shapes: dict[str, Any] = {"input_shape": given["x"]} if "x" in given else {"input_shapes": given}
        network = Network(self.entries, dtype=self.dtype, outputs=outputs, **shapes)
        return network, {name: self.params[name] for name in network.held}

    def _needed(self, wanted: Sequence[str]) -> set[str]:
        """Return the values that others are computed from."""
        makers = {name: node for node in self.graph.node for name in node.output}
        needed: set[str] = set()
        todo = [*wanted]
        while todo:
            name = todo.pop()
            if name not in needed and name in makers:
                todo += makers[name].input
            needed.add(name)
        return needed

    def _read(self, node: onnx.NodeProto) -> None:
        """Read a node: fold it, give its value another name, or add a layer."""
        where = (
            f"node {_plain(node.name or node.output[0])}: {_plain(node.op_type)} (opset {self.opset})"
        )
        if node.domain not in ("", "ai.onnx"):
            raise NotSupportedError(f"{where}: is of the domain {_plain(node.domain)}")
        names = [name for name in node.input if name]
        missing = [n for n in names if n not in self.constants and n not in self.layers]
        if missing:
            raise NotSupportedError(f"{where}: takes {_plain(missing[0])}, not computed before")
        try:
            if node.op_type == "Shape":
                (name,) = names
                self.constants[node.output[0]] = np.array(self._shape_of(name), np.int64)
            elif all(name in self.constants for name in names):
                self._fold(node, names)
            else:
                self._add(node)
        except SymconvError as error:
            raise NotSupportedError(f"{where}: {error}") from error

    def _shape_of(self, name: str) -> tuple[int, ...]:
        return self.constants[name].shape if name in self.constants else self.shapes[self.layers[name]]

    def _fold(self, node: onnx.NodeProto, names: Sequence[str]) -> None:
        """Compute a node of constants."""
        from onnx.helper import get_attribute_value
        from onnx.reference import ReferenceEvaluator

        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            self.constants[node.output[0]] = _array(get_attribute_value(node.attribute[0]))
            return
        if any(a.type in (5, 10) for a in node.attribute):  # graphs
            raise NotSupportedError("has a graph of its own")
        if node.op_type in ("Expand", "Tile", "Range"):
            raise NotSupportedError("is not supported")  # a few numbers may ask for much memory
        if node.op_type == "ConstantOfShape":
            sizes = self.constants[names[0]].ravel().tolist()
            if min(sizes, default=1) < 0 or prod(sizes) > FOLDED:
                raise NotSupportedError("its constants are too large")
        try:
            evaluator = ReferenceEvaluator(node, opsets={"": self.opset})
            found = evaluator.run(None, {name: self.constants[name] for name in names})
        except Exception as error:  # whatever the evaluator raises for wrong constants
            raise NotSupportedError(f"cannot be computed: {type(error).__name__}") from error
        for name, array in zip(node.output, found, strict=False):
            if np.size(array) > FOLDED:
                raise NotSupportedError("its constants are too large")
            self.constants[name] = np.asarray(array)

    def _add(self, node: onnx.NodeProto) -> None:
        operator = OPERATORS.get(node.op_type)
        if operator is None:
            raise NotSupportedError("is not supported")
        call = Call.of(node, self.opset, self.training, self.constants, self._value_shapes(node))
        try:
            found = operator(call)
        except SymconvError:
            raise
        except (AttributeError, LookupError, TypeError, ValueError, ZeroDivisionError) as error:
            raise NotSupportedError("has attributes or inputs that do not fit it") from error
        if isinstance(found, str):  # the same value
            self.layers[node.output[0]] = self.layers[found]
            return
        stem = re.sub(r"[^a-z]", "", node.op_type.lower())
        self.counts[stem] = self.counts.get(stem, 0) + 1
        name = f"{stem}{self.counts[stem]}"
        sources = tuple(self.layers[value] for value in found.sources)
        entry = {"layer": found.kind, **found.arguments}
        shapes = {source: self.shapes[source] for source in sources}
        layer = _built(name, entry, sources, shapes, self.dtype).nodes[0].layer
        self.entries.append((name, entry, sources))
        self.layers[node.output[0]] = name
        self.shapes[name] = layer.output_shape
        wanted = layer.parameters | {own: layer.inputs[own] for own in layer.statistic_names}
        for own, shape in wanted.items():
            array = found.params[own]
            if array.shape != shape:
                raise NotSupportedError(f"{own} has shape {array.shape}, not {shape}")
            self.params[f"{name}.{own}"] = np.ascontiguousarray(array, self.dtype)

    def _value_shapes(self, node: onnx.NodeProto) -> dict[str, tuple[int, ...]]:
        return {name: self._shape_of(name) for name in node.input if name}


def _built(
    name: str,
    entry: Mapping[str, object],
    sources: tuple[str, ...],
    shapes: Mapping[str, tuple[int, ...]],
    dtype: str,
) -> Network:
    """Return a network of one layer, which knows its shapes."""
    named = {source: f"v{number}" for number, source in enumerate(shapes)}
    given = {named[source]: shape for source, shape in shapes.items()}
    inputs = tuple(named[source] for source in sources)
    return Network([(name, dict(entry), inputs)], dtype=dtype, input_shapes=given)


def _array(tensor: onnx.TensorProto) -> Array:
    """Return a tensor of the file."""
    from onnx.numpy_helper import to_array

    if tensor.data_location == 1:
        raise NotSupportedError(f"{_plain(tensor.name)}: its data are outside the file")
    try:
        return np.asarray(to_array(tensor))
    except Exception as error:  # whatever wrong sizes lead to
        raise NotSupportedError(f"{_plain(tensor.name)}: is not a valid tensor") from error


def _shape(
    value: onnx.ValueInfoProto, batch: int | None, input_shape: Sequence[int] | None
) -> tuple[tuple[int, ...], str]:
    """Return the shape and the dtype of an input."""
    tensor = value.type.tensor_type
    if tensor.elem_type not in DTYPES:
        raise NotSupportedError(f"input {_plain(value.name)}: must be of float32 or float64")
    sizes = [d.dim_value if d.HasField("dim_value") else 0 for d in tensor.shape.dim]
    if input_shape is not None:
        sizes = list(input_shape)
    if batch is not None and sizes:
        sizes[0] = batch
    if not sizes or any(size < 1 for size in sizes):
        said = ", ".join(str(size or "?") for size in sizes)
        raise NotSupportedError(
            f"input {_plain(value.name)}: has shape ({said}): give batch or input_shape"
        )
    return tuple(sizes), DTYPES[tensor.elem_type]


def _plain(name: str) -> str:
    """Return a name of the file in one short line."""
    return repr(name[:60])
