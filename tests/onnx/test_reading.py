"""ONNX files: operators as layers, compared with ONNX's own evaluator; what is refused, and how."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import symconv
from symconv import SymconvError, check, generate

onnx: Any = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'symconv[onnx]'")
reference: Any = pytest.importorskip("onnx.reference")
symconv_onnx: Any = pytest.importorskip("symconv.onnx")
Array = NDArray[Any]
X = (2, 6, 8, 8)
RNG = np.random.default_rng(0)


def drawn(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def numbers(*values: int) -> Array:
    return np.array(values, np.int64)


def written(folder: Path, nodes: list[Any], shape: Any = X, opset: int = 17, **constants: Any) -> Path:
    """Write a model from x to y."""
    helper = onnx.helper
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, shape)],
        [helper.make_tensor_value_info("y", 1, None)],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def node(operator: str, *inputs: str, **attributes: Any) -> Any:
    return onnx.helper.make_node(operator, inputs, ["y"], **attributes)


POSITIVE = np.abs(drawn(6)) + np.float32(0.5)
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "conv": (
        node("Conv", "x", "w", "b", pads=[1, 0, 2, 1], strides=[2, 1], dilations=[1, 2], group=2),
        {"w": drawn(4, 3, 3, 2), "b": drawn(4)},
    ),
    "same": (node("Conv", "x", "w", auto_pad="SAME_UPPER", strides=[2, 2]), {"w": drawn(4, 6, 3, 3)}),
    "transposed": (
        node("ConvTranspose", "x", "w", strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
        {"w": drawn(6, 3, 3, 3)},
    ),
    "max pool": (node("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), {}),
    "average pool": (node("AveragePool", "x", kernel_shape=[3, 3], pads=[1, 1, 1, 1]), {}),
    "global": (node("GlobalAveragePool", "x"), {}),
    "batch norm": (
        node("BatchNormalization", "x", "w", "b", "m", "v", epsilon=1e-3),
        {"w": drawn(6), "b": drawn(6), "m": drawn(6), "v": POSITIVE},
    ),
    "flatten": (node("Flatten", "x"), {}),
    "reshape": (node("Reshape", "x", "s"), {"s": numbers(0, -1, 4)}),
    "transpose": (node("Transpose", "x", perm=[0, 2, 3, 1]), {}),
    "softmax": (node("Softmax", "x", axis=-1), {}),
    "mean": (node("ReduceMean", "x", axes=[2, 3], keepdims=0), {}),
    "resize": (
        node(
            "Resize",
            "x",
            "",
            "s",
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        ),
        {"s": np.array([1, 1, 2, 3], np.float32)},
    ),
    "slice": (node("Slice", "x", "a", "e", "c"), {"a": numbers(1), "e": numbers(-1), "c": numbers(3)}),
    "pad": (node("Pad", "x", "p"), {"p": numbers(0, 0, 1, 0, 0, 0, 2, 3)}),
    "leaky": (node("LeakyRelu", "x", alpha=0.2), {}),
    "elu": (node("Elu", "x", alpha=0.7), {}),
    "clip": (node("Clip", "x", "a", "b"), {"a": np.float32(-0.5), "b": np.float32(0.7)}),
    "hard sigmoid": (node("HardSigmoid", "x", alpha=0.25), {}),
    "hard swish": (node("HardSwish", "x"), {}),
    "scale": (node("Mul", "x", "s"), {"s": drawn(6, 1, 1)}),
    "shift": (node("Sub", "x", "s"), {"s": drawn(1, 6, 1, 8)}),
    "number": (node("Div", "c", "x"), {"c": np.float32(3)}),
}


@pytest.mark.parametrize("case", CASES)
def test_operators_give_what_onnx_says(case: str, tmp_path: Path) -> None:
    made, constants = CASES[case]
    compare(written(tmp_path, [made], **constants))


def compare(path: Path) -> None:
    """Compare a network with ONNX's own evaluator."""
    network, params = symconv_onnx.load(path)
    x = np.random.default_rng(1).standard_normal(network.input_shape).astype(np.float32)
    (wanted,) = reference.ReferenceEvaluator(str(path)).run(None, {"x": x})
    found = generate(network, "model").load().forward(params, x)
    assert found.shape == wanted.shape
    assert np.allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_response_normalisation(tmp_path: Path) -> None:
    """ONNX's evaluator leaves channels out here (1.23), so the formula is its specification's."""
    path = written(tmp_path, [node("LRN", "x", size=5, alpha=0.1, bias=2.0)])
    network, params = symconv_onnx.load(path)
    x = drawn(*X)
    squares = np.pad(x**2, ((0, 0), (2, 2), (0, 0), (0, 0)))
    sums = sum(squares[:, c : c + 6] for c in range(5))
    wanted = x / (2 + 0.1 / 5 * sums) ** 0.75
    assert np.allclose(generate(network, "model").load().forward(params, x), wanted, atol=1e-5)


def residual() -> list[Any]:
    """Return the nodes of a small network with constants to fold, and a residual connection."""
    make = onnx.helper.make_node
    return [
        make("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        make("Relu", ["c"], ["r"]),
        make("Identity", ["r"], ["i"]),
        make("Add", ["i", "x"], ["a"]),
        make("Shape", ["a"], ["s"]),
        make("Gather", ["s", "zero"], ["n"]),
        make("Unsqueeze", ["n", "zeros"], ["u"]),
        make("Concat", ["u", "rest"], ["to"], axis=0),
        make("Reshape", ["a", "to"], ["f"]),
        make("Gemm", ["f", "m", "b"], ["y"], transB=1, alpha=0.5),
    ]


GIVEN: dict[str, Any] = {
    "w": drawn(6, 6, 3, 3),
    "zero": np.array(0, np.int64),
    "zeros": numbers(0),
    "rest": numbers(-1),
    "m": drawn(5, 384),
    "b": drawn(5),
}


def test_a_network_with_folded_constants(tmp_path: Path) -> None:
    path = written(tmp_path, residual(), **GIVEN)
    compare(path)
    network, params = symconv_onnx.load(path)
    assert [type(n.layer).__name__ for n in network.nodes] == [
        *("Conv", "Activation", "Add", "Reshape", "Linear")
    ]
    assert list(params) == list(network.held)
    assert check(generate(network, "model")).passed


def test_the_batch_and_another_end_are_chosen(tmp_path: Path) -> None:
    path = written(tmp_path, residual(), shape=["n", *X[1:]], **GIVEN)
    with pytest.raises(SymconvError, match=r"has shape \(\?, 6, 8, 8\): give batch or input_shape"):
        symconv_onnx.load(path)
    network, params = symconv_onnx.load(path, batch=3, until="a")
    assert network.output_shape == (3, *X[1:])
    assert list(params) == ["conv1.weight"]
    assert symconv_onnx.load(path, input_shape=(1, 6, 4, 16))[0].input_shape == (1, 6, 4, 16)
    with pytest.raises(SymconvError, match="no node computes it"):
        symconv_onnx.load(path, batch=3, until="q")


def test_batch_norm_is_in_the_mode_that_is_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path, [CASES["batch norm"][0]], **CASES["batch norm"][1])
    assert not symconv_onnx.load(path)[0].nodes[0].layer.training
    assert symconv_onnx.load(path, training=True)[0].nodes[0].layer.training


REFUSED = {
    "crossed": (node("Clip", "x", "one", "low"), "'min(max(x, low), high)': must be"),
    "random": (node("Dropout", "x", "", "yes"), "drops elements at random"),
    "number": (node("ReduceSum", "x", "empty", keepdims=0), "gives a single number without axes"),
    "ceil": (
        node("MaxPool", "x", kernel_shape=[3, 3], pads=[1, 1, 1, 1], ceil_mode=1),
        "ceil_mode with pads",
    ),
    "unknown": (node("GRU", "x", "w", "w"), "node 'y': 'GRU' (opset 17): is not supported"),
    "crops": (
        node("Resize", "x", "", "s", coordinate_transformation_mode="tf_crop_and_resize"),
        "crops",
    ),
    "weights": (node("Conv", "x", "x"), "the filter must be constant"),
    "elements": (node("Reshape", "x", "t"), "with 768 elements"),
    "many": (node("ConstantOfShape", "huge"), "its constants are too large"),
    "undone": (node("Add", "x", "later"), "takes 'later', not computed before"),
    "pads": (node("Conv", "x", "k", pads=[1, 1]), "do not fit it"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_a_layer_is_refused_by_name(case: str, tmp_path: Path) -> None:
    made, said = REFUSED[case]
    constants: dict[str, Any] = {"w": drawn(3), "s": np.ones(4, np.float32), "k": drawn(4, 6, 3, 3)}
    constants |= {
        "yes": np.array(True),
        "empty": numbers(),
        "low": np.float32(-1),
        "one": np.float32(1),
        "t": numbers(5, -1),
        "huge": numbers(1 << 20, 1 << 20),
    }
    nodes = [made]
    if made.op_type == "ConstantOfShape":
        nodes = [onnx.helper.make_node("ConstantOfShape", ["huge"], ["h"]), node("Add", "x", "h")]
    path = written(tmp_path, nodes, **constants)
    with pytest.raises(SymconvError) as found:
        symconv_onnx.load(path)
    assert said in str(found.value)
    assert "\n" not in str(found.value)


def test_hostile_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    with pytest.raises(SymconvError, match="cannot be read"):
        symconv_onnx.load(path)
    path.write_bytes(b"no model at all" * 9)
    with pytest.raises(SymconvError, match="must be an ONNX file"):
        symconv_onnx.load(path)
    whole = written(tmp_path, residual(), **GIVEN)
    path.write_bytes(whole.read_bytes()[:2000])
    with pytest.raises(SymconvError):
        symconv_onnx.load(path)
    model = onnx.load(whole)
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "../../etc/passwd")
    path.write_bytes(model.SerializeToString())
    with pytest.raises(SymconvError, match="its data are not in a file beside the model"):
        symconv_onnx.load(path)
    model = onnx.load(whole)
    model.graph.node[0].name = 'a"\n__import__("os")\n' * 40
    model.graph.node[0].op_type = "Evil"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(SymconvError) as found:
        symconv_onnx.load(path)
    assert len(str(found.value)) < 400
    assert "\n" not in str(found.value)
    old = written(tmp_path, [node("Relu", "x")], opset=5)
    with pytest.raises(SymconvError, match="opset 5: must be 6 to"):
        symconv_onnx.load(old)


@pytest.mark.every
@pytest.mark.parametrize(("order", "seen"), [((2, 1, 0, 3), ""), ((3, 2, 1, 0), "where ONNX infers")])
def test_a_wrong_reading_is_seen(
    order: tuple[int, ...], seen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: padding begins where it should end, along one axis, or along both exchanged."""
    from symconv.onnx import operators, reading, sliding_windows

    def wrong(call: Any) -> Any:
        pads = [call.get("pads")[at] for at in order]
        return sliding_windows.conv(replace(call, attributes={**call.attributes, "pads": pads}))

    monkeypatch.setattr(reading, "OPERATORS", {**operators.OPERATORS, "Conv": wrong})
    made, constants = CASES["conv"]
    path = written(tmp_path, [made], **constants)
    if seen:
        with pytest.raises(SymconvError, match=seen):
            symconv_onnx.load(path)
    else:
        with pytest.raises(AssertionError):
            compare(path)


def test_importing_symconv_imports_no_onnx() -> None:
    import subprocess
    import sys

    text = "import symconv, sys; assert 'onnx' not in sys.modules"
    subprocess.run([sys.executable, "-c", text], check=True)
    assert symconv.__name__ == "symconv"
