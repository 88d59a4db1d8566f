"""A network worked out with numbers: against its generated module, and as a reader sees it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from symconv import Network, SymconvError, generate
from symconv.explain.chain import worked_network
from symconv.layers.layer import rebuild
from tests.shell.command import run

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "guides" / "slides.md").read_text("utf-8")
(TOML,) = re.findall(r"^```toml\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
NETWORK = rebuild({"layer": "Network", **tomllib.loads(TOML)})
assert isinstance(NETWORK, Network)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_values_are_those_of_the_generated_module(seed: int) -> None:
    assert isinstance(NETWORK, Network)
    example = worked_network(NETWORK, seed)
    module = generate(NETWORK, "net").load()
    params = {name: example.given[name].astype(np.float32) for name in NETWORK.parameters}
    x, labels = example.given["x"].astype(np.float32), example.given["labels"].astype(np.int64)
    loss, found = module.loss_and_gradients(params, x, labels)
    assert np.isclose(example.values["loss"], loss, rtol=1e-5)
    for name, gradient in found.items():
        wanted = example.values[f"∂E/∂{NETWORK.tensors[name].name}"]
        assert np.allclose(gradient, wanted, rtol=1e-4, atol=1e-5), name


def test_every_layer_and_every_gradient_is_printed(tmp_path: Path) -> None:
    (tmp_path / "net.toml").write_text(TOML)
    said = run("derive", "net.toml", "--numbers", "1", cwd=tmp_path)
    for name in ("conv", "relu", "pool", "flat", "fc"):
        assert f"Forward, {name} = " in said
        assert f"∂E/∂{name} = " in " ".join(said.split())
    assert said.index("Backward, through loss") < said.index("Backward, through conv")
    assert "∂E/∂X" in said
    assert "relu[n, c, y, x] = (0 if conv[n, c, y, x] <= 0 else conv[n, c, y, x])" in said
    assert "∂E/∂conv.F[o, c, i, j] = Σ_{n,y,x} ∂E/∂conv[n, o, y, x] · X[n, c, y + i, x + j]" in said
    both = run("derive", "net.toml", "--exercise", "--solution", "-o", "sheet.tex", cwd=tmp_path)
    assert both == "sheet.tex\n"
    assert "underline" in (tmp_path / "sheet.tex").read_text("utf-8")


def test_an_exercise_has_what_is_given_alone() -> None:
    assert isinstance(NETWORK, Network)
    given, *rest = worked_network(NETWORK, 1, blanks=True).text().split("\n\n")
    assert "___" not in given
    back = [part for part in rest if part.startswith("Backward")]
    assert not any(
        re.search(r"\d", line) for part in rest for line in part.splitlines() if "___" in line
    )
    assert back
    assert all("Σ" not in part for part in back)  # the gradients' formulas are the exercise


def test_running_variances_are_positive_and_a_gradient_without_a_loss_is_given() -> None:
    layers = [{"layer": "BatchNorm", "training": False}, {"layer": "Linear", "out_features": 2}]
    text = worked_network(Network(input_shape=(3, 2), layers=layers), 1).text()
    assert "nan" not in text
    assert re.search(
        r"^ +G = \[1 1\]|^ +\[1 1\]\n +G = \[1 1\]", text.partition("Forward")[0], re.MULTILINE
    )


def test_what_cannot_be_worked_is_refused() -> None:
    assert isinstance(NETWORK, Network)
    with pytest.raises(SymconvError, match=r"x must have shape \(1, 1, 4, 4\)"):
        worked_network(NETWORK, {"x": [1, 2]})
    with pytest.raises(SymconvError, match=r"y is not one of x, conv\.weight"):
        worked_network(NETWORK, {"y": 1})
    large = Network(input_shape=(9, 99), layers=[{"layer": "Linear", "out_features": 99}])
    with pytest.raises(SymconvError, match="at most 400 elements"):
        worked_network(large)
