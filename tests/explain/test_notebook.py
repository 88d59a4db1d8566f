"""What a notebook shows of layers, proofs, modules and reports."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from symconv import Add, BatchNorm, Conv, Network, check, derive, explain, generate, prove

LAYER = Conv((1, 1, 3, 3), 1, 2, bias=False)
NETWORK = Network(input_shape=(2, 3), layers=[{"layer": "Linear", "out_features": 2}])
CASES = [
    (LAYER, ["F", "1 × 1 × 2 × 2", "float32"]),
    (BatchNorm((4, 3)), ["running_mean"]),
    (Add(((2, 3), (2, 3))), ["output"]),
    (NETWORK, ["linear1.weight"]),
    (prove(LAYER), ["T2", "proved", "full convolution"]),
    (generate(LAYER, "article"), ["def forward"]),
    (check(generate(LAYER, "article")), ["passed", "exact"]),
    (explain(LAYER), ["iframe"]),
]


class Balanced(HTMLParser):
    """Keeps the tags that are open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, _: Any) -> None:
        """Open a tag."""
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the tag that was opened last."""
        assert self.open.pop() == tag


@pytest.mark.every
@pytest.mark.parametrize(("shown", "parts"), CASES, ids=lambda c: type(c).__name__)
def test_it_is_shown_as_html(shown: Any, parts: list[str]) -> None:
    text = shown._repr_html_()
    assert all(part in text for part in parts), text[:2000]
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    assert len(repr(shown).splitlines()) <= 5


def test_a_derivation_is_shown_as_latex() -> None:
    assert derive(LAYER)._repr_latex_().startswith("\\[")
