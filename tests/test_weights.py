"""Weights of other programs: what is taken, missing, of another shape, or not used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import symconv
from symconv import Network, SymconvError, load_weights

NETWORK = Network(
    [
        ("layers_0_conv", {"layer": "Conv", "out_channels": 2, "kernel_size": 1}),
        ("bn", {"layer": "BatchNorm"}),
    ],
    input_shape=(1, 3, 4, 4),
)
RNG = np.random.default_rng(0)
ARRAYS = {
    "layers.0.conv.weight": RNG.standard_normal((2, 3, 1, 1)),
    "layers.0.conv.bias": RNG.standard_normal(2),
    **{f"bn.{name}": np.ones(2) for name in ("weight", "bias", "running_mean", "running_var")},
}


def test_arrays_are_found_by_name_and_shape() -> None:
    found = load_weights(NETWORK, ARRAYS)
    assert found.complete
    assert [*found.params] == [*NETWORK.held]
    assert all(array.dtype == np.float32 for array in found.params.values())
    module = symconv.generate(NETWORK, "model").load()
    assert module.forward(found.params, np.ones(NETWORK.input_shape, np.float32)).shape == (1, 2, 4, 4)


def test_what_does_not_fit_is_said() -> None:
    wrong = {**ARRAYS, "bn.weight": np.ones(3), "bn.num_batches_tracked": np.array(7)}
    del wrong["bn.bias"]
    found = load_weights(NETWORK, wrong)
    status = {row.parameter or row.array: row.status for row in found.rows}
    assert status["bn.weight"] == "other shape"
    assert status["bn.bias"] == "missing"
    assert status["bn.num_batches_tracked"] == "not used"
    assert not found.complete
    assert "one number" in found.text()
    with pytest.raises(SymconvError, match=r"are both layers_0_conv\.weight"):
        load_weights(NETWORK, {**ARRAYS, "layers_0_conv.weight": np.ones((2, 3, 1, 1))})
    with pytest.raises(SymconvError, match="must be finite in float32"):
        load_weights(NETWORK, {"bn.weight": np.full(2, 1e300)})
    assert load_weights(NETWORK, {"about": "text", **ARRAYS}).rows[-1].status == "not used"
    with pytest.raises(SymconvError, match="must be of real numbers"):
        load_weights(NETWORK, {"bn.weight": np.array(["a", "b"])})


def test_files(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    np.savez(tmp_path / "w.npz", allow_pickle=False, **ARRAYS)
    safetensors.save_file(ARRAYS, tmp_path / "w.safetensors")
    for name in ("w.npz", "w.safetensors"):
        found = load_weights(NETWORK, tmp_path / name)
        assert found.complete
        assert np.array_equal(found.params["bn.weight"], ARRAYS["bn.weight"])
    (tmp_path / "bad.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(SymconvError, match=r"must be a \.safetensors file"):
        load_weights(NETWORK, tmp_path / "bad.safetensors")
    with pytest.raises(SymconvError, match="cannot be read"):
        load_weights(NETWORK, tmp_path / "none.safetensors")


@pytest.mark.needs("torch")
def test_a_state_dict_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Module()
    model.layers = torch.nn.ModuleList([torch.nn.Module()])
    model.layers[0].conv = torch.nn.Conv2d(3, 2, 1)
    model.bn = torch.nn.BatchNorm2d(2)
    model = model.bfloat16()
    found = load_weights(NETWORK, model.state_dict())
    assert [row.array for row in found.rows if row.status != "taken"] == ["bn.num_batches_tracked"]
    wanted = model.layers[0].conv.weight.detach().float().numpy()
    assert np.array_equal(found.params["layers_0_conv.weight"], wanted)
