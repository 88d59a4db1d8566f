"""The benchmark: who takes part, who is left out, and what it writes; never how fast anything is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from symconv import Conv, SymconvError, generate, measuring
from symconv.bench import growth, peers, timing
from symconv.bench.peers import Data, Peer, draw
from symconv.bench.row import FAST, OURS, extra_memory, measure
from symconv.measuring import bench
from tests.effort import long
from tests.shell.command import run

LAYERS = [
    Conv((1, 1, 9, 8), 1, 3, padding=1, bias=False),
    Conv((2, 4, 11, 9), 6, (3, 2), stride=2, padding=(1, 0), dilation=(1, 2), groups=2, bias=False),
    Conv((2, 3, 10), 4, 3, padding=((2, 0),), bias=False),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_every_peer_computes_the_same(layer: Conv) -> None:
    row = measure("layer", layer, {OURS: generate(layer, "module").load()}, seconds=0.05)
    assert row.wrong == ()
    assert {OURS, "im2col"} <= set(row.runs["forward"]) & set(row.runs["backward"])
    for runs in row.runs.values():
        for found in runs.values():
            assert found.error < 1e-4
            assert found.time.low <= found.time.median <= found.time.high


def test_who_is_wrong_takes_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted errors: half the output, and a gradient by the filter that is not rotated back."""

    def make(layer: Conv, data: Data) -> Peer:
        right = peers._im2col(layer, data)
        assert right is not None
        assert right.forward is not None
        assert right.backward is not None
        forward, backward = right.forward, right.backward
        return Peer(lambda: forward() / 2, lambda: (backward()[0], backward()[1][..., ::-1]))

    monkeypatch.setitem(peers.PEERS, "wrong", ("numpy", make))
    layer = LAYERS[0]
    row = measure("layer", layer, {OURS: generate(layer, "module").load()}, seconds=0.05)
    assert row.wrong == ("wrong (forward)", "wrong (backward)")
    assert all("wrong" not in runs for runs in row.runs.values())


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(peers.PEERS, "Nobody", ("no_such_package", lambda layer, data: None))
    path = generate(LAYERS[0], "layer").write(tmp_path)
    found = bench([path], seconds=0.05)
    assert "Nobody" in found.absent
    assert "Not installed: " in found.text()
    assert "Nobody" in found.text()


def test_memory_beyond_the_results_is_counted() -> None:
    """Scratch arrays count, and what was freed before the end; results do not."""

    def half(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        twice = np.concatenate([x, x])
        return twice[: len(x) // 2].copy()

    x = np.ones(1 << 18, np.float32)
    assert extra_memory(lambda: half(x)) == pytest.approx(2 * x.nbytes, rel=0.01)
    assert extra_memory(lambda: (x.copy(), x.copy())) < 0.01 * x.nbytes
    layer = Conv((1, 1, 64, 64), 1, 5, padding=2, bias=False)
    module = generate(layer, "module").load()
    row = measure("layer", layer, {OURS: module}, seconds=0.05)
    memory = row.runs["forward"][OURS].memory
    assert memory is not None
    assert memory > 64 * 64 * 4  # the padded image at least, though a call came before


def test_functions_take_turns() -> None:
    order: list[str] = []
    calls: dict[str, Any] = {name: lambda name=name: order.append(name) for name in "abc"}
    times = timing.race(calls, rounds=4, budget=0.5)
    assert set(times) == set("abc")
    assert {order.count(name) >= 3 for name in "abc"} == {True}


@long
def test_the_shell_writes_data_and_a_chart(tmp_path: Path) -> None:
    generate(LAYERS[0], "layer").write(tmp_path)
    printed = run("bench", "layer.py", "-o", "out", "--seconds", "0.05", cwd=tmp_path)
    assert "| layer |" in printed
    data = json.loads((tmp_path / "out" / "results.json").read_text("utf-8"))
    assert data["rows"][0]["runs"]["forward"][OURS]["time"]["median"] > 0
    assert "<svg" in (tmp_path / "out" / "results.svg").read_text("utf-8")
    run("bench", "layer.py", "-o", "out", "--seconds", "0.05", cwd=tmp_path)  # its own files again


def test_other_modules_are_refused(tmp_path: Path) -> None:
    path = generate(Conv((1, 1, 5), 1, 3), "module").write(tmp_path)
    with pytest.raises(SymconvError, match="must be a Conv in float32"):
        bench([path])


def test_fast_is_timed_where_it_is_another_algorithm(tmp_path: Path) -> None:
    paths = [
        generate(layer, name).write(tmp_path)
        for name, layer in (
            ("small", LAYERS[0]),
            ("large", Conv((1, 64, 28, 28), 64, 3, padding=1, bias=False)),
        )
    ]
    found = bench(paths, seconds=0.05)
    small, large = found.rows
    assert FAST not in small.runs["forward"]
    assert FAST in large.runs["backward"]
    assert small.ours("forward", FAST) == small.runs["forward"][OURS]
    assert 'with accuracy="fast"' in found.text()


def test_growth_has_a_table_and_a_plot_for_each_family(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small = {n: Conv((n, 1, 6, 6), 1, 3, bias=False) for n in (1, 2)}
    monkeypatch.setattr(growth, "FAMILIES", {"batch": small})
    found = measuring.growth(seconds=0.02)
    lines = found.text().splitlines()
    assert lines[0].startswith("| batch | forward, µs: symconv | ")
    assert [line.split(" ")[1] for line in lines[2:]] == ["1", "2"]
    flops = found.families["batch"][2].flops
    assert flops["forward"] == 2 * found.families["batch"][1].flops["forward"]
    assert found.chart("0").count("backward, µs, by batch") == 1
    with pytest.raises(SymconvError, match="must be a positive number"):
        measuring.growth(seconds=0)


def test_files_or_growth() -> None:
    for words in ((), ("a.py", "--growth")):
        assert "FILE...: name generated files, or give --growth" in run("bench", *words, code=2)


def test_data_have_the_layers_shapes() -> None:
    data = draw(LAYERS[1])
    assert data.x.shape == LAYERS[1].input_shape
    assert data.grad.shape == LAYERS[1].output_shape
    assert np.isfinite(data.weight).all()


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_seconds_are_a_positive_number(seconds: float, tmp_path: Path) -> None:
    path = generate(LAYERS[0], "layer").write(tmp_path)
    with pytest.raises(SymconvError, match="must be a positive number"):
        bench([path], seconds)
