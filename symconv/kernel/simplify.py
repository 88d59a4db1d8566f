"""What every kernel goes through before it is written: calls written out, copies and loops spared."""

from __future__ import annotations

from collections.abc import Collection

from symconv.kernel.copies import without_added_zeros, without_plain_copies
from symconv.kernel.fuse import fused
from symconv.kernel.language import Kernel
from symconv.kernel.rewrite import distinct_letters, inlined
from symconv.kernel.units import without_unit_scratch


def simplified(kernel: Kernel, kept: Collection[Kernel] = (), given_views: bool = False) -> Kernel:
    """Return a kernel that computes the same in fewer passes.

    Parameters
    ----------
    kernel
        The kernel.
    kept
        The kernels that are still called. All others are written out.
    given_views
        Whether the inputs may be views, which are read fastest from a copy.
    """
    whole = fused(without_unit_scratch(without_added_zeros(inlined(kernel, kept))))
    return distinct_letters(whole if given_views else without_plain_copies(whole))
