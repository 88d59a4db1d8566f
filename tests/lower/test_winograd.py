"""Winograd's algorithms: identities, what is generated, its rounding, planted errors."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from symconv import Contraction, Conv, ConvTranspose, Network, SymconvError, check, generate
from symconv.configuration import read_config
from symconv.files import load_source
from symconv.layers import Layer
from symconv.lower.algorithms import Candidate
from symconv.lower.layer_plan import Plan
from symconv.lower.rounding import plain_bound, rounding_bound, roundings
from symconv.lower.tuning import with_choice, with_functions
from symconv.lower.winograd import Winograd
from symconv.notation.cook_toom import cook_toom
from symconv.prove.t8_cook_toom import compared, identities, row
from symconv.targets.numpy.module import render_layer
from symconv.targets.numpy.plan import plan_layer
from symconv.unit import Unit
from tests.effort import long

LAYERS: list[Layer] = [
    Conv((2, 3, 9, 8), 4, 3, padding=1),
    Conv((2, 4, 11, 13), 6, (3, 2), padding=((0, 1), (2, -1)), groups=2, flip=True),
    Conv((1, 2, 12, 12), 3, 5, padding=2, padding_mode="reflect", dtype="float64"),
    Conv((2, 2, 7, 7, 7), 2, 3),
    Conv((2, 3, 40), 4, 4, padding="same"),
    Conv((1, 2, 12, 14), 2, (2, 5)),
    ConvTranspose((2, 3, 9, 9), 2, 3, padding=1),
    Contraction.parse("O[n,o,y] = X[n,c,y+i] * F[o,c,i]", X=(2, 3, 20), F=(4, 3, 3)),
]


def winograd(layer: Layer, order: int = 1) -> Unit:
    """Return the module in which each correlation that can be is one of Winograd's, of large tiles."""
    plan = plan_layer(layer, order, "fast")

    def rank(candidate: Candidate) -> int:
        algorithm = candidate.algorithm
        if not isinstance(algorithm, Winograd):
            return 0
        return -sum(f.outputs for f in algorithm.filtering)

    functions = []
    for function in plan.functions:
        for at, choice in enumerate(function.choices):
            function = with_choice(function, at, sorted(choice, key=rank))
        functions.append(function)
    plan = with_functions(plan, functions)
    return Unit("m", render_layer(plan, "m", "0"), plan)


def test_every_identity_is_compared_and_a_wrong_number_in_any_matrix_is_found() -> None:
    assert [i.wrong for i in identities()] == [()] * 6
    assert "FALSE" not in row()[2]
    f = cook_toom(4, 3)
    for name in ("to_outputs", "of_taps", "of_cells"):
        rows = getattr(f, name)
        for at, k in product(range(len(rows)), range(len(rows[0]))):
            changed = [list(numbers) for numbers in rows]
            changed[at][k] += 1
            wrong: Any = {name: tuple(map(tuple, changed))}
            assert compared(replace(f, **wrong)).wrong


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("order", [1, 2])
def test_the_code_is_exact_on_polynomials_or_integers(layer: Layer, order: int) -> None:
    unit = winograd(layer, order)
    assert "_TO_OUTPUTS_" in unit.source
    report = check(unit)
    assert report.passed, report
    assert "exact" in {result.method for result in report.results}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"\[81, 0, -180, 0, 64, 0\]", "[81, 0, -180, 0, 63, 0]"),
        (r"\)\) / \d+", ")) / 2"),
        (r"outputs_x\[yi, xi,", "outputs_x[xi, yi,"),
        (r"sums \+= products", "sums -= products"),
        (r"of_cells_4_3, cut", "of_cells_4_3[::-1], cut"),
    ],
)
@pytest.mark.parametrize("size", [8, 40])
def test_a_planted_error_is_seen(old: str, new: str, size: int) -> None:
    unit = winograd(Conv((1, 2, size, size), 2, 3))
    wrong = re.sub(old, new, unit.source)
    assert wrong != unit.source
    assert not check(Unit("m", wrong, unit.plan)).passed


@dataclass(frozen=True)
class Counted:
    """A number that only knows how many roundings it has gone through at the most."""

    roundings: int

    def _after(self, other: object) -> Counted:
        return Counted(max(self.roundings, getattr(other, "roundings", 0)) + 1)

    def __mul__(self, other: object) -> Counted:
        return Counted(self.roundings + getattr(other, "roundings", 0) + 1)

    __add__ = __radd__ = __truediv__ = _after
    __rmul__ = __mul__


@pytest.mark.parametrize(
    "layer",
    [
        Conv((2, 5, 9, 8), 3, 3, padding=1, bias=False),
        Conv((3, 2, 20), 4, 4, bias=False),
        Conv((1, 3, 12, 14), 2, (2, 5), bias=False),
        Conv((2, 2, 7, 7, 7), 2, 3, bias=False),
    ],
    ids=str,
)
def test_the_code_rounds_as_often_as_is_counted(layer: Conv) -> None:
    unit = winograd(layer)
    assert isinstance(unit.plan, Plan)
    module: Any = load_source("m", unit.source)
    module.DTYPE = object
    for function in (unit.plan.forward, *unit.plan.gradients):
        (algorithm,) = function.fast
        assert isinstance(algorithm, Winograd)
        arrays = [np.full(a.sizes, Counted(0), object) for a in function.inputs]
        results = getattr(module, function.name)(*arrays)
        most = max(number.roundings for number in results.flat)
        assert most == roundings(algorithm), function.name


@pytest.mark.parametrize("layer", [Conv((2, 8, 30, 30), 8, 3, padding=1), Conv((1, 4, 500), 4, 3)])
def test_rounding_is_within_the_bound_that_is_printed(layer: Conv) -> None:
    unit = winograd(layer)
    assert isinstance(unit.plan, Plan)
    module: Any = load_source("m", unit.source)
    rng = np.random.default_rng(0)
    text = " ".join(unit.source.split())
    printed = re.findall(r"is within (\S+) · .*? a plain sum within (\S+)\. A number", text)
    functions = (unit.plan.forward, *unit.plan.gradients[:2])
    assert len(printed) == 3
    for function, (own, plain) in zip(functions, printed, strict=True):
        (algorithm,) = function.fast
        assert isinstance(algorithm, Winograd)
        bound = rounding_bound(algorithm, "float32")
        assert (f"{bound:.1e}", f"{plain_bound(algorithm.correlation, 'float32'):.1e}") == (own, plain)
        arrays = [rng.uniform(-1, 1, a.sizes).astype(np.float32) for a in function.inputs]
        if function.name == "forward":
            arrays[-1][...] = 0  # the bias
        found = getattr(module, function.name)(*arrays)
        module.DTYPE = np.float64
        module.release()
        exact = getattr(module, function.name)(*(a.astype(np.float64) for a in arrays))
        module.DTYPE = np.float32
        module.release()
        assert 0 < np.abs(found - exact).max() <= bound


def test_fast_modules_say_so_and_direct_ones_have_none_of_it(tmp_path: Path) -> None:
    layer = Conv((4, 64, 56, 56), 64, 3, padding=1)
    fast, direct = generate(layer, "m", accuracy="fast").source, generate(layer, "m").source
    assert "--accuracy fast" in fast
    assert "F(4, 3) × F(4, 3): 36 products instead of 144" in " ".join(fast.split())
    assert 'ACCURACY = "fast"' in fast
    assert "rest on T5 (tiles) and T8" in fast
    assert "inograd" not in direct
    assert "ACCURACY" not in direct
    with pytest.raises(SymconvError, match="accuracy = 'best': must be one of 'direct', 'fast'"):
        generate(layer, "m", accuracy="best")
    config = tmp_path / "c.toml"
    config.write_text(
        '[[module]]\nname = "m"\nlayer = "Conv"\naccuracy = "fast"\ninput_shape = [4, 64, 56, 56]\n'
        "out_channels = 64\nkernel_size = 3\npadding = 1\n"
    )
    assert read_config(config)["m"].generate("m").source == fast


@long
def test_fast_networks_are_checked() -> None:
    network = Network(
        (
            {"layer": "Conv", "out_channels": 64, "kernel_size": 3, "padding": 1},
            {"layer": "Activation", "function": "relu"},
            {"layer": "Conv", "out_channels": 64, "kernel_size": 3, "padding": 1},
            {"layer": "GlobalAvgPool"},
            {"layer": "Flatten"},
            {"layer": "SoftmaxCrossEntropy"},
        ),
        (2, 64, 28, 28),
    )
    unit = generate(network, "m", order=2, accuracy="fast")
    assert "F(4, 3)" in unit.source
    assert check(unit).passed
    wrong = unit.source.replace(", 967458816, out=gw", ", 960000000, out=gw")
    assert wrong != unit.source
    assert not check(Unit("m", wrong, unit.plan)).passed
