"""Random labels for a loss."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.layers.layer import Layer


def labels_of(layer: Layer, name: str, rng: np.random.Generator) -> NDArray[Any]:
    """Return random labels; among several, one that is ignored, if there is such a label."""
    found = rng.integers(0, layer.classes[name], layer.inputs[name])
    if name in layer.ignored and found.size > 1:
        found.ravel()[int(rng.integers(found.size))] = layer.ignored[name]
    return found
