"""The sliding pictures: what a filter meets is what an element's sum contains."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import product
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from symconv import Conv, ConvTranspose, MaxPool
from symconv.explain.dependence import Dependence
from symconv.explain.miniature import miniature, what_differs
from symconv.explain.phase_pictures import phases
from symconv.explain.sliding import Sliding, slidings
from symconv.layers.conv import ConvLayer
from symconv.layers.window import Window
from tests.effort import many
from tests.strategies import convs, layers, transposed


def met(picture: Sliding, place: tuple[int, ...]) -> Counter[frozenset[Any]]:
    """Count the products of a filter's elements and the elements that they lie on."""
    assert picture.filter
    kernel = picture.filter.sizes[2:]
    found: Counter[frozenset[Any]] = Counter()
    for tap, landed in zip(picture.taps, picture.window(place), strict=True):
        source = picture.background.sources.get(landed)
        if source is not None:
            at = int(np.ravel_multi_index(tap, kernel))
            found[frozenset({(picture.filter.name, at), (picture.background.tensor.name, source)})] += 1
    return found


@hypothesis.given(layers())
@hypothesis.settings(max_examples=many(200))
def test_each_position_meets_the_terms_of_its_element(layer: ConvLayer) -> None:
    shape = (1, 1, *layer.input_shape[2:])
    plane = replace(layer, input_shape=shape, out_channels=1, groups=1, bias=False)
    dependence = Dependence(plane)
    results = {"output": dependence.output, "x": dependence.gradients["x"]}
    results["weight"] = dependence.gradients["weight"]
    pictures = [picture for picture in slidings(plane) if picture.key in results]
    assert {picture.key for picture in pictures} == set(results)
    for picture in pictures:
        if picture.key == "x" and picture.result.name != "∂E/∂X":
            continue  # behind the padding of a mode: folded back afterwards
        terms = results[picture.key].terms
        assert len(picture.starts) == len(terms)
        for place, start in picture.starts.items():
            at = int(np.ravel_multi_index(place, picture.result.sizes[2:]))
            wanted = Counter({frozenset(term.elements): int(term.coefficient) for term in terms[at]})
            assert met(picture, place) == wanted, (picture.title, place, start)


def test_a_filter_that_is_not_rotated_would_be_seen() -> None:
    layer = Conv((1, 1, 4, 4), 1, 2, bias=False)
    picture = next(picture for picture in slidings(layer) if picture.key == "x")
    wrong = replace(picture, offsets=tuple(reversed(picture.offsets)))
    (terms, *_) = Dependence(layer).gradients["x"].terms
    wanted = Counter(frozenset(term.elements) for term in terms)
    assert met(picture, (0, 0)) == wanted
    assert met(wrong, (0, 0)) != wanted


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_a_border_of_copies_shows_what_numpy_pads(mode: str) -> None:
    layer = Conv((1, 1, 4, 5), 1, 3, padding=((1, 2), (2, 1)), padding_mode=mode)
    background = slidings(layer)[0].background
    numpys: Any = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode]
    wanted = np.pad(np.arange(20).reshape(4, 5), ((1, 2), (2, 1)), mode=numpys)
    assert {place: wanted[place] for place in np.ndindex(wanted.shape)} == background.sources
    assert len(background.copies) == wanted.size - 20


@hypothesis.given(st.one_of(convs(), transposed()))
@hypothesis.settings(max_examples=many(100))
def test_phases_share_their_elements_out(layer: ConvLayer) -> None:
    plane = replace(
        layer, input_shape=(1, 1, *layer.input_shape[2:]), out_channels=1, groups=1, bias=False
    )
    dependence = Dependence(plane)
    result = dependence.gradients["x"] if isinstance(plane, Conv) else dependence.output
    found = phases(plane, result)
    hypothesis.assume(found)
    places = [place for phase in found for place in phase.elements]
    assert sorted(places) == list(product(*map(range, result.tensor.sizes[2:])))
    strides = [w.stride for w in plane.roles.windows]
    assert len(found) <= math.prod(strides)


def settings(window: Window[int]) -> tuple[int, ...]:
    return window.stride, window.dilation, window.lo, window.hi, window.remainder


@pytest.mark.parametrize(
    "layer",
    [
        Conv((8, 64, 56, 56), 64, 3, padding=1),
        Conv((1, 3, 224, 225), 64, 7, stride=2, padding=3),
        Conv((1, 8, 40, 40), 8, 3, stride=3, dilation=4, padding=((5, 0), (1, 2)), groups=4),
        Conv((1, 2, 30, 30), 2, 5, padding=4, padding_mode="reflect"),
        Conv((1, 2, 20, 20, 20), 2, 3, stride=2),
        ConvTranspose((1, 8, 16, 16), 4, 3, stride=2, padding=1, output_padding=1),
        MaxPool((1, 8, 112, 111), 3, stride=2, padding=1, ceil_mode=True),
    ],
    ids=str,
)
def test_a_small_layer_has_the_settings_of_a_large_one(layer: Any) -> None:
    small: Any = miniature(layer)
    of = [
        [
            settings(w)
            for w in getattr(
                each, "windows", each.roles.windows if isinstance(each, ConvTranspose) else ()
            )
        ]
        for each in (layer, small)
    ]
    assert of[0] == of[1]
    assert math.prod(small.output_shape) <= 512
    assert "×".join(map(str, small.input_shape)) in what_differs(layer, small)


def test_a_small_layer_is_drawn_as_it_is() -> None:
    layer = Conv((1, 1, 3, 3), 1, 2)
    assert miniature(layer) == layer
    assert what_differs(layer, layer) == ""
