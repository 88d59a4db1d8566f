"""The phases of a full convolution with a stride: which filter elements meet which elements."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

from symconv.explain.dependence import Result
from symconv.explain.sliding import Place
from symconv.layers.layer import Layer


@dataclass(frozen=True)
class Phase:
    """Elements whose index along each axis leaves the same remainder when divided by the stride.

    Attributes
    ----------
    residues
        The remainder of (index + padding) along each axis.
    elements
        Places of these elements in a plane.
    taps
        Places of the filter's elements that their sums contain: the others meet inserted zeros.
    """

    residues: tuple[int, ...]
    elements: tuple[Place, ...]
    taps: tuple[Place, ...]


def phases(layer: Layer, result: Result) -> tuple[Phase, ...]:
    """Return the phases of ∂E/∂X (of O, if the convolution is transposed); none at stride 1.

    Parameters
    ----------
    layer
        The layer.
    result
        The tensor that the full convolution computes, with its terms.
    """
    conv = layer.convolution
    if conv is None or all(w.stride == 1 for w in conv.roles.windows):
        return ()
    if len(conv.graph.steps) > 1:
        return ()  # a border of copies is folded back into other phases
    windows, taps = conv.roles.windows, conv.roles.taps
    sizes, kernel = result.tensor.sizes[2:], taps.sizes[2:]
    places = list(product(*map(range, sizes)))
    filter_places = list(product(*map(range, kernel)))
    found: dict[tuple[int, ...], list[Place]] = {}
    used: dict[tuple[int, ...], set[Place]] = {}
    for place, terms in zip(places, result.terms[: math.prod(sizes)], strict=True):
        residues = tuple((at + w.lo) % w.stride for at, w in zip(place, windows, strict=True))
        found.setdefault(residues, []).append(place)
        used.setdefault(residues, set()).update(
            filter_places[at % math.prod(kernel)]
            for term in terms
            for name, at in term.elements
            if name == taps.name
        )
    return tuple(Phase(r, tuple(found[r]), tuple(sorted(used[r]))) for r in sorted(found))
