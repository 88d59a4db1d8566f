"""Tuning: every algorithm is measured, the fastest is chosen, and the choice is kept in a file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from symconv import Conv, Linear, Network, SymconvError, check, generate, read_tuning, tune
from symconv.configuration import read_config
from symconv.lower.layer_plan import Plan
from symconv.lower.tuning import Tuning, label
from symconv.targets.numpy.choice import choice_text
from tests.shell.command import run
from tests.targets.test_c import needs_compiler

LAYER = Conv((1, 1, 64, 64), 1, 3, padding=1)


@pytest.fixture(scope="module")
def tuning() -> Tuning:
    return tune(LAYER, accuracy="fast", seconds=0.05)


def test_every_algorithm_is_measured(tuning: Tuning) -> None:
    assert set(tuning.functions) == {"forward", "input_gradient", "weight_gradient"}
    (times,) = tuning.functions["forward"]
    names = " ".join(times)
    assert all(word in names for word in ("rows", "columns", "winograd"))
    assert min(times.values()) > 0
    assert sum(name.startswith("rows") for name in times) > 1


def test_the_fastest_is_chosen_whatever_it_is_and_the_code_is_right(tuning: Tuning) -> None:
    (times,) = tuning.functions["forward"]
    for wanted in times:
        pretended = {name: 1.0 if name == wanted else 2.0 for name in times}
        functions = {**tuning.functions, "forward": (pretended,)}
        unit = generate(
            LAYER, "m", accuracy="fast", tuning=dataclasses.replace(tuning, functions=functions)
        )
        assert isinstance(unit.plan, Plan)
        best = unit.plan.forward.choices[0][0]
        assert (label(best.algorithm), best.microseconds) == (wanted, 1.0)
        assert best.algorithm.lower() in unit.plan.forward.kernel.body
        assert "measured 1.0 µs" in choice_text(unit.plan.forward, timed=True)
        assert check(unit).passed


def test_a_later_run_writes_the_same(tmp_path: Path) -> None:
    options = ["conv", "--input-shape", "1x1x20x20", "--out-channels", "1", "--kernel-size", "3"]
    run("generate", *options, "--name", "m", "-o", ".", "--tune", cwd=tmp_path)
    first = (tmp_path / "m.py").read_bytes()
    assert b"--tuning m.tuning.json" in first
    data = json.loads((tmp_path / "m.tuning.json").read_text("utf-8"))
    assert data["functions"]["forward"]
    run("generate", *options, "--name", "m", "--tuning", "m.tuning.json", "-o", ".", cwd=tmp_path)
    assert (tmp_path / "m.py").read_bytes() == first
    (tmp_path / "m.tuning.json").rename(tmp_path / "other.json")
    run("generate", *options, "--name", "m", "--tuning", "other.json", "-o", "sub", cwd=tmp_path)
    assert (tmp_path / "sub" / "m.py").read_bytes() == first  # what it names is beside it
    (tmp_path / "sub" / "m.tuning.json").rename(tmp_path / "m.tuning.json")
    (tmp_path / "c.toml").write_text(
        '[[module]]\nname = "m"\nlayer = "Conv"\ninput_shape = [1, 1, 20, 20]\nout_channels = 1\n'
        'kernel_size = 3\ntuning = "m.tuning.json"\n'
    )
    assert read_config(tmp_path / "c.toml")["m"].generate("m").source.encode() == first
    run("generate", *options, "--name", "m", "-o", ".", "--tune", cwd=tmp_path)  # its own files again


@needs_compiler
def test_c_is_tuned_too(tmp_path: Path) -> None:
    layer = Conv((4, 8, 12, 12), 8, 3, padding=1, bias=False)
    found = tune(layer, accuracy="fast", seconds=0.05, target="c")
    (times,) = found.functions["forward"]
    names = " ".join(times)
    assert all(w in names for w in ("joined, images 1, block 8", "joinedfilters", "joinedwinograd"))
    assert "images 2" in names or "images 4" in names
    assert "block 4" in names
    for wanted in times:
        pretended = {name: 1.0 if name == wanted else 2.0 for name in times}
        functions = {**found.functions, "forward": (pretended,)}
        measured = dataclasses.replace(found, functions=functions)
        unit = generate(layer, "m", accuracy="fast", tuning=measured, target="c")
        assert isinstance(unit.plan, Plan)
        assert label(unit.plan.forward.choices[0][0].algorithm) == wanted
        unit.write(tmp_path, force=True)
        assert read_tuning(tmp_path / "m.tuning.json") == measured
        assert "--tuning m.tuning.json" in unit.source
        assert check(tmp_path / "m.c").passed
    with pytest.raises(SymconvError, match="measured for target = 'c': tune for 'numpy'"):
        generate(layer, "m", accuracy="fast", tuning=found)


@needs_compiler
def test_the_shell_tunes_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["conv", "--input-shape", "1x1x20x20", "--out-channels", "1", "--kernel-size", "3"]
    run("generate", *options, "--name", "m", "-o", ".", "--tune", "--target", "c", cwd=tmp_path)
    first = (tmp_path / "m.c").read_bytes()
    again = ["--tuning", "m.tuning.json", "--target", "c"]
    run("generate", *options, "--name", "m", "-o", ".", *again, cwd=tmp_path)
    assert (tmp_path / "m.c").read_bytes() == first
    monkeypatch.setenv("CC", "no-such-compiler")
    said = run(
        "generate", *options, "--name", "n", "-o", ".", "--tune", "--target", "c", cwd=tmp_path, code=2
    )
    assert "CC is 'no-such-compiler', which is not found: install gcc or clang, or set CC" in said


def test_bad_tunings_are_refused(tuning: Tuning, tmp_path: Path) -> None:
    with pytest.raises(SymconvError, match="another layer, or another accuracy"):
        generate(LAYER, "m", tuning=tuning)
    functions = {**tuning.functions, "forward": ({"magic": 1.0},)}
    unknown = dataclasses.replace(tuning, functions=functions)
    with pytest.raises(SymconvError, match=r"forward: 'magic' is none of its algorithms: .*rows"):
        generate(LAYER, "m", accuracy="fast", tuning=unknown)
    with pytest.raises(SymconvError, match=r"other functions than the module, see .*jvp"):
        generate(LAYER, "m", order=2, accuracy="fast", tuning=tuning)
    for time in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(SymconvError, match="forward: must have times above 0"):
            dataclasses.replace(tuning, functions={"forward": ({"rows": time},)})
    with pytest.raises(SymconvError, match="networks are not tuned"):
        tune(Network((Linear((2, 3), 4),)))
    path = tmp_path / "t.json"
    for text in ("{}", "[1]", "{", '{"functions": {"forward": 3}, "layer": {}}'):
        path.write_text(text)
        with pytest.raises(SymconvError, match=r"t\.json: must be what --tune writes"):
            read_tuning(path)
    path.write_text('{"machine": "m", "accuracy": "direct", "functions": {}, "layer": {"layer": "Cnv"}}')
    with pytest.raises(SymconvError, match=r"t\.json: layer = 'Cnv': must be one of"):
        read_tuning(path)
    with pytest.raises(SymconvError, match="cannot be read"):
        read_tuning(tmp_path / "none.json")
