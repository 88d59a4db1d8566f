"""Every theorem about a layer, decided."""

from __future__ import annotations

from symconv.derive.forms import roles
from symconv.layers.conv import ConvLayer
from symconv.layers.layer import Layer
from symconv.layers.spelling import shell_options
from symconv.prove.composites import composite_theorems
from symconv.prove.composition import network_theorems
from symconv.prove.convolutions import convolution_decisions
from symconv.prove.decisions import decide
from symconv.prove.every_batch import any_batch_proof
from symconv.prove.filters import filter_theorem
from symconv.prove.function_theorems import function_theorems
from symconv.prove.instances import numbers_of
from symconv.prove.sum_theorems import pool_numbers, sum_decisions
from symconv.prove.theorems import Proof, Theorem


def prove_layer(layer: Layer) -> Proof:
    """Decide the theorems about a layer, and show that their controls are refuted."""
    if layer.any_batch and not layer.network:
        return any_batch_proof(layer, prove_layer)
    numbers: dict[str, int] = {}
    if network := layer.network:
        theorems = network_theorems(network, lambda of: prove_layer(of).theorems)
        return Proof(layer, numbers, theorems)
    if conv := layer.recognised:
        known = prove_layer(conv)
        return Proof(layer, known.numbers, (_recognised(conv), *known.theorems))
    if filter_ := layer.known_weight:
        known = prove_layer(filter_.conv)
        own = [filter_theorem(filter_), *(t for t in known.theorems if "∂E/∂F" not in t.statement)]
        return Proof(layer, known.numbers, tuple(theorem for theorem in own if theorem))
    if pointwise := layer.pointwise:
        return Proof(layer, numbers, function_theorems(pointwise))
    if layer.composite:
        return Proof(layer, numbers, composite_theorems(layer))
    if conv := layer.convolution:
        numbers, decisions = numbers_of(roles(conv)), convolution_decisions(conv)
    else:
        decisions = sum_decisions(layer)
        if layer.pooling:
            numbers = pool_numbers(layer.pooling)
    return Proof(layer, numbers, tuple(decide(decision, layer) for decision in decisions))


def _recognised(conv: ConvLayer) -> Theorem:
    """State which convolution a formula is; its theorems are the formula's, under other names."""
    sizes = " ".join(shell_options(conv))
    return Theorem(
        "R1",
        f"the formula is the sum of the layer `{sizes}`",
        "proved",
        (("symbolic", "with its indices renamed every subscript and extent is the same"),),
        None,
        (),
    )
