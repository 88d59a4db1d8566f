"""The kernel of a network's function as lines: its variables' names, and calls of layers' functions."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import replace

from symconv.kernel.language import Kernel
from symconv.kernel.liveness import placed
from symconv.kernel.rewrite import with_views
from symconv.lower.any_batch import CHOSEN_FOR, LETTER
from symconv.lower.assembly import (
    CHANGES,
    COTANGENT,
    GIVEN,
    GRADIENTS,
    MASKS,
    ONE,
    PARAMETERS,
    PRODUCT,
    RESULTS,
    STATISTICS,
)
from symconv.targets.numpy.writer import written_calls

DICTS = {PARAMETERS: "p", GRADIENTS: "g", CHANGES: "v", PRODUCT: "h", STATISTICS: "s", MASKS: "m"}
RESERVED = {
    *dir(builtins),
    *("y", "out", "params", "samples", "one", "loss", COTANGENT, "np", "math"),
    *DICTS.values(),
}


def network_lines(kernel: Kernel, functions: Mapping[Kernel, str]) -> list[str]:
    """Write a kernel of calls; ``functions`` are the names of those that are called."""
    kernel = placed(kernel, {LETTER: CHOSEN_FOR})
    given = {buffer.tensor.name for buffer in kernel.inputs}
    names = {b.tensor.name: _local(b.tensor.name, b.tensor.name in given) for b in kernel.buffers}
    buffers = tuple(
        replace(b, tensor=replace(b.tensor, name=names[b.tensor.name]), of=names.get(b.of, ""))
        for b in kernel.buffers
    )
    body = tuple(with_views(statement, {}, names) for statement in kernel.body)
    first = ["one = np.ones((), DTYPE)"] if ONE in given else []  # the loss's gradient by itself
    return [*first, *written_calls(replace(kernel, buffers=buffers, body=body), functions)]


def _local(name: str, given: bool) -> str:
    """Return what a variable is called: parameters by name in their dict, others as they are."""
    kind, slash, own = name.partition("/")
    if slash:
        return own if kind + slash in (GIVEN, RESULTS) else f'{DICTS[kind + slash]}["{own}"]'
    return f"{name}_" if name in RESERVED and not given else name
