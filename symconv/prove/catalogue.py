"""Every theorem for every size, with its variants: what can be proved without naming a layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

from symconv.prove import adjoints, gradients, pooling, splits
from symconv.prove.certificate import Equation

Variant = tuple[Callable[..., Equation], tuple[object, ...]]  # what makes an equation, and from what
RANKS = (1, 2, 3)


@dataclass(frozen=True)
class Entry:
    """A theorem: its name, what its variants differ in, and the variants for a number of axes."""

    name: str
    scope: str
    variants: Callable[[int], Sequence[Variant]]


def _flips(make: Callable[..., Equation], *transposed: bool) -> Callable[[int], list[Variant]]:
    """Return the variants with the filter as it is and flipped, for kinds of convolution."""
    if not transposed:
        return lambda rank: [(make, (rank, flip)) for flip in (False, True)]
    return lambda rank: [(make, (rank, flip, kind)) for flip, kind in product((False, True), transposed)]


def _adjoints(rank: int) -> list[Variant]:
    flags = list(product((False, True), repeat=2))
    by_input = [(adjoints.adjoint, (rank, "X", *both, bias)) for both in flags for bias in (False, True)]
    return [*by_input, *((adjoints.adjoint, (rank, "F", *both)) for both in flags)]


def _modes(make: Callable[..., Equation]) -> Callable[[int], list[Variant]]:
    return lambda rank: [
        (make, (rank, axis, mode))
        for axis, mode in product(range(rank), ("reflect", "replicate", "circular"))
    ]


_BOTH = "stride, dilation, padding (negative too), groups, flip; convolution and its transposed"
_ONE = "stride, dilation, padding (negative too), groups, flip"

CATALOGUE = (
    Entry("T1", _BOTH, _flips(gradients.weight_gradient, False, True)),
    Entry("T2", _BOTH, _flips(gradients.input_gradient, False, True)),
    Entry("T2′", _BOTH, _flips(gradients.polyphase, False, True)),
    Entry("T3", _ONE + ", bias", lambda rank: [(adjoints.rotation, (rank, b)) for b in (False, True)]),
    Entry("T4", _BOTH + "; bias", _adjoints),
    Entry("T4′", _ONE + "; any output padding", _flips(gradients.transposition)),
    Entry("T5", _ONE + "; any tiles", _flips(splits.tiles)),
    Entry("T5′", _ONE + "; any shards", _flips(splits.shards)),
    Entry("T6", "reflect, replicate, circular; each axis", _modes(adjoints.padding)),
    Entry("T6′", "reflect, replicate, circular; each axis", _modes(adjoints.padding_covers)),
    Entry("T7", "stride, dilation, padding (negative too)", lambda rank: [(pooling.average, (rank,))]),
    Entry("T7′", "stride, dilation, padding (negative too)", lambda rank: [(pooling.selected, (rank,))]),
)
