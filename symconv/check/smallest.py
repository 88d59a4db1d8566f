"""The smallest layer for which something fails: arguments are simplified one at a time."""

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
        simpler = layer.simplifications(), layer.reductions(), layer.joint_reductions()
        for less in itertools.chain(*simpler):
            if less in tried or len(tried) > MOST:
                continue
            tried.add(less)
            if fails(less):
                layer, reduced = less, True
                break
    return layer


def spelled(layer: Layer) -> str:
    """Write a layer as Python does, arguments at their defaults left out."""
    shown = [
        f"{field.name}={layer.arguments[field.name]!r}"
        for field in dataclasses.fields(layer)  # type: ignore[arg-type]  # every kind is a dataclass
        if layer.arguments[field.name] != field.default
    ]
    return f"{type(layer).__name__}({', '.join(shown)})"
