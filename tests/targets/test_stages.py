"""Each stage on the way to a module can be printed; a machine's constants decide the choice."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import symconv
from symconv.lower.layer_plan import Plan
from symconv.targets.numpy.cost import MIDDLING
from tests.effort import long
from tests.shell.command import run

LAYER = ["conv", "--input-shape", "2x3x8x8", "--out-channels", "4", "--kernel-size", "3", "--name", "m"]


@pytest.mark.parametrize(
    ("stage", "shown"),
    [
        ("graph", "O[n, o, y, x] = Σ_{c,i,j}"),
        ("algorithm", "expected"),
        ("kernel", "scratch  "),
        ("source", "import numpy as np"),
    ],
)
def test_each_stage_is_printed(stage: str, shown: str) -> None:
    assert shown in run("generate", *LAYER, "--show", stage)


def test_a_networks_kernels_are_calls_of_its_layers() -> None:
    layers = '[{"layer": "Conv", "out_channels": 2, "kernel_size": 3}, {"layer": "Flatten"}]'
    text = run(
        "generate", "network", "--layers", layers, "--input-shape", "1x1x5x5", "--name", "m",
        "--show", "kernel",
    )  # fmt: skip  # an option and its value belong on one line
    assert "call _conv1_forward on x[n, c, y, x], params/conv1.weight[n, c, y, x]" in text
    assert text.count("kernel _conv1_forward") == 1


def test_constants_decide_the_choice() -> None:
    layer = symconv.Conv((4, 32, 28, 28), 32, 3, padding=1, groups=32)
    chosen = []
    for inner, einsum in ((0.0, 1.0), (100.0, MIDDLING.einsum)):  # microseconds
        machine = dataclasses.replace(MIDDLING, inner=inner, einsum=einsum)
        unit = symconv.generate(layer, "m", machine=machine)
        assert isinstance(unit.plan, Plan)
        chosen.append(type(unit.plan.forward.choices[0][0].algorithm).__name__)
        assert "--machine machine.json" in unit.source.splitlines()[1]
    assert chosen[0] == "Planes"
    assert chosen[1] != "Planes"


@long
def test_a_machine_is_measured_and_read(tmp_path: Path) -> None:
    assert run("calibrate", "--seconds", "0.5", cwd=tmp_path) == "machine.json\n"
    machine = symconv.read_machine(tmp_path / "machine.json")
    assert 0 < machine.flop < machine.einsum
    assert "def forward" in run("generate", *LAYER, "--machine", "machine.json", cwd=tmp_path)


@pytest.mark.parametrize(
    "data", ["", "{}", '{"constants": {"speed": 1}}', '{"constants": {"call": "fast"}}', "[]"]
)
def test_a_file_that_has_no_constants_is_refused(tmp_path: Path, data: str) -> None:
    path = tmp_path / "machine.json"
    path.write_text(data, "utf-8")
    with pytest.raises(symconv.SymconvError, match="must be what symconv calibrate writes"):
        symconv.read_machine(path)
    said = run("generate", *LAYER, "--machine", "machine.json", cwd=tmp_path, code=2)
    assert "machine.json" in said
