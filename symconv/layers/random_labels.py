"""Random labels for a loss."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.layers.layer import Layer


def labels_of(layer: Layer, name: str, rng: np.random.Generator) -> NDArray[Any]:
    """Return random labels: one that counts, and among several one that is ignored, if there are such.

    Where none counts, a mean is 0/0.
    """
    count, ignored = layer.classes[name], layer.ignored.get(name)
    found = rng.integers(0, count, layer.inputs[name])
    first, *others = rng.permutation(found.size)
    if ignored is not None and found.ravel()[first] == ignored:
        found.ravel()[first] = (ignored + 1) % count
    if ignored is not None and others:
        found.ravel()[others[0]] = ignored
    return found
