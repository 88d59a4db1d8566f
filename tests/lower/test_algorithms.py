"""Every algorithm that applies to a correlation is the correlation, exactly, before any text exists."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given

from symconv import Conv, ConvTranspose
from symconv.kernel.run import run
from symconv.lower.fourier import Fourier
from symconv.lower.tuning import with_choice
from symconv.targets.numpy.plan import plan_layer
from tests.kernel.kernels import drawn, same, wanted
from tests.strategies import layers

LAYERS = [
    Conv((2, 3, 5, 4), 2, 3, padding=1, bias=False),
    Conv((2, 2, 6, 6), 2, 3, groups=2, bias=False),
    Conv((1, 2, 14), 2, 3, bias=False),
    Conv((1, 1, 30), 1, 9, bias=False),
    Conv((2, 1, 9, 12), 1, (2, 8), padding=1, bias=False),
    Conv((2, 4, 7, 6), 4, 3, stride=(2, 3), padding=1, groups=2, bias=False),
    Conv((2, 2, 8, 8), 2, 3, stride=2, dilation=2, padding=1, bias=False),
    Conv((2, 3, 4, 4), 2, 1, bias=False),
    Conv((1, 1, 3, 3), 1, 2, bias=False),
    Conv((1, 1, 3, 4, 3), 2, 2, padding=1, bias=False),
]


def compare(layer: Conv | ConvTranspose) -> Counter[str]:
    """Compare each candidate's kernel with the evaluator; return how often each algorithm was."""
    seen: Counter[str] = Counter()
    plan = plan_layer(layer, accuracy="fast")
    for function in plan.functions:
        inputs = drawn(function.kernel, layer)
        expected = wanted(function, inputs)
        for number, choice in enumerate(function.choices):
            for candidate in choice:
                kernel = with_choice(function, number, [candidate]).kernel
                found = run(kernel, inputs)
                numeric = isinstance(candidate.algorithm, Fourier)
                for result, values in zip(function.results, expected, strict=True):
                    received = found[result.name]
                    assert same(received.astype(float) if numeric else received, values), candidate
                seen[type(candidate.algorithm).__name__] += 1
    return seen


@pytest.mark.every
def test_all_algorithms_are_compared() -> None:
    seen: Counter[str] = Counter()
    for layer in LAYERS:
        seen += compare(layer)
    assert len(seen) == 10


@given(layers())
def test_random_layers(layer: Conv | ConvTranspose) -> None:
    compare(layer)
