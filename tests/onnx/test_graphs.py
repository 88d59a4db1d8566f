"""ONNX graphs beyond single operators: cuts, heads, branches, functions, data beside the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symconv
from symconv import SymconvError, check, generate
from tests.onnx.test_reading import GIVEN, X, compare, drawn, node, numbers, residual, written

onnx: Any = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'symconv[onnx]'")
make = onnx.helper.make_node
FLOAT = onnx.TensorProto.FLOAT


def test_a_network_begins_and_ends_at_named_values(tmp_path: Path) -> None:
    path = written(tmp_path, residual(), **GIVEN)
    whole, params = symconv.onnx.load(path)
    first, own = symconv.onnx.load(path, until="a")
    last, others = symconv.onnx.load(path, since="a")
    assert [n.name for n in last.nodes] == ["reshape1", "gemm1"]
    assert {*own, *others} == {*params}
    x = drawn(*X)
    between = generate(first, "first").load().forward(own, x)
    found = generate(last, "last").load().forward(others, between)
    assert np.allclose(found, generate(whole, "whole").load().forward(params, x), atol=1e-5)
    with pytest.raises(SymconvError, match="since: 'q': is not a value that is needed"):
        symconv.onnx.load(path, since="q")


def test_a_new_head_is_trained_and_the_rest_is_kept(tmp_path: Path) -> None:
    path = written(tmp_path, residual(), **GIVEN)
    head = [{"layer": "Flatten"}, ("classes", {"layer": "Linear", "out_features": 3})]
    head.append({"layer": "SoftmaxCrossEntropy"})
    network, params = symconv.onnx.load(path, until="a", head=head, trainable="classes")
    assert [*network.trained] == ["classes.weight", "classes.bias"]
    assert "classes.weight" not in params
    module = generate(network, "model").load()
    params = module.init(0) | params
    x, labels = drawn(*X), numbers(0, 2)
    state: dict[str, Any] = {}
    losses = []
    for _ in range(5):
        loss, grads, *_ = module.loss_and_gradients(params, x, labels)
        params, state = module.sgd_step(params, grads, state, 1e-4)
        losses.append(float(loss))
    assert losses == sorted(losses, reverse=True)
    assert np.array_equal(params["conv1.weight"], GIVEN["w"])


def test_several_outputs_of_one_node_and_of_one_value(tmp_path: Path) -> None:
    helper = onnx.helper
    nodes = [
        make("Split", ["x"], ["a", "b"], axis=1),
        make("Mul", ["a", "b"], ["y"]),
        make("Identity", ["y"], ["again"]),
    ]
    outputs = [helper.make_tensor_value_info(name, FLOAT, None) for name in ("y", "again", "x")]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", FLOAT, X)], outputs[:2])
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    network, params = symconv.onnx.load(path)
    x = drawn(*X)
    first, second = generate(network, "model").load().forward(params, x)
    assert np.array_equal(first, x[:, :3] * x[:, 3:])
    assert np.array_equal(first, second)


def test_a_constant_chooses_a_branch(tmp_path: Path) -> None:
    def branch(operator: str) -> Any:
        out = onnx.helper.make_tensor_value_info("inner", FLOAT, None)
        return onnx.helper.make_graph([make(operator, ["x"], ["inner"])], operator, [], [out])

    chosen = make("If", ["c"], ["y"], then_branch=branch("Relu"), else_branch=branch("Neg"))
    for value, wanted in ((True, lambda x: np.maximum(x, 0)), (False, np.negative)):
        network, params = symconv.onnx.load(written(tmp_path, [chosen], c=np.array(value)))
        x = drawn(*X)
        assert np.array_equal(generate(network, "model").load().forward(params, x), wanted(x))


def test_functions_are_inlined(tmp_path: Path) -> None:
    helper = onnx.helper
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    twice = helper.make_function(
        "own", "Twice", ["a"], ["b"], [make("Add", ["a", "a"], ["b"])], opset[:1]
    )
    graph = helper.make_graph(
        [make("Twice", ["x"], ["y"], domain="own")],
        "g",
        [helper.make_tensor_value_info("x", FLOAT, X)],
        [helper.make_tensor_value_info("y", FLOAT, X)],
    )
    path = tmp_path / "model.onnx"
    model = helper.make_model(graph, opset_imports=opset, functions=[twice], ir_version=8)
    onnx.save(model, path)
    network, params = symconv.onnx.load(path)
    x = drawn(*X)
    assert np.array_equal(generate(network, "model").load().forward(params, x), x + x)


def test_weights_beside_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, residual(), **GIVEN)
    apart = tmp_path / "apart.onnx"
    onnx.save(
        onnx.load(path), apart, save_as_external_data=True, location="weights.bin", size_threshold=8
    )
    found, wanted = symconv.onnx.load(apart)[1], symconv.onnx.load(path)[1]
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
    data = tmp_path / "weights.bin"
    data.write_bytes(data.read_bytes()[:-100])
    with pytest.raises(SymconvError, match="reach beyond their file"):
        symconv.onnx.load(apart)
    data.unlink()
    (tmp_path / "other.bin").write_bytes(b"")
    data.symlink_to("/dev/zero")
    with pytest.raises(SymconvError, match="not in a file beside the model"):
        symconv.onnx.load(apart)


def test_a_refusal_names_the_nearest_cut(tmp_path: Path) -> None:
    nodes = [make("Relu", ["x"], ["r"]), make("Det", ["r"], ["y"])]
    path = written(tmp_path, nodes)
    with pytest.raises(SymconvError, match=r"'Det' \(opset 17\): is not supported; .* until = 'r'"):
        symconv.onnx.load(path)
    assert symconv.onnx.load(path, until="r")[0].output_shape == X


def test_any_resizing_is_a_product_with_matrices_that_are_not_trained(tmp_path: Path) -> None:
    scales = np.array([1, 1, 1.5, 0.7], np.float32)
    nodes = [make("Conv", ["x", "w"], ["c"]), node("Resize", "c", "", "s", mode="cubic")]
    path = written(tmp_path, nodes, s=scales, w=drawn(2, 6, 3, 3))
    compare(path)
    network, _ = symconv.onnx.load(path)
    assert [*network.trained] == ["conv1.weight"]
    assert check(generate(network, "model")).passed


def test_softmax_before_opset_13_has_one_axis_of_all_later_ones(tmp_path: Path) -> None:
    """ONNX's evaluator gives the newer version's results, so the formula is its specification's."""
    x = drawn(*X)
    for axis in (1, 2, 3):
        network, params = symconv.onnx.load(
            written(tmp_path, [node("Softmax", "x", axis=axis)], opset=12)
        )
        over = tuple(range(axis, 4))
        powers = np.exp(x - x.max(over, keepdims=True))
        wanted = powers / powers.sum(over, keepdims=True)
        found = generate(network, "model").load().forward(params, x)
        assert np.allclose(found, wanted, rtol=1e-5, atol=1e-7)


def test_what_is_not_read_of_a_cycle_or_a_twin(tmp_path: Path) -> None:
    cycle = [make("Relu", ["b"], ["a"]), make("Add", ["a", "x"], ["b"]), make("Relu", ["b"], ["y"])]
    with pytest.raises(SymconvError, match="takes 'b', not computed before"):
        symconv.onnx.load(written(tmp_path, cycle))
    twin = [make("Relu", ["x"], ["a"]), make("Neg", ["x"], ["a"]), make("Add", ["a", "a"], ["y"])]
    with pytest.raises(SymconvError, match="'a': is computed twice"):
        symconv.onnx.load(written(tmp_path, twin))


def test_any_number_of_samples(tmp_path: Path) -> None:
    path = written(tmp_path, residual(), shape=["n", *X[1:]], **GIVEN)
    network, params = symconv.onnx.load(path, batch="any")
    module = generate(network, "model").load()
    fixed, _ = symconv.onnx.load(path, batch=5)
    x = drawn(5, *X[1:])
    wanted = generate(fixed, "fixed").load().forward(params, x)
    assert np.allclose(module.forward(params, x), wanted, atol=1e-5)
    assert module.forward(params, x[:1]).shape == (1, 5)
    rows = [make("Reshape", ["x", "t"], ["y"])]
    other = written(tmp_path, rows, shape=["n", *X[1:]], t=numbers(-1, 8))
    with pytest.raises(SymconvError, match="shape of reshape1 depends on the number of samples"):
        symconv.onnx.load(other, batch="any")
