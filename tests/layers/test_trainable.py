"""Networks of which some parameters are trained: gradients of these alone, and nothing more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from symconv import Network, SymconvError, check, derive, generate
from symconv.layers.layer import rebuild
from tests.targets.test_c import needs_compiler

LAYERS: list[dict[str, object]] = [
    {"layer": "Conv", "out_channels": 4, "kernel_size": 3},
    {"layer": "BatchNorm"},
    {"layer": "Activation", "function": "relu"},
    {"layer": "Conv", "out_channels": 5, "kernel_size": 3},
    {"layer": "Flatten"},
    {"layer": "Linear", "out_features": 6},
    {"layer": "Linear", "out_features": 3},
    {"layer": "SoftmaxCrossEntropy"},
]
SHAPE = (2, 1, 8, 8)


def network(*trainable: str, loss: bool = True) -> Network:
    return Network(LAYERS if loss else LAYERS[:-1], SHAPE, trainable=trainable)


def test_layers_stand_for_their_parameters_and_all_for_none() -> None:
    assert network("conv2").trainable == ("conv2.weight", "conv2.bias")
    assert list(network("linear2.bias", "conv1").trained) == [
        "conv1.weight",
        "conv1.bias",
        "linear2.bias",
    ]
    assert network(*network().parameters) == network()
    assert rebuild(network("conv2").as_dict()) == network("conv2")


@pytest.mark.parametrize("target", ["numpy", pytest.param("c", marks=needs_compiler)])
@pytest.mark.parametrize("loss", [True, False])
@pytest.mark.parametrize("trainable", [["linear2"], ["linear1.bias", "conv1"], ["batch_norm1"]])
def test_the_checks_pass(target: str, loss: bool, trainable: list[str], tmp_path: Path) -> None:
    unit = generate(network(*trainable, loss=loss), "frozen", order=2, target=target)
    report = check(unit.write(tmp_path))
    assert report.passed, report


def test_gradients_are_those_of_the_whole_network() -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal(SHAPE).astype("f"), np.array([0, 2])
    whole: Any = generate(network(), "whole").load()
    part: Any = generate(network("conv2.weight"), "part").load()
    params = whole.init(0)
    loss, gradients, _ = whole.loss_and_gradients(params, x, labels)
    found_loss, found, _ = part.loss_and_gradients(params, x, labels)
    assert found_loss == loss
    assert list(found) == ["conv2.weight"]
    assert (found["conv2.weight"] == gradients["conv2.weight"]).all()
    new, _ = part.sgd_step(params, found, {}, 0.1)
    changed = [name for name in new if not np.array_equal(new[name], params[name])]
    assert changed == ["conv2.weight"]
    assert new["conv1.weight"] is not params["conv1.weight"]


def test_what_only_other_gradients_need_is_not_there() -> None:
    source = generate(network("linear2"), "last").source
    assert "_linear2_weight_gradient" in source
    for name in ("_linear2_input_gradient", "_linear1_weight_gradient", "_conv1_weight_gradient"):
        assert name not in source
    assert "def _linear1_weight_gradient" in generate(network(), "every").source


def test_less_memory_in_c() -> None:
    def workspace(*trainable: str) -> int:
        header = generate(network(*trainable), "net", target="c").beside[".h"]
        return int(header.partition("NET_WORKSPACE ")[2].split()[0])

    assert workspace("linear2") < workspace()


def test_the_derivation_has_these_gradients_alone() -> None:
    assert "Go back through linear2" in derive(network("linear2")).text()
    assert "Go back through conv2" not in derive(network("linear2")).text()


def test_a_gradient_that_is_missing_is_seen(tmp_path: Path) -> None:
    path = generate(network("linear1"), "frozen").write(tmp_path)
    text = path.read_text("utf-8")
    wrong = text.replace('_linear1_bias_gradient(g_linear1, g["linear1.bias"])', "pass")
    assert wrong != text
    path.write_text(wrong, "utf-8")
    assert not check(path).passed


@pytest.mark.parametrize("given", [["conv9"], "conv9", 3, ["flatten1"], ["conv1.weigth"]])
def test_other_names_are_refused(given: Any) -> None:
    with pytest.raises(SymconvError, match=r"trainable = .*: must be names of layers with parameters"):
        Network(LAYERS, SHAPE, trainable=given)
