"""Real models: outputs as ONNX Runtime's, gradients as finite differences say, from NumPy and from C."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symconv
from symconv.files import compiler
from symconv.layers.layer import rebuild
from tests.effort import long
from tests.onnx.models import DOWNLOADED, EMBEDDING, LIGHT, MOBILENET, ORINET, Known, path_of
from tests.test_examples import run as run_example

pytest.importorskip("onnx", reason="onnx is not installed: pip install 'symconv[onnx]'")
symconv_onnx: Any = pytest.importorskip("symconv.onnx")
comparing: Any = pytest.importorskip("symconv.onnx.comparing")
HAS_RUNTIME = importlib.util.find_spec("onnxruntime") is not None
needs_runtime = pytest.mark.skipif(not HAS_RUNTIME, reason="onnxruntime is not installed")


def agrees(model: Known, target: str = "numpy") -> None:
    """Compare a model with ONNX Runtime."""
    path = path_of(model)
    found = symconv_onnx.read(path, **model.more)
    module = symconv.generate(found.network, "model", target=target).load()
    until = model.more.get("until", ())
    same = comparing.compared(path, found, module, [until] if isinstance(until, str) else until)
    assert same.runtime
    assert not same.failed
    assert same.passed, same.text()


@needs_runtime
@pytest.mark.parametrize("model", [LIGHT[6], *LIGHT[:6], *LIGHT[7:]], ids=str)
def test_light_models_agree_with_onnx_runtime(model: Known) -> None:
    agrees(model)


@long
@needs_runtime
@pytest.mark.parametrize("model", DOWNLOADED, ids=str)
def test_downloaded_models_agree_with_onnx_runtime(model: Known) -> None:
    agrees(model)


@long
@needs_runtime
@pytest.mark.parametrize("model", [ORINET, MOBILENET, EMBEDDING], ids=str)
def test_models_agree_from_c(model: Known) -> None:
    if compiler():
        agrees(model, "c")


SMALLER = [
    Known(ORINET.package, ORINET.file, {"input_shape": (1, 3, 32, 32)}),
    Known(MOBILENET.package, MOBILENET.file, {"input_shape": (1, 3, 48, 64)}),
    EMBEDDING,
    DOWNLOADED[8],
    LIGHT[4],
]


@long
@pytest.mark.parametrize("model", SMALLER, ids=str)
def test_gradients_are_those_of_finite_differences(model: Known) -> None:
    """In float64: the change of ⟨G, y⟩ along a direction of all inputs and parameters."""
    found = symconv_onnx.read(path_of(model), **model.more)
    network: Any = rebuild({**found.network.as_dict(), "dtype": "float64"})
    module = symconv.generate(network, "model").load()
    rng = np.random.default_rng(0)
    params = {name: array.astype(np.float64) for name, array in found.params.items()}
    if model.package == "onnx":  # whose weights are all alike
        params = module.init(0)
    x = rng.standard_normal(network.input_shape)
    upstream = rng.standard_normal(module.forward(params, x).shape)
    by_x, by_params, *_ = module.backward(params, upstream, x)
    dx = rng.standard_normal(x.shape) * np.abs(x).mean()
    moved = {n: rng.standard_normal(a.shape) * np.abs(a).mean() for n, a in by_params.items()}
    moved = {n: m * np.abs(params[n]).mean() / (np.abs(m).mean() + 1e-30) for n, m in moved.items()}

    def energy(step: float) -> float:
        at = {n: a + step * moved[n] if n in moved else a for n, a in params.items()}
        return float((upstream * module.forward(at, x + step * dx)).sum())

    step = 1e-7
    wanted = (energy(step) - energy(-step)) / (2 * step)
    slope = float((by_x * dx).sum() + sum((by_params[n] * moved[n]).sum() for n in moved))
    assert slope == pytest.approx(wanted, rel=1e-4, abs=1e-6 * abs(energy(0.0)))


@long
def test_a_wake_word_learns_on_the_embedding() -> None:
    """A new head on 20 convolutions that stay: two sounds are told apart."""
    head = [
        {"layer": "Flatten"},
        ("word", {"layer": "Linear", "out_features": 2}),
        {"layer": "SoftmaxCrossEntropy"},
    ]
    shape = (8, 76, 32, 1)
    path = path_of(EMBEDDING)
    network, known = symconv_onnx.load(path, input_shape=shape, head=head, trainable="word")
    module = symconv.generate(network, "model").load()
    params = module.init(0) | known
    state: dict[str, Any] = {}
    rng = np.random.default_rng(0)
    labels = np.arange(8) % 2
    time = np.linspace(0, 8, 76)[:, None, None]
    sounds = [
        np.sin((1 + 3 * label) * time + rng.uniform(0, 6)) + np.zeros((76, 32, 1)) for label in labels
    ]
    x = np.array(sounds, np.float32) + rng.standard_normal(shape).astype(np.float32) / 4
    losses = []
    for _ in range(20):
        loss, gradients, *_ = module.loss_and_gradients(params, x, labels)
        params, state = module.adam_step(params, gradients, state, 0.01)
        losses.append(float(loss))
    assert losses[-1] < losses[0] / 4
    assert all(np.array_equal(params[name], array) for name, array in known.items())


@long
def test_orinet_learns_from_photographs(tmp_path: Path) -> None:
    said = run_example("transfer.py", tmp_path, str(path_of(ORINET))).splitlines()
    assert float(said[-1].split()[0]) > 60
    assert {path.name for path in tmp_path.iterdir()} == {"turned.py", "turned.npz", "transfer.svg"}
    assert "symconv" not in [
        w for line in (tmp_path / "turned.py").open() if "import" in line for w in line.split()
    ]
