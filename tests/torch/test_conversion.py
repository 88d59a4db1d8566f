"""Models of PyTorch, converted: the same outputs, gradients and names."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from symconv import SymconvError

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
symconv_torch: Any = pytest.importorskip("symconv.torch")
resnet: Any = pytest.importorskip("tests.torch.resnet")
pytestmark = pytest.mark.needs("torch")


def gradients(model: Any, x: Any) -> dict[str, Any]:
    model.zero_grad()
    model(x).square().sum().backward()
    return {name: p.grad for name, p in model.named_parameters()}


def test_a_resnet_18_has_equal_gradients() -> None:
    torch.manual_seed(0)
    model = resnet.ResNet18(classes=10).double()
    x = torch.randn(2, 3, 64, 64, dtype=torch.double)
    converted, rows = symconv_torch.convert(model, x, measure=False)
    replaced = [row for row in rows if not row.kept]
    assert sum(row.kind == "Conv2d" for row in replaced) == 20
    assert {"Linear", "MaxPool2d"} < {row.kind for row in replaced}
    assert {row.kind for row in rows if row.kept} == {
        "BatchNorm2d",
        "ReLU",
        "AdaptiveAvgPool2d",
        "Identity",
    }
    assert converted.state_dict().keys() == model.state_dict().keys()
    wanted = gradients(model, x)
    for name, grad in gradients(converted, x).items():
        assert (grad - wanted[name]).abs().max() <= 1e-9 * grad.abs().max()
    assert torch.allclose(converted(x[:1]), model(x[:1]))  # PyTorch's layers, for another shape
    assert torch.allclose(copy.deepcopy(converted).eval()(x), model.eval()(x))


def test_layers_are_timed_and_the_faster_one_is_taken() -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.ReLU())
    found = symconv_torch.convert(model, torch.randn(1, 2, 6, 6))
    conv = found.rows[0]
    assert conv.ratio > 0
    assert bool(conv.kept) == (conv.ratio >= 1)
    assert found.text().count("\n") == 3


KINDS = [
    (torch.nn.Conv1d(4, 6, 3, groups=2, padding="same", dilation=2), (2, 4, 9)),
    (torch.nn.Conv3d(2, 3, 2, padding_mode="circular", padding=1), (1, 2, 4, 4, 4)),
    (torch.nn.ConvTranspose2d(2, 3, 3, stride=2, output_padding=1), (1, 2, 4, 4)),
    (torch.nn.MaxPool2d(3, 2, 1, ceil_mode=True), (1, 2, 6, 7)),
    (torch.nn.AvgPool2d(2, count_include_pad=False, padding=1), (1, 2, 6, 7)),
    (torch.nn.LayerNorm((3, 4)), (2, 3, 4)),
    (torch.nn.GroupNorm(2, 4), (2, 4, 5)),
    (torch.nn.LeakyReLU(0.1), (3, 4)),
    (torch.nn.ELU(0.5), (3, 4)),
    (torch.nn.GELU(), (3, 4)),
    (torch.nn.GELU("tanh"), (3, 4)),
    (torch.nn.PReLU(4), (2, 4, 3)),
    (torch.nn.SiLU(), (3, 4)),
]


@pytest.mark.every
@pytest.mark.parametrize(("module", "shape"), KINDS, ids=lambda v: str(v)[:30])
def test_each_kind_of_module(module: Any, shape: tuple[int, ...]) -> None:
    module = module.double()
    x = torch.randn(*shape, dtype=torch.double, requires_grad=True)
    model = torch.nn.Sequential(module)
    converted, rows = symconv_torch.convert(model, x, measure=False)
    assert not rows[0].kept
    for one, other in zip(
        torch.autograd.grad(converted(x).sin().sum(), [x, *converted.parameters()]),
        torch.autograd.grad(model(x).sin().sum(), [x, *model.parameters()]),
        strict=True,
    ):
        assert torch.allclose(one, other)


def test_other_devices_are_refused() -> None:
    model = torch.nn.Linear(2, 3, device="meta")
    with pytest.raises(SymconvError, match="weight: is on meta"):
        symconv_torch.convert(model, torch.randn(1, 2))


def test_converted_models_are_compiled_exported_saved_and_frozen(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Flatten())
    model[0].weight.requires_grad_(False)
    model[1].train(False)
    x = torch.randn(1, 2, 6, 6)
    converted, rows = symconv_torch.convert(model, x)
    assert rows[0].ratio > 0
    converted, _ = symconv_torch.convert(model, x, order=2, measure=False)
    assert [module.training for module in converted] == [True, False, True]
    wanted = model(x)
    assert torch.allclose(torch.compile(converted, backend="eager")(x), wanted, atol=1e-5)
    assert torch.allclose(torch.export.export(converted, (x,)).module()(x), wanted, atol=1e-5)
    torch.save(converted, tmp_path / "model.pt")
    again = torch.load(tmp_path / "model.pt", weights_only=False)
    assert torch.allclose(again(x), wanted, atol=1e-5)
    with torch.autocast("cpu"):
        assert torch.equal(converted(x), model(x))
    y = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(converted(y).sin().sum(), y, create_graph=True)
    grad.square().sum().backward()
    with pytest.raises(SymconvError, match="the model does not take it"):
        symconv_torch.convert(model, torch.randn(1, 5, 6, 6))
    with pytest.raises(SymconvError, match="must be a module"):
        symconv_torch.convert(3, x)
    rows = symconv_torch.convert(torch.nn.MaxPool2d(2), torch.randn(4, 6, 6)).rows
    assert rows[0].kept == "takes an input without samples"
