"""Every theorem about a layer, decided."""

from __future__ import annotations

from symconv.derive.forms import roles
from symconv.layers.activation import Activation
from symconv.layers.conv import ConvLayer
from symconv.layers.filter import Filter
from symconv.layers.index_notation import Contraction
from symconv.layers.layer import Layer
from symconv.layers.network import Network
from symconv.layers.pool import POOLS
from symconv.layers.spelling import shell_options
from symconv.prove.batch import any_batch_proof
from symconv.prove.composites import composite_theorems
from symconv.prove.convolutions import convolution_decisions
from symconv.prove.decisions import decide
from symconv.prove.filters import filter_theorem
from symconv.prove.functions import function_theorems
from symconv.prove.instances import numbers_of
from symconv.prove.network import network_theorems
from symconv.prove.sums import pool_numbers, sum_decisions
from symconv.prove.theorems import Proof, Theorem


def prove_layer(layer: Layer) -> Proof:
    """Decide the theorems about a layer, and show that their controls are refuted."""
    if layer.any_batch:
        return any_batch_proof(layer, prove_layer)
    numbers: dict[str, int] = {}
    if isinstance(layer, Network):
        theorems = network_theorems(layer, lambda of: prove_layer(of).theorems)
        return Proof(layer, numbers, theorems)
    if isinstance(layer, Contraction) and layer.conv:
        known = prove_layer(layer.conv)
        return Proof(layer, known.numbers, (_recognised(layer.conv), *known.theorems))
    if isinstance(layer, Filter):
        known = prove_layer(layer.conv)
        own = [filter_theorem(layer), *(t for t in known.theorems if "∂E/∂F" not in t.statement)]
        return Proof(layer, known.numbers, tuple(theorem for theorem in own if theorem))
    if isinstance(layer, Activation):
        return Proof(layer, numbers, function_theorems(layer))
    if layer.composite:
        return Proof(layer, numbers, composite_theorems(layer))
    if isinstance(layer, ConvLayer):
        numbers, decisions = numbers_of(roles(layer)), convolution_decisions(layer)
    else:
        decisions = sum_decisions(layer)
        if isinstance(layer, POOLS):
            numbers = pool_numbers(layer)
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
