"""T7 and T7′ against loops over windows, which know no language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce

import numpy as np
import pytest

from symconv.notation.evaluate import evaluate
from symconv.notation.graph import Graph
from symconv.notation.names import POSITIONS
from symconv.prove.catalogue import RANKS
from symconv.prove.instances import proved
from symconv.prove.letters import suffixes
from symconv.prove.t7_average import average
from symconv.prove.t7_maximum import selected
from tests.statements import read_programs

Cell = tuple[int, ...]


def windows(numbers: Mapping[str, int], rank: int) -> Iterator[tuple[Cell, list[tuple[Cell, Cell]]]]:
    """Visit each window: its place, and the taps that meet a cell of the image, with that cell."""
    image = (numbers["N"], numbers["C"])
    size = {letter: tuple(numbers[letter + s] for s in suffixes(rank)) for letter in "HPKsd"}
    low = [numbers["lo" + suffix] for suffix in suffixes(rank)]
    for place in np.ndindex(*image, *size["P"]):
        met = []
        for tap in np.ndindex(*size["K"]):
            along = zip(place[2:], size["s"], tap, size["d"], low, strict=True)
            cell = tuple(p * s + k * d - lo for p, s, k, d, lo in along)
            if all(0 <= u < h for u, h in zip(cell, size["H"], strict=True)):
                met.append((tap, (*place[:2], *cell)))
        yield place, met


def shapes(numbers: Mapping[str, int], rank: int) -> tuple[Cell, Cell, Cell]:
    """Return the shapes of the image, of the output and of a window."""
    image = (numbers["N"], numbers["C"])
    cells, places, taps = (tuple(numbers[letter + s] for s in suffixes(rank)) for letter in "HPK")
    return (*image, *cells), (*image, *places), taps


@pytest.mark.parametrize("rank", RANKS)
def test_an_average_is_loops(rank: int) -> None:
    found = proved(average, rank).certificate
    assert found
    for numbers in found["examples"]:
        cells, places, _ = shapes(numbers, rank)
        rng = np.random.default_rng(0)
        x = rng.integers(1, 99, cells)
        along = {
            f"R{axis}": rng.integers(1, 9, size)
            for axis, size in zip(POSITIONS[rank], places[2:], strict=True)
        }
        divided = reduce(np.multiply.outer, along.values())
        mean = np.zeros(places, dtype=int)
        for place, met in windows(numbers, rank):
            mean[place] = divided[place[2:]] * sum(x[cell] for _, cell in met)
        assert mean.any()
        for graph in read_programs(found["statement"], numbers):
            assert (evaluate(graph, {"X": x, **along})[graph.output.name] == mean).all()


@pytest.mark.parametrize("rank", RANKS)
def test_a_maximum_and_its_gradient_are_loops(rank: int) -> None:
    found = proved(selected, rank).certificate
    assert found
    for numbers in found["examples"]:
        cells, places, taps = shapes(numbers, rank)
        rng = np.random.default_rng(0)
        x, cotangent = rng.integers(1, 99, cells), rng.integers(1, 9, places)
        selection = np.zeros((*places, *taps), dtype=int)
        chosen, gradient = np.zeros(places, dtype=int), np.zeros(cells, dtype=int)
        for place, met in windows(numbers, rank):
            if met:
                tap, cell = max(met, key=lambda one: x[one[1]])
                selection[(*place, *tap)] = 1
                chosen[place] = x[cell]
                gradient[cell] += cotangent[place]
        assert gradient.any()
        tensors = {"X": x, "S": selection, "G": cotangent}
        pairing = (chosen * cotangent).sum()
        assert pairing == (x * gradient).sum()
        left, right = read_programs(found["statement"], numbers)
        forward, backward = Graph(left.steps[:1]), Graph(right.steps[:1])
        wanted = ((left, pairing), (right, pairing), (forward, chosen), (backward, gradient))
        for graph, want in wanted:
            assert (evaluate(graph, tensors)[graph.output.name] == want).all()
