"""Fused layers: fewer, with the same results and gradients; each identity confirmed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy

import symconv
from tests.onnx.test_reading import POSITIVE, drawn, node, written

onnx: Any = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'symconv[onnx]'")
symconv_onnx: Any = pytest.importorskip("symconv.onnx")
fusing: Any = pytest.importorskip("symconv.onnx.fusing")
make = onnx.helper.make_node
NUMBERS = {"three": np.float32(3), "six": np.float32(6), "zero": np.float32(0), "half": np.float32(0.5)}
CHAINS: dict[str, tuple[list[Any], str]] = {
    "silu": ([make("Sigmoid", ["x"], ["s"]), make("Mul", ["x", "s"], ["y"])], "silu"),
    "hard swish": (
        [
            make("Add", ["x", "three"], ["a"]),
            make("Clip", ["a", "zero", "six"], ["c"]),
            make("Mul", ["x", "c"], ["m"]),
            make("Div", ["m", "six"], ["y"]),
        ],
        "",
    ),
    "gelu": (
        [
            make("Div", ["x", "root"], ["d"]),
            make("Erf", ["d"], ["e"]),
            make("Add", ["e", "one"], ["o"]),
            make("Mul", ["x", "o"], ["m"]),
            make("Mul", ["m", "half"], ["y"]),
        ],
        "",
    ),
}


@pytest.mark.every
@pytest.mark.parametrize("name", CHAINS)
def test_functions_of_one_value_are_one_function(name: str, tmp_path: Path) -> None:
    nodes, wanted = CHAINS[name]
    constants: dict[str, Any] = {**NUMBERS, "root": np.float32(np.sqrt(2)), "one": np.float32(1)}
    path = written(tmp_path, nodes, **constants)
    apart, together = symconv_onnx.read(path), symconv_onnx.read(path, fuse=True)
    assert len(apart.network.nodes) == len(nodes)
    (only,) = together.network.nodes
    assert only.layer.function == wanted or not wanted
    assert {layer for reading in together.nodes for layer in reading.layers} == {only.name}
    same(apart, together)


def same(apart: Any, together: Any) -> None:
    """Compare results and gradients with respect to the input."""
    x, g = drawn(*apart.network.input_shape), drawn(*apart.network.output_shape)
    modules = [symconv.generate(m.network, "model").load() for m in (apart, together)]
    for function, given in (("forward", (x,)), ("backward", (g, x))):
        one, other = (
            getattr(module, function)(m.params, *given)
            for module, m in zip(modules, (apart, together), strict=True)
        )
        one, other = (found if function == "forward" else found[0] for found in (one, other))
        assert np.allclose(one, other, rtol=1e-4, atol=1e-5)


def test_what_is_read_elsewhere_stays(tmp_path: Path) -> None:
    nodes = [
        make("Sigmoid", ["x"], ["s"]),
        make("Mul", ["x", "s"], ["m"]),
        make("Transpose", ["s"], ["t"], perm=[0, 1, 3, 2]),
        make("Add", ["m", "t"], ["y"]),
    ]
    found = symconv_onnx.read(written(tmp_path, nodes), fuse=True)
    assert not found.fusions
    assert len(found.network.nodes) == 4


def test_batch_norm_joins_the_convolution(tmp_path: Path) -> None:
    nodes = [
        make("Conv", ["x", "f"], ["c"]),
        node("BatchNormalization", "c", "w", "b", "m", "v", epsilon=1e-3),
    ]
    constants: dict[str, Any] = {
        "f": drawn(6, 6, 3, 3),
        "w": drawn(6),
        "b": drawn(6),
        "m": drawn(6),
        "v": POSITIVE,
    }
    path = written(tmp_path, nodes, **constants)
    together = symconv_onnx.read(path, fuse=True)
    assert [type(n.layer).__name__ for n in together.network.nodes] == ["Conv"]
    (fusion,) = together.fusions
    assert fusion.layers == ("conv1", "batchnormalization1")
    assert "γ" in fusion.identity
    same(symconv_onnx.read(path), together)
    assert len(symconv_onnx.read(path, fuse=True, training=True).network.nodes) == 2
    assert symconv.check(symconv.generate(together.network, "model")).passed


def test_a_wrong_identity_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: SiLU's definition is off by a little."""
    x = sympy.Symbol("x", real=True)
    silu = x / (1 + sympy.exp(-x))
    assert fusing._same(silu, "silu", x)
    assert not fusing._same(silu + x / 10**12, "silu", x)
    monkeypatch.setattr(sympy, "simplify", lambda e: e + 1)
    fusing.batch_norm_identity.cache_clear()
    assert fusing.batch_norm_identity() == ""
    fusing.batch_norm_identity.cache_clear()


def test_a_function_that_is_undefined_on_the_way_stays(tmp_path: Path) -> None:
    """√x · √x is x, but has no value below 0."""
    nodes = [make("Sqrt", ["x"], ["r"]), make("Mul", ["r", "r"], ["y"])]
    assert not symconv_onnx.read(written(tmp_path, nodes), fuse=True).fusions


def test_what_is_trained_stays_trained(tmp_path: Path) -> None:
    nodes = [make("Conv", ["x", "f"], ["c"]), node("BatchNormalization", "c", "w", "b", "m", "v")]
    constants: dict[str, Any] = {name: drawn(6) for name in "wbm"}
    path = written(tmp_path, nodes, **constants, f=drawn(6, 6, 3, 3), v=POSITIVE)
    apart = symconv_onnx.read(path, fuse=True, trainable="conv1")
    assert not apart.fusions
    assert [*apart.network.trained] == ["conv1.weight"]
    both = symconv_onnx.read(path, fuse=True, trainable=["conv1", "batchnormalization1"])
    assert [*both.network.trained] == ["batchnormalization1.weight", "batchnormalization1.bias"]
