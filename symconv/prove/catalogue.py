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
    """A theorem: its name, what it says, for what, and its variants for a number of axes."""

    name: str
    says: str
    scope: str
    variants: Callable[[int], Sequence[Variant]]


def _flips(make: Callable[..., Equation], *transposed: bool) -> Callable[[int], list[Variant]]:
    """Return the variants with the filter as it is and flipped, for kinds of convolution."""
    if not transposed:
        return lambda rank: [(make, (rank, flip)) for flip in (False, True)]
    return lambda rank: [(make, (rank, flip, kind)) for flip, kind in product((False, True), transposed)]


def _adjoints(rank: int) -> list[Variant]:
    flags = product("XF", *[(False, True)] * 3)
    return [(adjoints.adjoint, (rank, *kinds)) for kinds in flags]


def _modes(make: Callable[..., Equation]) -> Callable[[int], list[Variant]]:
    return lambda rank: [
        (make, (rank, axis, mode))
        for axis, mode in product(range(rank), ("reflect", "replicate", "circular"))
    ]


_BOTH = "stride, dilation, padding (negative too), groups, flip; convolution and its transposed"
_ONE = "stride, dilation, padding (negative too), groups, flip"
_WINDOWS = "stride, dilation, padding (negative too)"
_MODES = "reflect, replicate and circular, along each axis"

CATALOGUE = (
    Entry(
        "T1",
        "∂E/∂F is the correlation of X with ∂E/∂O: stride and dilation exchanged, the same padding, "
        "natural size K + ⌊r/d⌋ cropped to K",
        _BOTH,
        _flips(gradients.weight_gradient, False, True),
    ),
    Entry(
        "T2",
        "∂E/∂X is the full convolution of the stuffed ∂E/∂O with the filter rotated by 180°, padding "
        "(d(K - 1) - lo, d(K - 1) - hi + r)",
        _BOTH,
        _flips(gradients.input_gradient, False, True),
    ),
    Entry(
        "T2′",
        "the same in phases of s cells, a plain correlation each, without the stuffing's zeros: the "
        "form that is computed",
        _BOTH,
        _flips(gradients.polyphase, False, True),
    ),
    Entry(
        "T3",
        "convolution is the correlation with the filter rotated by 180°",
        _BOTH.replace(", flip", "") + "; bias",
        lambda rank: [(adjoints.rotation, (rank, *kinds)) for kinds in product((False, True), repeat=2)],
    ),
    Entry(
        "T4",
        "⟨O, G⟩ = ⟨X, ∂E/∂X⟩ + ⟨b, ∂E/∂b⟩ = ⟨F, ∂E/∂F⟩ + ⟨b, ∂E/∂b⟩: the gradients are adjoints",
        _BOTH + "; bias",
        _adjoints,
    ),
    Entry(
        "T4′",
        "the transposed convolution is the full convolution of its stuffed input: by T2, ∂E/∂X of the "
        "convolution with equal arguments",
        _ONE + "; any output padding",
        _flips(gradients.transposition),
    ),
    Entry(
        "T5",
        "a convolution computed in tiles that overlap by a halo is the convolution",
        _ONE + "; any tiles",
        _flips(splits.tiles),
    ),
    Entry(
        "T5′",
        "∂E/∂F is the sum of those of shards of the batch",
        _ONE + "; any shards",
        _flips(splits.shards),
    ),
    Entry(
        "T6",
        "padding that copies cells has the fold-back as adjoint: each copy's gradient is added to its "
        "source",
        _MODES,
        _modes(adjoints.padding),
    ),
    Entry(
        "T6′",
        "such padding copies a cell of the axis to each cell of the padded one, once",
        _MODES,
        _modes(adjoints.padding_covers),
    ),
    Entry(
        "T7",
        "average pooling is the depthwise correlation with ones, each position divided by its divisor",
        _WINDOWS,
        lambda rank: [(pooling.average, (rank,))],
    ),
    Entry(
        "T7′",
        "max pooling, each window's tap selected, is linear, and its gradient the selection's adjoint",
        _WINDOWS,
        lambda rank: [(pooling.selected, (rank,))],
    ),
)
