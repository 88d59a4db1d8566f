"""The smallest layer for which a function fails: sizes are reduced one at a time.

Only what the shapes of its arguments tell a function is reduced. Its stride, padding and dilation are
written into it, so that for others the right function would fail, too.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

from symconv.layers.layer import Layer

MOST = 150  # layers that are tried


def smallest(layer: Layer, fails: Callable[[Layer], bool]) -> Layer:
    """Return a layer that fails and of which no size can be reduced.

    Parameters
    ----------
    layer
        A layer that fails.
    fails
        Whether a layer fails in the same way.
    """
    tried = {layer}
    reduced = True
    while reduced:
        reduced = False
        for less in itertools.chain(layer.reductions(), layer.joint_reductions()):
            if less in tried or len(tried) > MOST or not _is_as_square(layer, less):
                continue
            tried.add(less)
            if fails(less):
                layer, reduced = less, True
                break
    return layer


def _is_as_square(layer: Layer, less: Layer) -> bool:
    """Whether spatial sizes, and those of a filter, that are equal in a layer stay equal.

    Many functions are for square images, or square filters, and fail otherwise for this reason.
    """
    shapes = [of.inputs.values() for of in (layer, less)]
    return not any(
        len(set(before[2:])) == 1 and len(set(after[2:])) > 1
        for before, after in zip(*shapes, strict=False)  # there may be fewer inputs
    )


def spelled(layer: Layer) -> str:
    """Write a layer as Python does, arguments at their defaults left out."""
    values = layer.arguments
    shown = [
        f"{field.name}={values[field.name]!r}"
        for field in dataclasses.fields(layer)  # type: ignore[arg-type]  # every kind is a dataclass
        if values.get(field.name, field.default) != field.default
    ]
    return f"{type(layer).__name__}({', '.join(shown)})"
