"""Weights as constants in C: a header that a program includes to compute with known parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.errors import SymconvError
from symconv.layers.layer import Layer
from symconv.targets.c.file import shapes_sum
from symconv.targets.c.nests import INDENT, LONGEST
from symconv.targets.c.network_calls import field
from symconv.templating import fill

Array = NDArray[Any]
SUFFIX = "_weights.h"  # behind the file's own name


def weights_text(layer: Layer, name: str, params: Mapping[str, object], version: str) -> str:
    """Return a header with a layer's, or a network's, parameters as constants.

    Those of a network are also a struct ``NAME_weights``, to be passed to its functions.

    Raises
    ------
    SymconvError
        If a name is missing or unknown, or an array has another shape, or numbers that are not finite.
    """
    if not isinstance(params, Mapping):
        raise SymconvError(f"params = {params!r}: must be a mapping of arrays by name")
    network = layer.network
    shapes = network.held if network else layer.parameters
    for said, names in {
        "are missing": shapes.keys() - params.keys(),
        "are unknown": params.keys() - shapes.keys(),
    }.items():
        if names:
            listed = ", ".join(sorted(map(str, names)))
            raise SymconvError(f"params: must be {', '.join(shapes) or 'none'}; {listed} {said}")
    arrays = {own: _array(own, params[own], shape, layer.dtype) for own, shape in shapes.items()}
    rows = [(field(own), array.size, _numbers(array)) for own, array in arrays.items()]
    fields = [field(own) for own in arrays] if network else []
    return fill(
        "c/weights.h.j2",
        version=version,
        name=name,
        prefix=name.upper(),
        shapes=shapes_sum(layer),
        rows=rows,
        structs=[fields] if fields else [],
    )


def _array(name: str, given: object, shape: tuple[int, ...], dtype: str) -> Array:
    try:
        array = np.asarray(given)
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
            cast = array.astype(dtype, casting="same_kind")
    except (TypeError, ValueError) as error:
        raise SymconvError(f"params: {name}: must be numbers of {dtype}") from error
    if cast.shape != shape:
        raise SymconvError(f"params: {name}: must have shape {shape}, not {cast.shape}")
    if not np.isfinite(cast).all():
        raise SymconvError(f"params: {name}: has numbers that are not finite")
    return cast


def _numbers(array: Array) -> list[str]:
    """Write numbers in lines: the shortest decimals that give the same ones again."""
    suffix = "f" if array.dtype == np.float32 else ""
    lines, line = [], INDENT[:-1]
    for number in array.ravel():
        text = f" {number!s}{suffix},"
        if len(line) + len(text) > LONGEST:
            lines.append(line)
            line = INDENT[:-1]
        line += text
    return [*lines, line]
