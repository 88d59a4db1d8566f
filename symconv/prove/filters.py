"""Filters of known numbers: the passes that are computed add up to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import numpy as np

from symconv.layers.filter import Channels, Filter
from symconv.notation.separable import Chain, Taps, difference
from symconv.notation.text import number_text
from symconv.prove.claims import Counterexample
from symconv.prove.theorems import Control, Theorem

Found = Mapping[Channels, tuple[Chain, ...]]


def filter_theorem(layer: Filter) -> Theorem | None:
    """State that passes along the axes compute the sum; None if it is left to matrices.

    Each pass is linear, so their numbers, multiplied out, are those of one sum over all taps; these are
    compared with the filter's as fractions.
    """
    if layer.forward == layer.graph:
        return None
    count = sum(len(chain.passes) for found in layer.chains.values() for chain in found)
    wrong = _differences(layer, layer.chains)
    compared = f"{len(layer.numbers)} numbers of F are sums of products of the passes'"
    return Theorem(
        "R2",
        f"{count} passes along the axes compute the sum with F",
        "refuted" if wrong else "compared",
        (("for every image", compared),),
        _counterexample(layer, wrong),
        (Control("a tap of a pass left out", _counterexample(layer, _without_a_tap(layer))),),
    )


def _differences(layer: Filter, found: Found) -> dict[Taps, Fraction]:
    """Return by how much the passes' numbers, multiplied out, differ from the filter's."""
    wrong: dict[Taps, Fraction] = {}
    for channels, chains in found.items():
        kernel = {cell[2:]: n for cell, n in layer.numbers.items() if cell[:2] == channels}
        wrong |= {(*channels, *tap): n for tap, n in difference(kernel, chains).items()}
    return wrong


def _without_a_tap(layer: Filter) -> dict[Taps, Fraction]:
    """Return the differences that a tap left out makes."""
    channels, (chain, *others) = next(iter(layer.chains.items()))
    first = replace(chain.passes[0], taps=chain.passes[0].taps[:-1])
    broken = replace(chain, passes=(first, *chain.passes[1:]))
    return _differences(layer, {channels: (broken, *others)})


def _counterexample(layer: Filter, wrong: Mapping[Taps, Fraction]) -> Counterexample | None:
    """Show the first number of the filter that passes do not give; None if they give all."""
    if not wrong:
        return None
    cell, missing = next(iter(wrong.items()))
    right = layer.numbers.get(cell, Fraction(0))
    text = f"F{list(cell)} = {number_text(right)}, the passes give {number_text(right - missing)}"
    given, found = (np.array([number], object) for number in (right, right - missing))
    return Counterexample(f"input_shape = {layer.input_shape}", text, given, found)
