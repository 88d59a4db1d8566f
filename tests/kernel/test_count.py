"""Counts of a kernel: what running it does, statement by statement."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import pytest

from symconv.kernel import run as runs
from symconv.kernel.count import Counts, count
from symconv.kernel.language import Buffer, Do, Kernel, Meaning, written_by
from symconv.kernel.simplify import simplified
from symconv.layers.conv import Conv
from symconv.lower.flops import flops
from symconv.lower.layer_plan import Plan
from symconv.notation.contraction import Access, Contraction, Tensor, index
from symconv.notation.evaluate import cell_at, points
from symconv.notation.graph import Elementwise, Selection, reads
from symconv.targets.c.plan import plan_in_c
from symconv.targets.numpy.legal import legalised
from symconv.targets.numpy.plan import plan_layer
from tests.kernel.kernels import LAYERS
from tests.lower.test_joined_winograd import with_tiles


def _cells(meaning: Meaning, how: str) -> int:
    """Count the elements that a statement reads and writes, one after the other."""
    if isinstance(meaning, Contraction | Elementwise):
        others = meaning.reads if isinstance(meaning, Contraction) else reads(meaning)
        accesses = [meaning.target, *others]
        sizes = {name: int(size) for name, size in meaning.extents}
        if how != "assign":
            accesses.append(meaning.target)
        return sum(_elements(access, sizes) for access in accesses)
    assert isinstance(meaning, Selection)
    maximum = meaning.maximum
    reads_ = sum(_elements(access, maximum.ranges) for access in maximum.reads)
    return prod(meaning.target.sizes) + reads_


def _elements(access: Access, sizes: Mapping[str, int]) -> int:
    """Count the elements of a view one by one; each must lie within its buffer."""
    names = {name for subscript in access.subscripts for name in subscript.variables}
    own = points({name: size for name, size in sizes.items() if name in names})
    return sum(cell_at(access, point) is not None for point in own)


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_counts_are_what_a_run_does(layer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for function in plan_layer(layer).functions:
        kernel = legalised(simplified(function.kernel))
        seen = _seen(kernel, monkeypatch)
        found = count(kernel)
        assert (found.moved, found.statements) == (seen.moved, seen.statements), function.name


def test_loops_of_tiles_are_counted_as_they_run(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_in_c(Conv((1, 16, 9, 12), 16, 3, padding=1), 1, "fast")
    assert isinstance(plan, Plan)
    tiles = with_tiles(plan, 99, 1).forward.kernel
    seen, found = _seen(simplified(tiles), monkeypatch), count(simplified(tiles))
    assert (found.moved, found.statements) == (seen.moved, seen.statements)


def _seen(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> Counts:
    """Run a kernel and count what it does."""
    total = [Counts()]
    do = runs._do

    def counting(kernel: Kernel, meaning: Meaning, how: str, *rest: Any) -> None:
        total[0] += Counts(0, _cells(meaning, how), 1)
        assert written_by(meaning)
        do(kernel, meaning, how, *rest)

    rng = np.random.default_rng(0)
    inputs = {b.tensor.name: rng.random(b.tensor.sizes) for b in kernel.inputs}
    with monkeypatch.context() as patch:
        patch.setattr(runs, "_do", counting)
        runs.run(kernel, inputs)
    return total[0]


@pytest.mark.parametrize(
    "layer",
    # A formula adds the copies that a padding mode makes up to its image; a kernel only copies.
    [layer for layer in LAYERS if getattr(layer, "padding_mode", "zeros") == "zeros"],
    ids=str,
)
def test_operations_are_at_least_those_of_the_formula(layer: Any) -> None:
    """Padding and phases may add some, but only a few; nothing is left out."""
    for function in plan_layer(layer).functions:
        if not function.choices:  # pools compare, and expressions share parts
            continue
        counted, formula = count(function.kernel).flops, flops(function.formula)
        assert formula * 0.99 <= counted <= 3 * formula + 1000, function.name


def test_a_statement_is_counted_in_all_its_parts() -> None:
    x, f, o = (Tensor(name, (4,)) for name in "xfo")
    i = index("i")
    product = Contraction(o[i], (x[i], f[i]), (("i", 4),), 3)
    buffers = (Buffer(x, "input"), Buffer(f, "input"), Buffer(o, "output"))
    once = count(Kernel("once", buffers, (Do(product),)))
    assert once == Counts(flops=4 + 4, moved=3 * 4, statements=1)  # products, then times 3
    added = count(Kernel("added", buffers, (Do(product, "add"),)))
    assert added == Counts(flops=4 + 4 + 4, moved=4 * 4, statements=1)  # o is read, too
    largest = Contraction(o[i], (x[i],), (("i", 4), ("k", 2)), reduce="max")
    marked = Selection(Tensor("m", (4, 2)), largest)
    chosen = count(Kernel("chosen", (*buffers, Buffer(marked.target, "scratch")), (Do(marked),)))
    assert chosen == Counts(flops=8, moved=8 + 4, statements=1)
