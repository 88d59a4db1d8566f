"""Networks as ONNX files: what ONNX computes of them is what their modules do, gradients too."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import symconv
from symconv import Network, SymconvError
from symconv.layers.layer import rebuild
from tests.layers.test_network import LENET, RESIDUAL

onnx: Any = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'symconv[onnx]'")
reference: Any = pytest.importorskip("onnx.reference")
symconv_onnx: Any = pytest.importorskip("symconv.onnx")
writing: Any = pytest.importorskip("symconv.onnx.writing")


def layer(kind: str, **arguments: Any) -> dict[str, Any]:
    return {"layer": kind, **arguments}


IMAGE = (2, 4, 6, 6)
LAYERS: dict[str, list[Any]] = {
    "conv": [layer("Conv", out_channels=6, kernel_size=3, stride=2, padding=((1, 0), (0, 2)), groups=2)],
    "flipped": [layer("Conv", out_channels=2, kernel_size=2, flip=True, bias=False)],
    "reflect": [layer("Conv", out_channels=2, kernel_size=3, padding=1, padding_mode="reflect")],
    "transposed": [layer("ConvTranspose", out_channels=3, kernel_size=3, stride=2, output_padding=1)],
    "max pool": [layer("MaxPool", kernel_size=3, stride=2, padding=1)],
    "ceil": [layer("MaxPool", kernel_size=3, stride=2, ceil_mode=True)],
    "mean": [layer("AvgPool", kernel_size=2, padding=1, count_include_pad=False)],
    "global": [layer("GlobalAvgPool")],
    "batch norm": [layer("BatchNorm", training=False)],
    "layer norm": [layer("LayerNorm", normalized_shape=(6,))],
    "group norm": [layer("GroupNorm", num_groups=2)],
    "response": [layer("LocalResponseNorm", size=3)],
    "linear": [layer("Flatten"), layer("Linear", out_features=3)],
    "rows": [layer("Linear", out_features=3)],
    "softmax": [layer("Softmax", axis=1)],
    "gelu": [layer("Activation", function="gelu")],
    "silu": [layer("Activation", function="silu")],
    "elu": [
        layer("Activation", function="where(x > 0, x, a*expm1(min(x, 0)))", constants=(("a", 0.5),))
    ],
    "prelu": [layer("PReLU", num_parameters=4)],
    "pad": [layer("Pad", padding=((0, 0), (0, 0), (1, 2), (0, 1)), value=1.5)],
    "slice": [layer("Slice", starts=(5,), ends=(0,), axes=(2,), steps=(-2,))],
    "shuffle": [layer("PixelShuffle", upscale_factor=2)],
    "upsample": [layer("Upsample", scale_factor=2, mode="bilinear")],
    "transpose": [layer("Transpose", axes=(0, 2, 3, 1))],
    "largest": [layer("ReduceMax", axes=(2, 3))],
    "formula": [
        layer(
            "Contraction", formula="O[n,c,y] = X[n,c,y,x] * F[c,x]", shapes=(("X", IMAGE), ("F", (4, 6)))
        )
    ],
}
NETWORKS = {name: Network(entries, IMAGE, dtype="float64") for name, entries in LAYERS.items()}
NETWORKS |= {"lenet": LENET, "residual": RESIDUAL}
for _name in ("conv", "residual"):  # with groups: ONNX Runtime has no convolution of float64
    NETWORKS[_name] = cast(Network, rebuild({**NETWORKS[_name].as_dict(), "dtype": "float32"}))


def drawn(network: Network, seed: int = 0) -> tuple[dict[str, Any], list[Any], list[Any]]:
    """Return parameters, inputs and labels."""
    rng = np.random.default_rng(seed)
    params = symconv.generate(network, "model").load().init(seed)
    params = {
        n: a + np.asarray(rng.uniform(0.1, 0.5, a.shape), network.dtype) for n, a in params.items()
    }
    inputs = [rng.standard_normal(shape).astype(network.dtype) for shape in network.values.values()]
    labels = [
        rng.integers(0, network.classes[n], s)
        if n in network.classes
        else rng.standard_normal(s).astype(network.dtype)
        for n, s in network.labels.items()
    ]
    return params, inputs, labels


def run(path: Path, feed: dict[str, Any]) -> list[Any]:
    """Run a file: grouped transposed convolutions by ONNX Runtime, which ONNX's evaluator refuses."""
    graph = onnx.load(path).graph
    grouped = [a.i for n in graph.node if n.op_type == "ConvTranspose" for a in n.attribute]
    if any(group > 1 for group in grouped):
        runtime: Any = pytest.importorskip("onnxruntime")
        quiet = runtime.SessionOptions()
        quiet.log_severity_level = 4
        whole: list[Any] = runtime.InferenceSession(str(path), quiet).run(None, feed)
        return whole
    found: list[Any] = reference.ReferenceEvaluator(str(path)).run(None, feed)
    return found


def close(one: Any, other: Any) -> bool:
    tolerance = 1e-4 if np.asarray(one).dtype == np.float32 else 1e-6  # ONNX's evaluator's own erf
    return np.allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.every
@pytest.mark.parametrize("name", NETWORKS)
def test_what_onnx_computes(name: str, tmp_path: Path) -> None:
    network = NETWORKS[name]
    params, inputs, labels = drawn(network)
    module = symconv.generate(network, "model").load()
    path = symconv_onnx.save(network, params, tmp_path / "model.onnx")
    feed = dict(zip(network.values, inputs, strict=True))
    wanted = module.forward(params, *inputs)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    for one, other in zip(run(path, feed), wanted, strict=True):
        assert close(one, other)

    path = symconv_onnx.save(network, params, tmp_path / "gradients.onnx", gradients=True)
    names = [output.name for output in onnx.load(path).graph.output]
    assert names[-len(network.differentiable) :] == [f"d_{n}" for n in network.differentiable]
    if network.loss:
        feed |= dict(zip(network.labels, labels, strict=True))
        loss, gradients, *_ = module.loss_and_gradients(params, *inputs, *labels)
        known = {f"d_{n}": gradient for n, gradient in gradients.items()} | {network.loss.name: loss}
    else:
        rng = np.random.default_rng(1)
        upstream = [rng.standard_normal(s).astype(network.dtype) for s in network.returned.values()]
        feed |= {f"grad_{n}": g for n, g in zip(network.returned, upstream, strict=True)}
        *by_inputs, gradients = module.backward(params, *upstream, *inputs)[: len(inputs) + 1]
        known = {f"d_{n}": gradient for n, gradient in gradients.items()}
        known |= {f"d_{n}": gradient for n, gradient in zip(network.values, by_inputs, strict=True)}
    found = dict(zip(names, run(path, feed), strict=True))
    for own, wanted_gradient in known.items():
        assert close(found[own], wanted_gradient), own


def test_a_file_is_read_again(tmp_path: Path) -> None:
    params, inputs, _ = drawn(RESIDUAL)
    path = symconv_onnx.save(RESIDUAL, params, tmp_path / "model.onnx")
    again, known = symconv_onnx.load(path)
    found = symconv.generate(again, "again").load().forward(known, *inputs)
    assert close(found, symconv.generate(RESIDUAL, "model").load().forward(params, *inputs))
    first = path.read_bytes()
    symconv_onnx.save(RESIDUAL, params, path, force=True)
    assert path.read_bytes() == first


def test_onnx_runtime_runs_them(tmp_path: Path) -> None:
    runtime: Any = pytest.importorskip("onnxruntime")
    params, inputs, labels = drawn(LENET)
    path = symconv_onnx.save(LENET, params, tmp_path / "model.onnx", gradients=True)
    session = runtime.InferenceSession(str(path))
    feed = dict(zip([*LENET.values, *LENET.labels], [*inputs, *labels], strict=True))
    loss, *_ = session.run(None, feed)
    module = symconv.generate(LENET, "model").load()
    assert close(loss, module.loss_and_gradients(params, *inputs, *labels)[0])
    moved = {n: a - 0.1 for n, a in params.items()}
    (other, *_) = session.run(None, feed | moved)  # the initializers are inputs as well
    assert close(other, module.loss_and_gradients(moved, *inputs, *labels)[0])


def test_what_is_refused(tmp_path: Path) -> None:
    params, _, _ = drawn(RESIDUAL)
    path = symconv_onnx.save(RESIDUAL, params, tmp_path / "model.onnx")
    with pytest.raises(SymconvError, match="exists: only force"):
        symconv_onnx.save(RESIDUAL, params, path)
    with pytest.raises(SymconvError, match="is missing"):
        symconv_onnx.save(RESIDUAL, {}, tmp_path / "other.onnx")
    name = next(iter(params))
    with pytest.raises(SymconvError, match="expected shape"):
        symconv_onnx.save(RESIDUAL, {**params, name: np.ones(7)}, tmp_path / "other.onnx")
    any_batch = Network([layer("Flatten"), layer("Linear", out_features=2)], (None, 3, 4))
    with pytest.raises(SymconvError, match="must have a number of samples"):
        symconv_onnx.save(any_batch, {}, tmp_path / "other.onnx")
    assert not (tmp_path / "other.onnx").exists()


def test_a_wrong_file_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a constant factor relates a subscript to its neighbour."""
    letters: Any = pytest.importorskip("symconv.onnx.graph_nodes")._Letters
    own = letters._relate

    def shifted(self: Any, over: str, holds: Any) -> None:
        own(self, over, np.roll(holds, 1, 0))

    monkeypatch.setattr(letters, "_relate", shifted)
    with pytest.raises(AssertionError):
        test_what_onnx_computes("mean", tmp_path)
