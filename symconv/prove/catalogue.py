"""Every theorem for every size, with its variants: what can be proved without naming a layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

from symconv.prove.certificate import Equation
from symconv.prove.t1_weight_gradient import weight_gradient
from symconv.prove.t2_input_gradient import input_gradient
from symconv.prove.t2_polyphase import polyphase
from symconv.prove.t3_rotation import rotation
from symconv.prove.t4_adjoint import adjoint
from symconv.prove.t4_transposition import transposition
from symconv.prove.t5_shards import shards
from symconv.prove.t5_tiles import tiles
from symconv.prove.t6_padding import padding, padding_covers
from symconv.prove.t7_average import average, averaged
from symconv.prove.t7_maximum import selected

Variant = tuple[Callable[..., Equation], tuple[object, ...]]  # what makes an equation, and from what
Variants = Callable[[int, Sequence[bool]], Sequence[Variant]]
RANKS = (1, 2, 3)
YES_OR_NO = (False, True)


@dataclass(frozen=True)
class Entry:
    """A theorem: its name, what it says, for what, and its variants.

    ``variants`` are those for a number of axes, with the filter as it is, flipped, or both.
    """

    name: str
    says: str
    scope: str
    variants: Variants

    @property
    def every_variant(self) -> list[Variant]:
        """All of them, for one, two and three axes."""
        return [variant for rank in RANKS for variant in self.variants(rank, YES_OR_NO)]


def _every(make: Callable[..., Equation], *more: Sequence[object]) -> Variants:
    """Return the variants with each combination of what follows rank and flip."""
    return lambda rank, flips: [(make, (rank, *kinds)) for kinds in product(flips, *more)]


def _adjoints(rank: int, flips: Sequence[bool]) -> list[Variant]:
    flags = product("XF", flips, YES_OR_NO, YES_OR_NO)
    return [(adjoint, (rank, *kinds)) for kinds in flags]


def _modes(make: Callable[..., Equation]) -> Variants:
    modes = ("reflect", "replicate", "circular")
    return lambda rank, _: [(make, (rank, *kind)) for kind in product(range(rank), modes)]


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
        _every(weight_gradient, YES_OR_NO),
    ),
    Entry(
        "T2",
        "∂E/∂X is the full convolution of ∂E/∂O, zero-upsampled, with the filter rotated by 180°, "
        "padding (d(K - 1) - lo, d(K - 1) - hi + r)",
        _BOTH,
        _every(input_gradient, YES_OR_NO),
    ),
    Entry(
        "T2′",
        "the same in phases of s elements, a plain correlation each, without the inserted zeros: the "
        "form that is computed",
        _BOTH,
        _every(polyphase, YES_OR_NO),
    ),
    Entry(
        "T3",
        "convolution is the correlation with the filter rotated by 180°",
        _BOTH.replace(", flip", "") + "; bias",
        lambda rank, _: [(rotation, (rank, *kinds)) for kinds in product(YES_OR_NO, YES_OR_NO)],
    ),
    Entry(
        "T4",
        "⟨O, G⟩ = ⟨X, ∂E/∂X⟩ + ⟨b, ∂E/∂b⟩ = ⟨F, ∂E/∂F⟩ + ⟨b, ∂E/∂b⟩: the gradients are adjoints",
        _BOTH + "; bias",
        _adjoints,
    ),
    Entry(
        "T4′",
        "the transposed convolution is the full convolution of its zero-upsampled input: by T2, ∂E/∂X "
        "of the convolution with equal arguments",
        _ONE + "; any output padding",
        _every(transposition),
    ),
    Entry(
        "T5",
        "a convolution computed in tiles that overlap by a halo is the convolution",
        _ONE + "; any tiles",
        _every(tiles),
    ),
    Entry(
        "T5′",
        "∂E/∂F is the sum of those of shards of the batch",
        _ONE + "; any shards",
        _every(shards),
    ),
    Entry(
        "T6",
        "padding that copies elements has the fold-back as adjoint: each copy's gradient is added to "
        "its source",
        _MODES,
        _modes(padding),
    ),
    Entry(
        "T6′",
        "such padding copies an element of the axis to each element of the padded one, once",
        _MODES,
        _modes(padding_covers),
    ),
    Entry(
        "T7",
        "average pooling is the depthwise correlation with ones, each position divided by its divisor; "
        "its gradient is its adjoint",
        _WINDOWS,
        lambda rank, _: [(average, (rank,)), (averaged, (rank,))],
    ),
    Entry(
        "T7′",
        "max pooling, each window's element selected, is linear, and its gradient the selection's "
        "adjoint",
        _WINDOWS,
        lambda rank, _: [(selected, (rank,))],
    ),
)
