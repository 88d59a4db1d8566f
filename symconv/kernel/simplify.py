"""What every kernel goes through before it is written: calls written out, copies and loops spared."""

from __future__ import annotations

from symconv.kernel.fuse import fused
from symconv.kernel.language import Kernel
from symconv.kernel.rewrite import distinct_letters, inlined, without_plain_copies, without_unit_scratch


def simplified(kernel: Kernel) -> Kernel:
    """Return a kernel that computes the same in fewer passes, and calls no other."""
    whole = without_unit_scratch(inlined(kernel))
    return distinct_letters(without_plain_copies(fused(whole)))
