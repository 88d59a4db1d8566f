"""What an ONNX file holds: the model, its tensors and the shapes of its inputs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from symconv.building import Array, NotSupportedError
from symconv.errors import SymconvError
from symconv.onnx.nodes import short

if TYPE_CHECKING:
    import onnx

LARGEST = 1 << 31  # bytes of a file
DTYPES = {1: "float32", 11: "float64"}  # by ONNX's numbers
INTEGERS = (6, 7)  # the numbers of int32 and int64, of which labels are
EXTERNAL = 1  # where a tensor says that its data are


def read_model(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """Return the model in a file, with its functions inlined.

    Raises
    ------
    SymconvError
        If ONNX is not installed, the file cannot be read, is too large, or is not an ONNX file.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
        from onnx import inliner
    except ImportError as error:
        raise SymconvError("onnx: is not installed: pip install 'symconv[onnx]'") from error
    if not isinstance(path, str | os.PathLike):
        raise SymconvError(f"path = {type(path).__name__}: must be the path of an ONNX file")
    try:
        if os.path.getsize(path) > LARGEST:
            raise SymconvError(f"{path}: is larger than {LARGEST} bytes")
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise SymconvError(f"{path}: cannot be read: {error.strerror}") from error
    except (DecodeError, ValueError) as error:
        raise SymconvError(f"{path}: must be an ONNX file") from error
    if not model.graph.node:
        raise SymconvError(f"{path}: must be an ONNX file with a graph")
    if not model.functions:
        return model
    try:
        return inliner.inline_local_functions(model)
    except Exception as error:  # whatever it raises for functions that call themselves
        raise SymconvError(f"{path}: its functions cannot be inlined") from error


def array_of(tensor: onnx.TensorProto, folder: Path) -> Array:
    """Return a tensor's numbers; those outside the file must be in its folder."""
    from onnx.numpy_helper import to_array

    name = short(tensor.name)
    if tensor.data_location == EXTERNAL:
        tensor = _with_data(tensor, folder)
    try:
        return np.asarray(to_array(tensor))
    except Exception as error:  # whatever wrong sizes lead to
        raise NotSupportedError(f"{name}: is not a valid tensor") from error


def _with_data(tensor: onnx.TensorProto, folder: Path) -> onnx.TensorProto:
    """Return a tensor with the data that a file in the folder has for it."""
    import onnx

    name = short(tensor.name)
    said = {entry.key: entry.value for entry in tensor.external_data}
    place = Path(said.get("location", ""))
    try:
        file = (folder / place).resolve()
        inside = file.is_relative_to(folder.resolve()) and not place.is_absolute() and file.is_file()
        start, length = int(said.get("offset", 0)), said.get("length")
        wanted = prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotSupportedError(f"{name}: says wrongly where its data are") from error
    if not inside:
        raise NotSupportedError(f"{name}: its data are not in a file beside the model")
    if min(tensor.dims, default=1) < 0 or (length is not None and length != str(wanted)):
        raise NotSupportedError(f"{name}: its data are not of its shape")
    if not 0 <= start <= start + wanted <= file.stat().st_size:
        raise NotSupportedError(f"{name}: its data reach beyond their file")
    with open(file, "rb") as data:
        data.seek(start)
        content = data.read(wanted)
    return onnx.TensorProto(
        name=tensor.name, dims=tensor.dims, data_type=tensor.data_type, raw_data=content
    )


def given_shape(
    value: onnx.ValueInfoProto,
    batch: int | None,
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None,
) -> tuple[int, ...]:
    """Return the shape of an input, where it is open as it was asked for."""
    if isinstance(input_shape, Mapping):
        input_shape = input_shape.get(value.name)
    name = short(value.name)
    tensor = value.type.tensor_type
    sizes: list[Any] = [d.dim_value if d.HasField("dim_value") else 0 for d in tensor.shape.dim]
    if input_shape is not None:
        if not isinstance(input_shape, tuple | list) or not all(map(_is_size, input_shape)):
            raise NotSupportedError(f"input_shape = {input_shape!r}: must be positive ints")
        if tensor.HasField("shape") and len(input_shape) != len(sizes):
            raise NotSupportedError(f"input_shape = {input_shape!r}: input {name} has {len(sizes)} axes")
        if batch is not None and input_shape[0] != batch:
            raise NotSupportedError(f"input_shape = {input_shape!r}: must begin with batch = {batch}")
        return tuple(input_shape)
    if batch is not None:
        if not _is_size(batch):
            raise NotSupportedError(f"batch = {batch!r}: must be a positive int, or 'any'")
        sizes[:1] = [batch] if sizes else []
    if not sizes or any(size < 1 for size in sizes):
        said = ", ".join(str(size) if size > 0 else "?" for size in sizes)
        raise NotSupportedError(f"input {name}: has shape ({said}): give batch or input_shape")
    return tuple(sizes)


def _is_size(given: object) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and given > 0


def dtype_of(value: onnx.ValueInfoProto) -> str:
    """Return the dtype of an input; that of labels is empty."""
    number = value.type.tensor_type.elem_type
    if number in INTEGERS:
        return ""
    if number not in DTYPES:
        raise NotSupportedError(f"input {short(value.name)}: must be of float32 or float64")
    return DTYPES[number]
