"""What a plan depends on beside its layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from symconv.kernel.language import Call

Cost: TypeAlias = Callable[[Call], float]  # microseconds that a kernel is expected to take


@dataclass(frozen=True)
class Options:
    """How a layer is to be computed.

    Parameters
    ----------
    accuracy
        ``"direct"``: plain sums. ``"fast"``: also algorithms that round more.
    cost
        What a target language's kernels are expected to take.
    batch
        The number of samples that algorithms, and their blocks of samples, are chosen for, where it is
        not the layer's.
    compiled
        Whether the language has fast loops: then sums stay in registers, and nothing is copied for the
        sake of a product of whole matrices.
    """

    accuracy: str
    cost: Cost
    batch: int | None = None
    compiled: bool = False
