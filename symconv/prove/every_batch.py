"""The theorems of a layer that takes any number of samples, N.

Its programs are what those for several N have in common: their sizes are affine in N. Where a theorem
for every size is used, both sides of the instance are affine in N, and affine functions that are equal
for two numbers are equal for all: two instances decide. Of other sums, the certificate is found again
with a letter for N. Expressions that are the same for every N are decided once. Others have numbers that
depend on N, such as means over the batch: they are decided for two N only, and said to be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from symconv.layers.families import family
from symconv.layers.layer import Layer
from symconv.notation.graph import Graph
from symconv.notation.step_text import graph_text
from symconv.prove.instances import Proved
from symconv.prove.sum_theorems import for_any_batch
from symconv.prove.theorems import Proof, Theorem

INSTANCES = (2, 3)  # samples
AFFINE = "its sizes are affine in N, the number of samples; it is an instance for N = 2 and for N = 3"
LETTER = "the certificate of {} with a letter for N, the number of samples, is accepted"
ALIKE = "its formulas are the same for every N, the number of samples"
ALONE = "numbers in its formulas depend on N, the number of samples: decided for N = 2 and N = 3"


def any_batch_proof(layer: Layer, prove: Callable[[Layer], Proof]) -> Proof:
    """Decide the theorems about a layer that is not a network, for every number of samples.

    Raises
    ------
    SymconvError
        If the layer computes something else where the batch is larger.
    """
    family(layer, _graphs)
    few, more = (layer.with_batch(samples) for samples in INSTANCES)
    pairs = zip(_graphs(few), _graphs(more), strict=True)
    alike = all(graph_text(one) == graph_text(other) for one, other in pairs)
    proof, second = prove(few), prove(more)
    sums = for_any_batch(layer) if _are_of_given_sizes(proof.theorems) else []
    theorems = [
        _for_every(one, other, alike, sums[at] if sums else None)
        for at, (one, other) in enumerate(zip(proof.theorems, second.theorems, strict=True))
    ]
    return Proof(layer, {a: n for a, n in proof.numbers.items() if a != "N"}, tuple(theorems))


def _graphs(layer: Layer) -> tuple[Graph, ...]:
    return layer.graph, layer.forward, layer.backward


def _are_of_given_sizes(theorems: Sequence[Theorem]) -> bool:
    """Whether theorems rest on certificates without letters."""
    return bool(theorems) and all(t.rests_on and not _is_general(t.rests_on) for t in theorems)


def _is_general(rests_on: Sequence[Proved]) -> bool:
    return all(each.equation.context.symbols for each in rests_on)


def _for_every(few: Theorem, more: Theorem, alike: bool, of_sum: Proved | None) -> Theorem:
    """Return a theorem for every number of samples, from its instances for two."""
    for theorem in (few, more):
        if theorem.holds is not True:
            return theorem
    for_all = tuple(pair for pair in few.grounds if pair[0] == "for every size")
    if few.rests_on and _is_general(few.rests_on):
        return replace(few, status="proved", grounds=(*for_all, ("symbolic", AFFINE)))
    if of_sum is not None and of_sum.certificate is not None:
        text = LETTER.format(of_sum.equation.name)
        return replace(few, status="proved", grounds=(("symbolic", text),), rests_on=(of_sum,))
    if alike and few.status == "proved" and not few.rests_on:
        return replace(few, grounds=(*few.grounds, ("symbolic", ALIKE)))
    return replace(few, status="compared", grounds=(*few.grounds, ("elementwise", ALONE)))
