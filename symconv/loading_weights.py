"""Weights of other programs for a network: found by name, with a report of what fits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.errors import SymconvError
from symconv.files import read_arrays
from symconv.layers.arguments import refuse
from symconv.layers.network import Network
from symconv.notation.layout import table
from symconv.verbs import a_layer


@dataclass(frozen=True)
class Row:
    """A parameter of the network, an array of the file, or both.

    ``status`` is ``"taken"``, ``"missing"`` (the file has no array of this name), ``"other shape"`` or
    ``"not used"`` (the network has no parameter of this name).
    """

    parameter: str
    shape: tuple[int, ...] | None
    array: str
    found: tuple[int, ...] | None
    status: str


@dataclass(frozen=True)
class Weights:
    """The parameters that were found, and a row for each parameter and each array.

    ``params`` lacks what is missing: ``module.init(seed) | weights.params`` has all.
    """

    params: dict[str, NDArray[Any]]
    rows: tuple[Row, ...]

    @property
    def complete(self) -> bool:
        """Whether every parameter was found, and every array used."""
        return all(row.status == "taken" for row in self.rows)

    def text(self) -> str:
        """Return the report, a line for each row."""
        cells = [("parameter", "shape", "array", "shape", "")]
        cells += [
            (row.parameter, _said(row.shape), row.array, _said(row.found), row.status)
            for row in self.rows
        ]
        return table(cells)

    def __str__(self) -> str:
        return self.text()


def _said(shape: tuple[int, ...] | None) -> str:
    return "" if shape is None else " × ".join(map(str, shape)) or "one number"


def load_weights(network: Network, weights: str | os.PathLike[str] | Mapping[str, object]) -> Weights:
    """Return the parameters and running statistics of a network that a file, or a mapping, has.

    An array fits a parameter if it has its name, where a layer's name may have dots for ``_``: so
    ``layers.0.conv1.weight``, as PyTorch writes it, is ``layers_0_conv1.weight``. Nothing is guessed
    from an order or a shape.

    Parameters
    ----------
    network
        The network.
    weights
        An ``.npz`` or ``.safetensors`` file, or arrays by name, such as a ``state_dict`` of PyTorch.

    Raises
    ------
    SymconvError
        If the file cannot be read, an array is not of real numbers, or two have one parameter's name.

    Examples
    --------
    >>> import numpy as np, symconv
    >>> network = symconv.Network([("fc", symconv.Linear((2, 3), 4))])
    >>> found = symconv.load_weights(network, {"fc.weight": np.ones((4, 3)), "fc.b": np.ones(4)})
    >>> print(found)
    parameter  shape  array      shape
    fc.weight  4 × 3  fc.weight  4 × 3  taken
    fc.bias    4                        missing
                      fc.b       4      not used
    <BLANKLINE>
    """
    if a_layer(network).network is None:
        raise refuse("network", network, "a Network")
    arrays = weights if isinstance(weights, Mapping) else read_arrays(weights)
    if not all(isinstance(name, str) for name in arrays):
        raise SymconvError("weights: must have names that are text")
    names = {name: _name(name) for name in arrays}
    for name, own in names.items():
        twin = next((n for n, o in names.items() if o == own and n != name), None)
        if own in network.held and twin is not None:
            raise SymconvError(f"weights: {name!r} and {twin!r} are both {own}")
    by_name = {own: name for name, own in names.items()}
    params: dict[str, NDArray[Any]] = {}
    rows: list[Row] = []
    for parameter, shape in network.held.items():
        if parameter not in by_name:
            rows.append(Row(parameter, shape, "", None, "missing"))
            continue
        name = by_name[parameter]
        array = _array(name, arrays[name])
        fits = array.shape == shape
        rows.append(Row(parameter, shape, name, array.shape, "taken" if fits else "other shape"))
        if fits:
            with np.errstate(over="ignore"):  # what is too large is refused below
                params[parameter] = np.array(array, network.dtype, order="C")
            if not np.isfinite(params[parameter]).all():
                raise SymconvError(f"weights: {name!r}: must be finite in {network.dtype}")
    used = {row.array for row in rows}
    left = [name for name in arrays if name not in used]
    rows += [Row("", None, name, _shape(arrays[name]), "not used") for name in left]
    return Weights(params, tuple(rows))


def _name(name: str) -> str:
    layer, _, own = name.rpartition(".")
    return f"{layer.replace('.', '_')}.{own}"


def _shape(given: object) -> tuple[int, ...]:
    return tuple(getattr(given, "shape", ()))


def _array(name: str, given: object) -> NDArray[Any]:
    """Return an array of NumPy, of PyTorch's tensors too, whose half precision becomes float32."""
    if hasattr(given, "detach"):
        tensor = given.detach().cpu()
        given = tensor.float() if "float16" in str(tensor.dtype) else tensor
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise SymconvError(f"weights: {name!r}: must be an array") from error
    if array.dtype.kind not in "fiub":
        raise SymconvError(f"weights: {name!r}: must be of real numbers, received {array.dtype}")
    return array
