"""ONNX's loss: the cross-entropy of class scores with labels, which come as an input."""

from __future__ import annotations

from symconv.building import LOSS, NotSupportedError, Value
from symconv.onnx.nodes import Call


def cross_entropy(call: Call) -> Value:
    """Return the loss of scores; no other layer follows it."""
    scores, labels, weight = call.value(0), call.inputs[1], call.constant(2, "the weights")
    if call.outputs > 1:
        raise NotSupportedError("also returns logarithms")
    if not isinstance(labels, Value) or not labels.labels:
        raise NotSupportedError("its labels must be an input of integers")
    if scores.name in call.layers.inputs:  # a loss is not a network, so a copy comes before it
        scores = call.layer("Reshape", scores, part="scores", shape=scores.shape)
    ignored = call.get("ignore_index")
    return call.layer(
        LOSS,
        scores,
        reduction=call.get("reduction", "mean"),
        weight=None if weight is None else tuple(map(float, weight)),
        ignore_index=None if ignored is None else int(ignored),
    )
