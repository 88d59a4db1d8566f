"""Networks with several inputs and outputs, with shared parameters, and with masks."""

from __future__ import annotations

import re
import types
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import symconv
from symconv import Network, SymconvError
from symconv.check.modules import check_module
from symconv.files import load_source
from symconv.layers import rebuild
from tests.shell.command import run as run_command

Array = NDArray[Any]
N: Any = None


def layer(kind: str, **arguments: Any) -> dict[str, Any]:
    return {"layer": kind, **arguments}


RELU, TANH = layer("Activation", function="relu"), layer("Activation", function="tanh")
NETWORKS = {
    "two inputs": Network(
        [
            ("a", layer("Linear", out_features=4), "first"),
            ("b", layer("Linear", out_features=4), "second"),
            ("sum", layer("Add"), ("a", "b")),
            ("r", TANH),
        ],
        input_shapes={"first": (3, 5), "second": (3, 6)},
    ),
    "two inputs, any batch, a loss": Network(
        [
            ("a", layer("Linear", out_features=4), "first"),
            ("b", layer("Linear", out_features=4), "second"),
            ("product", layer("Multiply"), ("a", "b")),
            layer("SoftmaxCrossEntropy"),
        ],
        input_shapes={"first": (N, 5), "second": (N, 6)},
    ),
    "three outputs": Network(
        [
            ("conv", layer("Conv", out_channels=3, kernel_size=3)),
            ("act", RELU),
            ("flat", layer("Flatten")),
            ("head", layer("Linear", out_features=4)),
            ("other", layer("Linear", out_features=2), "flat"),
        ],
        input_shape=(N, 1, 6, 6),
        outputs=("head", "other", "act"),
    ),
    "an output that others are views of": Network(
        [
            ("linear", layer("Linear", out_features=6)),
            ("shape", layer("Reshape", shape=(4, 2, 3))),
            ("act", RELU),
        ],
        input_shape=(4, 5),
        outputs=("linear", "shape", "act"),
    ),
    "features beside a loss": Network(
        [
            ("features", layer("Linear", out_features=6)),
            RELU,
            ("scores", layer("Linear", out_features=3)),
            layer("SoftmaxCrossEntropy"),
        ],
        input_shape=(4, 5),
        outputs=("scores", "features"),
    ),
    "twins": Network(
        [
            ("a", layer("Linear", out_features=4), "first"),
            ("b", layer("Linear", out_features=4, shares="a"), "second"),
            ("product", layer("Multiply"), ("a", "b")),
            ("r", TANH),
        ],
        input_shapes={"first": (3, 5), "second": (3, 5)},
    ),
    "one layer three times": Network(
        [
            ("a", layer("Linear", out_features=5)),
            TANH,
            ("b", layer("Linear", out_features=5, shares="a")),
            TANH,
            ("c", layer("Linear", out_features=5, shares="b")),
            layer("SoftmaxCrossEntropy"),
        ],
        input_shape=(N, 5),
    ),
    "twins of any batch": Network(
        [
            ("a", layer("Linear", out_features=8), "first"),
            ("b", layer("Linear", out_features=8, shares="a"), "second"),
            ("product", layer("Multiply"), ("a", "b")),
            layer("Linear", out_features=1),
            TANH,
        ],
        input_shapes={"first": (N, 5), "second": (N, 5)},
    ),
    "dropout": Network(
        [
            ("conv", layer("Conv", out_channels=3, kernel_size=3)),
            RELU,
            ("drop", layer("Dropout", p=0.25)),
            layer("Flatten"),
            ("linear", layer("Linear", out_features=4)),
            layer("Dropout"),
            layer("SoftmaxCrossEntropy"),
        ],
        input_shape=(N, 1, 6, 6),
    ),
    "dropout at both ends": Network(
        [
            layer("Dropout"),
            ("linear", layer("Linear", out_features=4)),
            TANH,
            layer("Dropout", p=0.1),
        ],
        input_shape=(4, 6),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_verb(name: str) -> None:
    network = NETWORKS[name]
    report = symconv.check(symconv.generate(network, "m", order=2))
    assert report.passed, report.text()
    assert symconv.prove(network).holds
    assert all(step.check.passed for step in symconv.derive(network).steps)
    assert rebuild(network.as_dict()) == network


@pytest.mark.parametrize("name", ["two inputs", "twins"])
def test_pages_show_every_input(name: str) -> None:
    html = symconv.explain(NETWORKS[name]).html()
    assert "first, the input" in html
    assert "second, the input" in html


def test_dropout_is_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    layer_ = symconv.Dropout((4, 6), 0.25)
    module = symconv.generate(layer_, "m", order=2).load()
    rng = np.random.default_rng(0)
    x, g, ggx = (rng.standard_normal((4, 6)).astype(np.float32) for _ in range(3))
    mask = module.draw_mask(3)
    given = torch.tensor(x, requires_grad=True)
    wanted = given * torch.tensor(mask) / 0.75  # what torch.nn.functional.dropout does with its mask
    (gradient,) = torch.autograd.grad(wanted, given, torch.tensor(g))
    np.testing.assert_allclose(module.forward(x, mask), wanted.detach(), rtol=1e-6)
    np.testing.assert_allclose(module.backward(g, x, mask)[0], gradient, rtol=1e-6)
    np.testing.assert_allclose(module.jvp(x, mask, ggx), ggx * mask / 0.75, rtol=1e-6)
    ggo, gx = module.double_backward(ggx, g, x, mask)
    np.testing.assert_allclose(ggo, ggx * mask / 0.75, rtol=1e-6)
    assert not gx.any()


def test_masks_are_drawn_from_a_seed() -> None:
    module = symconv.generate(symconv.Dropout((300, 300), 0.3), "m").load()
    mask = module.draw_mask(1)
    assert mask.dtype == np.float32
    assert set(np.unique(mask)) == {0, 1}
    assert abs(mask.mean() - 0.7) < 0.01
    assert (mask == module.draw_mask(1)).all()
    assert (mask != module.draw_mask(2)).any()


def test_masks_of_functions_of_ones_own_are_0_and_1() -> None:
    layer_ = symconv.Dropout((4, 3))
    assert symconv.check(layer_, backward=lambda g, x, mask: np.where(mask == 1, 2 * g, 0))
    unscaled = symconv.check(layer_, backward=lambda g, x, mask: g * mask)
    assert "not divided by the share that is kept" in unscaled.text()
    ignored = symconv.check(layer_, backward=lambda g, x, mask: g)
    assert "mask is ignored" in ignored.text()
    given = symconv.worked(symconv.Dropout((1, 9)), 0).text().partition("M = ")[2].partition("G =")[0]
    assert set(re.findall(r"-?\d+", given)) == {"0", "1"}


def test_dropout_in_a_network_is_the_definition() -> None:
    """By hand: masks are inputs of training, and nothing is dropped by forward."""
    module = symconv.generate(NETWORKS["dropout at both ends"], "m").load()
    params, masks = module.init(0), module.draw_masks(5)
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((4, 6)).astype(np.float32), rng.standard_normal((4, 4)).astype(np.float32)
    w, b = params["linear.weight"], params["linear.bias"]
    np.testing.assert_allclose(module.forward(params, x), np.tanh(x @ w.T + b), rtol=1e-5)
    dropped = x * masks["dropout1.mask"] / 0.5
    value = np.tanh(dropped @ w.T + b)
    back = g * masks["dropout2.mask"] / 0.9 * (1 - value**2)
    gx, found = module.backward(params, g, x, masks)
    np.testing.assert_allclose(gx, back @ w * masks["dropout1.mask"] / 0.5, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["linear.weight"], back.T @ dropped, rtol=1e-4, atol=1e-6)


def test_shared_parameters_have_one_gradient() -> None:
    """By hand: the sum of what comes through every layer that takes them."""
    module = symconv.generate(NETWORKS["twins"], "m").load()
    params = module.init(0)
    assert list(params) == ["a.weight", "a.bias"]
    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal((3, 5)).astype(np.float32) for _ in range(2))
    g = rng.standard_normal((3, 4)).astype(np.float32)
    w, b = params["a.weight"], params["a.bias"]
    one, two = first @ w.T + b, second @ w.T + b
    back = g * (1 - np.tanh(one * two) ** 2)
    gfirst, gsecond, found = module.backward(params, g, first, second)
    np.testing.assert_allclose(gfirst, (back * two) @ w, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gsecond, (back * one) @ w, rtol=1e-4, atol=1e-5)
    wanted = (back * two).T @ first + (back * one).T @ second
    np.testing.assert_allclose(found["a.weight"], wanted, rtol=1e-4, atol=1e-5)


def test_outputs_are_returned_in_order() -> None:
    module = symconv.generate(NETWORKS["three outputs"], "m").load()
    params = module.init(0)
    x = np.random.default_rng(0).standard_normal((5, 1, 6, 6)).astype(np.float32)
    head, other, act = module.forward(params, x)
    flat = act.reshape(5, 48)
    np.testing.assert_allclose(head, flat @ params["head.weight"].T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(other, flat @ params["other.weight"].T, rtol=1e-4, atol=1e-5)


PLANTED = {
    "a share is lost": ("twins", r"\n    g\[\"a\.weight\"\] \+= [^\n]*", ""),
    "an output's own gradient is lost": ("three outputs", r"\n    g_act \+= grad_act", ""),
    "outputs are exchanged": (
        "features beside a loss",
        "return y_scores, y_features",
        "return y_features, y_scores",
    ),
    "inputs are exchanged": ("two inputs", "return gfirst, gsecond, g", "return gsecond, gfirst, g"),
    "a mask of another layer": (
        "dropout at both ends",
        r'm\["dropout2\.mask"\]',
        '(m["dropout2.mask"] > 2)',
    ),
    "dropped outside training": (
        "dropout at both ends",
        r"dropout1 = x  # the same memory",
        "dropout1 = x * (np.arange(6) % 2).astype(DTYPE)",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_errors_are_found(name: str) -> None:
    network, old, new = PLANTED[name]
    source = symconv.generate(NETWORKS[network], "m").source
    wrong, count = re.subn(old, new, source)
    assert count

    def load(dtype: object) -> types.ModuleType:
        module = load_source("m", wrong)
        module.__dict__["DTYPE"] = module.__dict__["DTYPE"] if dtype is None else dtype
        return module

    assert not check_module("m", NETWORKS[network], load)


LINEAR = ("a", layer("Linear", out_features=4))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"input_shapes": {"b": (2, 3), "c": (2, 3)}}, "no layer takes the input c"),
        (
            {"input_shapes": {"b": (2, 3)}, "input_shape": (2, 3)},
            "must not be given beside input_shapes",
        ),
        ({"input_shapes": {"class": (2, 3)}}, "Python's keywords"),
        ({"input_shapes": {"y": (2, 3)}}, "must be different"),
        ({"input_shapes": {"b": (2, 3), "gb": (2, 3)}}, "must be different"),
        ({"input_shapes": {"tuple": (2, 3)}}, "must be different"),
        ({"input_shapes": 3}, "names and shapes"),
        ({"input_shape": (2, 3), "outputs": ("b",)}, "one of the layers before the loss: a"),
        ({"input_shape": (2, 3), "outputs": ("a", "a")}, "names of different layers"),
    ],
)
def test_bad_values_are_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(SymconvError) as refused:
        Network([LINEAR], **arguments)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (layer("Linear", out_features=4, shares="b"), "one of the earlier layers: a"),
        (layer("Linear", out_features=5, shares="a"), "shares the parameters of a, but takes others"),
        (layer("Linear", out_features=4, shares=["a"]), "one of the earlier layers: a"),
        (layer("BatchNorm", shares="a"), "left out"),
        (layer("Dropout", p=1), "a number from 0 to below 1"),
    ],
)
def test_bad_layers_are_refused(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(SymconvError) as refused:
        Network([LINEAR, entry], input_shape=(2, 4))
    assert said in str(refused.value)


def test_a_file_names_inputs_outputs_and_what_is_shared(tmp_path: Any) -> None:
    (tmp_path / "twins.toml").write_text(
        'outputs = ["product", "a"]\n[input_shapes]\nfirst = ["N", 5]\nsecond = ["N", 5]\n'
        '[[layers]]\nname = "a"\nlayer = "Linear"\nout_features = 4\ninputs = "first"\n'
        '[[layers]]\nlayer = "Linear"\nout_features = 4\ninputs = "second"\nshares = "a"\n'
        '[[layers]]\nname = "product"\nlayer = "Multiply"\ninputs = ["a", "linear1"]\n'
    )
    file = str(tmp_path / "twins.toml")
    run_command("generate", file, "--name", "twins", "-o", str(tmp_path))
    run_command("check", str(tmp_path / "twins.py"))
    source = (tmp_path / "twins.py").read_text(encoding="utf-8")
    command = re.search(r"#     symconv (generate network .*)", source)
    assert command
    import shlex

    again = run_command(*shlex.split(command[1]))
    assert again == source


def test_names_of_arrays_are_kept_apart() -> None:
    names = [("left", layer("Linear", out_features=3)), ("y_left", RELU)]
    with pytest.raises(SymconvError, match="y_left: is what the module calls an array"):
        Network(names, input_shape=(2, 3), outputs=("left", "y_left"))
    assert Network(names, input_shape=(2, 3)).outputs == ("y_left",)
