"""Random labels for a loss."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.layers.layer import Layer


def labels_of(layer: Layer, name: str, rng: np.random.Generator) -> NDArray[Any]:
    """Return random labels; if the loss ignores a label and there are several, one is ignored.

    At least one label counts, since the mean would be 0/0 otherwise.
    """
    count, ignored = layer.classes[name], layer.ignored.get(name)
    found = rng.integers(0, count, layer.inputs[name])
    first, *others = rng.permutation(found.size)
    if ignored is not None and found.ravel()[first] == ignored:
        found.ravel()[first] = (ignored + 1) % count
    if ignored is not None and others:
        found.ravel()[others[0]] = ignored
    return found
