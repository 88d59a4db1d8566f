"""Algorithms for languages with fast loops compute what their graph means."""

from __future__ import annotations

from dataclasses import replace

import pytest

from symconv import Conv, ConvTranspose
from symconv.errors import KernelError
from symconv.kernel.hoist import hoisted
from symconv.kernel.language import Kernel
from symconv.kernel.rewrite import inlined
from symconv.kernel.run import run
from symconv.kernel.simplify import simplified
from symconv.layers import Layer
from symconv.lower import candidates
from symconv.lower.joined_filters import JoinedFilters
from symconv.lower.layer_plan import Function, layer_plan
from symconv.lower.options import Options
from symconv.lower.tuning import with_choice
from tests.kernel.kernels import drawn, same, wanted

OPTIONS = Options("direct", lambda call: 0.0, compiled=True)
LAYERS: list[Layer] = [
    Conv((2, 3, 5, 4), 2, 3, padding=1),
    Conv((2, 4, 5, 6), 6, (3, 2), groups=2, padding=((0, 1), (2, 0))),
    Conv((2, 3, 9, 7), 9, 3, padding=1, stride=2, dilation=1),
    Conv((2, 2, 11), 5, 3, padding=2, stride=3, dilation=2),
    Conv((1, 4, 6, 5), 4, 3, padding=1, groups=4),
    Conv((2, 2, 4, 4, 4), 3, 2, stride=2),
    ConvTranspose((2, 2, 4, 4), 3, 3, stride=2, output_padding=1),
    Conv((2, 3, 5, 5), 17, 1),
    Conv((1, 1, 6, 6), 1, 3),
    Conv((1, 64, 3, 3), 2, 3, padding=1),  # channels in stretches
    Conv((4, 2, 6, 6), 12, 3, stride=(2, 1), padding=((2, 0), (-1, 1)), flip=True),
]


def is_right(function: Function, kernel: Kernel, layer: Layer) -> bool:
    """Whether a kernel computes what a function means."""
    inputs = drawn(kernel, layer)
    found = run(kernel, inputs)
    results = zip(function.results, wanted(function, inputs), strict=True)
    return all(same(found[result.name], array) for result, array in results)


WAYS: dict[str, dict[str, object]] = {
    "joined": {"LEAST_PRODUCTS": 0},
    "joined filters": {"LEAST_PRODUCTS": 0},
    "direct": {"LEAST_PRODUCTS": 10**9},
}


def with_filters(function: Function) -> Function:
    """Return a function whose vectors go through filters, where they can."""
    for at, choice in enumerate(function.choices):
        ranked = sorted(choice, key=lambda c: not isinstance(c.algorithm, JoinedFilters))
        function = with_choice(function, at, ranked)
    return function


def test_vectors_go_through_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "LEAST_PRODUCTS", 0)
    plan = layer_plan(LAYERS[0], 1, OPTIONS)
    names = [type(with_filters(f).candidates[0].algorithm).__name__ for f in plan.functions[:3]]
    assert names == ["JoinedFilters", "JoinedFilters", "JoinedTaps"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_algorithms_in_loops_compute_their_graph(
    layer: Layer, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in WAYS[way].items():
        monkeypatch.setattr(candidates, name, value)
    for function in layer_plan(layer, 2, OPTIONS).functions:
        if way == "joined filters":
            function = with_filters(function)
        assert is_right(function, function.kernel, layer), function.name
        assert is_right(function, hoisted(simplified(function.kernel)), layer), function.name


def test_a_planted_error_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Borders that nothing has cleared."""
    monkeypatch.setattr(candidates, "LEAST_PRODUCTS", 0)
    function = layer_plan(LAYERS[0], 1, OPTIONS).forward
    kernel = inlined(function.kernel)
    buffers = tuple(replace(b, role="scratch") for b in kernel.buffers if b.role == "zeroed")
    others = tuple(b for b in kernel.buffers if b.role != "zeroed")
    assert buffers
    with pytest.raises(KernelError, match="nothing has written"):
        is_right(function, replace(kernel, buffers=(*others, *buffers)), LAYERS[0])
