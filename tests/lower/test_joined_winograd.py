"""Minimal filtering in languages with fast loops: what it computes, in C, its bounds, planted errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from symconv import Conv, ConvTranspose, Network, check, generate
from symconv.kernel.hoist import hoisted
from symconv.kernel.simplify import simplified
from symconv.layers import Layer
from symconv.lower import joined_winograd
from symconv.lower.joined_winograd import JoinedWinograd
from symconv.lower.layer_plan import Function, Plan, layer_plan
from symconv.lower.options import Options
from symconv.lower.rounding import rounding_bound
from symconv.lower.tuning import label, with_choice, with_functions
from symconv.targets.c.file import c_files
from symconv.targets.c.plan import plan_in_c
from symconv.targets.c.wrapper import wrapper_text
from symconv.unit import Unit
from tests.lower.test_joined import is_right
from tests.targets.test_c import needs_compiler

FAST = Options("fast", lambda call: 0.0, compiled=True)
LAYERS: list[Layer] = [
    Conv((2, 3, 11, 8), 4, 3, padding=1),
    Conv((2, 4, 11, 13), 6, (3, 2), padding=((0, 1), (2, -1)), groups=2, flip=True),
    Conv((1, 4, 12, 12), 17, 5, padding=2, padding_mode="reflect"),
    Conv((4, 4, 9, 7), 16, 3),
    ConvTranspose((2, 3, 9, 9), 5, 3, padding=1),
]


def with_tiles(plan: Plan, outputs: int, images: int) -> Plan:
    """Return a plan whose correlations have tiles of so many outputs at most, where they can."""

    def rank(algorithm: object) -> tuple[int, int, int]:
        if not isinstance(algorithm, JoinedWinograd):
            return 1, 0, 0
        tiles = sum(f.outputs for f in algorithm.filtering)
        return 0, abs(tiles - outputs), abs(algorithm.images - images)

    functions: list[Function] = []
    for function in plan.functions:
        for at, choice in enumerate(function.choices):
            ranked = sorted(choice, key=lambda candidate: rank(candidate.algorithm))
            function = with_choice(function, at, ranked)
        functions.append(function)
    return with_functions(plan, functions)


def tiled(plan: Plan) -> list[JoinedWinograd]:
    """Return the tiles that a plan's functions use."""
    return [a for f in plan.functions for a in f.fast if isinstance(a, JoinedWinograd)]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize(("outputs", "images"), [(0, 1), (99, 1), (99, 99)])
@pytest.mark.parametrize("band", [1, 1 << 18], ids=["rows", "bands"])
def test_tiles_compute_their_graph(
    layer: Layer, outputs: int, images: int, band: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joined_winograd, "BAND", band)
    plan = with_tiles(layer_plan(layer, 1, FAST), outputs, images)
    assert tiled(plan)
    for function in plan.functions:
        assert is_right(function, function.kernel, layer), function.name
        assert is_right(function, hoisted(simplified(function.kernel)), layer), function.name


def in_c(plan: Plan, folder: Path) -> Path:
    """Write a plan's files in C."""
    files = c_files(plan, "tiled", "0")
    beside = {".h": files.header, ".py": wrapper_text(plan, "tiled", "0", files)}
    return Unit("tiled", files.source, plan, None, "c", beside).write(folder)


@needs_compiler
def test_the_check_runs_the_tiles_on_integers(tmp_path: Path) -> None:
    plan = plan_in_c(LAYERS[0], 2, "fast")
    assert isinstance(plan, Plan)
    path = in_c(with_tiles(plan, 99, 1), tmp_path)
    assert "F(4, 3) × F(4, 3)" in path.read_text("utf-8")
    report = check(path)
    assert report.passed, report
    assert "integers" in next(r.detail for r in report.results if r.name == "forward")


WRONG = [
    ("486 * half_kernels", "485 * half_kernels"),
    ("- 12 *", "+ 12 *"),
    ("bands[row][1]", "bands[row][2]"),
    ("accumulate(&", "store(&"),
]


@needs_compiler
@pytest.mark.parametrize(("old", "new"), WRONG)
def test_a_wrong_number_is_found(
    old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joined_winograd, "BAND", 1)
    plan = plan_in_c(Conv((2, 3, 11, 8), 16, 3, padding=1), 1, "fast")
    assert isinstance(plan, Plan)
    path = in_c(with_tiles(plan, 99, 1), tmp_path)
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    assert not check(path).passed


@needs_compiler
def test_large_layers_choose_tiles_within_their_bound() -> None:
    layer = Conv((1, 32, 28, 28), 32, 3, padding=1, bias=False)
    unit = generate(layer, "large", accuracy="fast", target="c")
    assert isinstance(unit.plan, Plan)
    assert len(tiled(unit.plan)) == 3
    module, plain = unit.load(), generate(layer, "plain", target="c").load()
    rng = np.random.default_rng(0)
    x, weight = (rng.standard_normal(shape).astype("f") for shape in layer.inputs.values())
    exact = plain.forward(x, weight).astype(float)
    largest = float(np.abs(x).max() * np.abs(weight).max())
    error = np.abs(module.forward(x, weight) - exact).max()
    assert 0 < error < rounding_bound(tiled(unit.plan)[0], "float32") * largest
    assert error < 1e-4 * np.abs(exact).max()


def test_a_network_has_them_too() -> None:
    network = Network([Conv((1, 32, 16, 16), 32, 3, padding=1)])
    source = generate(network, "net", accuracy="fast", target="c").source
    assert "Algorithm: winograd" in source


def test_other_layers_keep_plain_sums() -> None:
    for layer in (Conv((1, 32, 28, 28), 32, 3, stride=2), Conv((1, 32, 28, 28), 32, 3, dilation=2)):
        plan = plan_in_c(layer, 1, "fast")
        assert isinstance(plan, Plan)
        assert not tiled(plan)
    one = Conv((1, 4, 9, 7), 16, 3)
    assert {
        label(c.algorithm).partition(",")[0] for c in layer_plan(one, 1, FAST).forward.candidates
    } == {
        "joined",
        "joinedfilters",
        "joinedwinograd",
    }
