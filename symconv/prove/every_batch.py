"""The theorems of a layer that takes any number of samples.

Where a theorem for every size is used, both sides of the instance have sizes that are affine in the
number of samples N, and affine functions that are equal for two numbers are equal for all: two instances
decide. Formulas that are the same for both numbers hold for every N, too. Others have numbers that
depend on N, such as means over the batch; they are decided for these N only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from symconv.layers.layer import Layer
from symconv.notation.graph import Graph
from symconv.notation.step_text import graph_text
from symconv.prove.theorems import Proof, Theorem

INSTANCES = (2, 3)  # samples
AFFINE = "its sizes are affine in N, the number of samples; it is an instance for N = 2 and for N = 3"
ALIKE = "its formulas are the same for every N, the number of samples"
ALONE = "numbers in its formulas depend on N, the number of samples: decided for N = 2 and N = 3"


def any_batch_proof(layer: Layer, prove: Callable[[Layer], Proof]) -> Proof:
    """Decide the theorems about a layer for every number of samples."""
    few, more = (layer.with_batch(samples) for samples in INSTANCES)
    alike = all(
        graph_text(one) == graph_text(other)
        for one, other in zip(_graphs(few), _graphs(more), strict=True)
    )
    proof, second = prove(few), prove(more)
    others = {theorem.statement: theorem for theorem in second.theorems}
    theorems = (_for_every(t, others.get(t.statement), alike) for t in proof.theorems)
    return Proof(layer, {a: n for a, n in proof.numbers.items() if a != "N"}, tuple(theorems))


def _graphs(layer: Layer) -> list[Graph]:
    return [layer.graph, layer.forward, layer.backward]


def _for_every(few: Theorem, more: Theorem | None, alike: bool) -> Theorem:
    """Return a theorem for every number of samples, from its instances for two."""
    for theorem in (few, more):
        if theorem is None or theorem.holds is not True:
            return theorem or replace(few, status="open")
    for_all = tuple(pair for pair in few.grounds if pair[0] != "elementwise")
    if few.rests_on:
        return replace(few, status="proved", grounds=(*for_all, ("symbolic", AFFINE)))
    if alike and few.status == "proved":
        return replace(few, grounds=(*for_all, ("symbolic", ALIKE)))
    return replace(few, status="compared", grounds=(*few.grounds, ("elementwise", ALONE)))
