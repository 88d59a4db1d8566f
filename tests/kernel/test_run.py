"""A kernel's meaning is its graph's; a kernel that is not valid is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from symconv.errors import KernelError
from symconv.kernel.copies import without_added_zeros
from symconv.kernel.hoist import hoisted
from symconv.kernel.language import Buffer, Do, Kernel, Loop, Span, Table
from symconv.kernel.rewrite import inlined
from symconv.kernel.run import run
from symconv.kernel.simplify import simplified
from symconv.layers.layer import Layer
from symconv.notation.contraction import Contraction, Tensor, index
from symconv.notation.graph import each
from symconv.targets.numpy.legal import legalised
from symconv.targets.numpy.plan import plan_layer
from tests.kernel.kernels import LAYERS, drawn, functions, same, wanted

X, Y = Tensor("x", (4,)), Tensor("y", (4,))
HELD = Tensor("held", (4,))
I = index("i")  # noqa: E741  # the index's own name
COPY = Contraction(Y[I], (X[I],), (("i", 4),))
MOVED = replace(COPY, factors=(X[I + index("k")],), extents=(("i", 3),))
BUFFERS = (Buffer(X, "input"), Buffer(Y, "output"), Buffer(HELD, "scratch"))
NUMBERS = {"x": np.arange(4)}


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_hoisting_changes_nothing(layer: Layer) -> None:
    for function in plan_layer(layer, 2).functions:
        before, after = simplified(function.kernel), hoisted(simplified(function.kernel))
        inputs = {n: a.astype(float) for n, a in drawn(function.kernel, layer).items()}
        received, expected = run(after, inputs), run(before, inputs)
        assert all(same(received[name], array) for name, array in expected.items()), function.name


def test_pools_are_hoisted_to_one_plane() -> None:
    (forward, *_) = functions(LAYERS[6])
    (loop,) = hoisted(simplified(forward.kernel)).body
    assert isinstance(loop, Loop)
    assert isinstance(loop.body[0], Loop)
    assert [loop.rows, loop.body[0].rows] == [Span(2), Span(2)]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_every_lowering_computes_what_its_graph_means(layer: Layer) -> None:
    for function in functions(layer):
        inputs = drawn(function.kernel, layer)
        found = run(function.kernel, inputs)
        for result, expected in zip(function.results, wanted(function, inputs), strict=True):
            assert same(found[result.name], expected), (function.name, result.name)


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_every_rewrite_computes_the_same(layer: Layer) -> None:
    for function in functions(layer):
        inputs = drawn(function.kernel, layer)
        before = run(function.kernel, inputs)
        for rewrite in (inlined, simplified, lambda kernel: legalised(simplified(kernel))):
            after = run(rewrite(function.kernel), inputs)
            assert all(same(after[name], before[name]) for name in before), function.name


def test_a_wrong_rewrite_is_seen() -> None:
    """The comparison above can fail: a loop that leaves out a row does."""
    each = Do(replace(COPY, extents=()))
    clear = Do(replace(COPY, factors=(), coefficient=0))
    right, shorter = (Kernel("k", BUFFERS, (clear, Loop(("i",), Span(n), (each,)))) for n in (4, 3))
    assert same(run(right, NUMBERS)["y"], NUMBERS["x"])
    assert not same(run(shorter, NUMBERS)["y"], NUMBERS["x"])


@pytest.mark.parametrize(("text", "added"), [("h", 0), ("exp(h)", 1)])
def test_only_zeros_that_are_added_in_sums_are_left_out(text: str, added: int) -> None:
    clear = Do(Contraction(HELD[I], (), COPY.extents, 0))
    sum_ = Do(replace(COPY, factors=(HELD[I],)), "add")
    more = Do(replace(each(Y[I], text, h=HELD[I]), extents=COPY.extents), "add")
    kernel = Kernel("k", BUFFERS, (clear, Do(COPY), sum_, more))
    left = without_added_zeros(kernel)
    assert same(run(left, NUMBERS)["y"], NUMBERS["x"] + added)
    alone = without_added_zeros(replace(kernel, body=(clear, Do(COPY), sum_)))
    assert alone.body == (Do(COPY),)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (Do(replace(COPY, factors=(X[I + 1],))), "reaches outside x"),
        (Do(replace(COPY, target=Y[I - 1])), "outside y"),
        (Do(replace(COPY, factors=(HELD[I],))), "which nothing has written"),
        (Do(replace(COPY, target=X[I], factors=(X[I],))), "read only"),
        (Do(replace(COPY, extents=(("i", 3),))), "unwritten"),
        (Do(COPY, "add"), "undefined"),
        (
            Loop(
                ("k",),
                Table(((0,), (2,))),
                (Do(replace(COPY, factors=(X[I + index("k")],), extents=(("i", 3),))),),
            ),
            "outside x",
        ),
    ],
)
def test_a_kernel_that_is_not_valid_is_refused(statement: Do | Loop, message: str) -> None:
    with pytest.raises(KernelError, match=message):
        run(Kernel("k", BUFFERS, (statement,)), NUMBERS)


def test_an_axis_that_is_not_the_first_stays() -> None:
    """Scratch of two rows, which statements go through along the second axis."""
    rows = Tensor("rows", (2, 4))
    x, y = Tensor("x", (8,)), Tensor("y", (4,))
    extents = (("i", 4),)
    body = (
        Do(Contraction(rows[0, I], (x[2 * I],), extents)),
        Do(Contraction(rows[1, I], (x[2 * I + 1],), extents)),
        Do(Contraction(y[I], (rows[0, I],), extents)),
        Do(Contraction(y[I], (rows[1, I],), extents), "add"),
    )
    buffers = (Buffer(x, "input"), Buffer(y, "output"), Buffer(rows, "scratch"))
    kernel = Kernel("pairs", buffers, body)
    numbers = {"x": np.arange(8)}
    assert list(run(hoisted(kernel), numbers)["y"]) == list(run(kernel, numbers)["y"]) == [1, 5, 9, 13]
