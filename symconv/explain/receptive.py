"""Receptive fields: which part of a network's input each element of a layer depends on.

Along each spatial axis an element depends on the elements from a first to a last one. Layers whose
elements depend on all others (a linear layer, a softmax, statistics of a batch) see the whole axis.
"""

from __future__ import annotations

from symconv.layers.layer import Layer
from symconv.layers.network import INPUT, Network

Span = tuple[int, int]  # the first and the last element
Axis = tuple[Span, ...]  # for each element of an axis


def receptive_fields(network: Network) -> dict[str, tuple[Axis, ...]]:
    """Return the elements of the input that each layer's elements depend on, axis by axis."""
    sizes = network.input_shape[2:]
    whole = tuple((0, size - 1) for size in sizes)
    found = {INPUT: tuple(tuple((at, at) for at in range(size)) for size in sizes)}
    for node in network.nodes:
        sources = [found[name] for name in node.sources]
        shape = node.layer.output_shape[2:]
        if len(shape) != len(sizes):  # flattened, or a loss
            found[node.name] = tuple((span,) for span in whole)
            continue
        found[node.name] = tuple(
            _axis(node.layer, at, shape[at], [source[at] for source in sources], whole[at])
            for at in range(len(sizes))
        )
    return found


def _axis(layer: Layer, axis: int, size: int, sources: list[Axis], whole: Span) -> Axis:
    """Return one axis of a layer's output: the union of what its elements read."""
    spans = []
    for at in range(size):
        parts = []
        for source in sources:
            read = layer.reads(axis, at, len(source))
            if read is None:
                parts.append(whole)
                continue
            inside = source[max(read[0], 0) : read[1] + 1]
            parts += inside
        spans.append((min((lo for lo, _ in parts), default=0), max((hi for _, hi in parts), default=-1)))
    return tuple(spans)
