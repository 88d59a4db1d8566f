"""Models of PyTorch as networks: the same outputs and gradients, by way of torch.export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import symconv
from symconv import SymconvError

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    nn = torch.nn
symconv_torch: Any = pytest.importorskip("symconv.torch")
resnet: Any = pytest.importorskip("tests.torch.resnet")
pytestmark = pytest.mark.needs("torch")


class SqueezeExcite(nn.Module):
    """A depthwise convolution whose channels are weighted, with HardSwish."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(4, 4, 3, padding="same", groups=4, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.inner = nn.Conv2d(4, 2, 1)
        self.outer = nn.Conv2d(2, 4, 1)

    def forward(self, x: Any) -> Any:
        """Return the output."""
        x = nn.functional.hardswish(self.norm(self.depthwise(x)))
        weight = torch.sigmoid(self.outer(torch.relu(self.inner(x.mean((2, 3), keepdim=True)))))
        return x * weight + 0.5


class UNet(nn.Module):
    """Down, up, and what was before beside it; two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(2, 4, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)
        self.last = nn.Conv2d(5, 1, 3)

    def forward(self, x: Any) -> Any:
        """Return the output."""
        inner = nn.functional.gelu(self.down(x))
        wide = torch.cat([self.up(inner), nn.functional.interpolate(inner, scale_factor=2)[:, :2]], 1)
        return self.last(nn.functional.pad(wide, (1, 1, 1, 1))), inner.flatten(1)


class Attention(nn.Module):
    """Products of values, a softmax, a normalisation, parts and changes in place."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(6)
        self.mixed = nn.Linear(6, 18, bias=False)

    def forward(self, x: Any) -> Any:
        """Return the output."""
        q, k, v = self.mixed(self.norm(x)).chunk(3, -1)
        weights = torch.softmax(q @ k.transpose(1, 2) / 6**0.5, -1)
        y = x - weights @ v
        y.relu_()
        return y + 2 / (1 + y.abs())


class Shared(nn.Module):
    """A layer that is called twice, views that are changed in place, an output returned twice."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        """Return the output."""
        y = torch.tanh(self.linear(torch.tanh(self.linear(x))))
        y = y + 1
        y.view(-1).relu_()
        return y, y, x


MODELS = {
    "squeeze": (SqueezeExcite, (2, 4, 6, 6)),
    "unet": (UNet, (2, 2, 8, 8)),
    "attention": (Attention, (2, 5, 6)),
    "shared": (Shared, (3, 4)),
    "resnet": (lambda: resnet.ResNet18(classes=3), (1, 3, 32, 32)),
}


@pytest.mark.every
@pytest.mark.parametrize("target", ["numpy", "c"])
@pytest.mark.parametrize("name", MODELS)
def test_models_agree(name: str, target: str) -> None:
    torch.manual_seed(0)
    made, shape = MODELS[name]
    model = made().double().train(False)
    x = torch.randn(*shape, dtype=torch.double, requires_grad=True)
    network, params = symconv_torch.network(model, x.detach())
    module = symconv.generate(network, "model", target=target).load()
    wanted = model(x)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    found = module.forward(params, x.detach().numpy())
    found = found if isinstance(found, tuple) else (found,)
    for one, other in zip(found, wanted, strict=True):
        assert np.allclose(one, other.detach().numpy())
    upstream = tuple(torch.randn_like(y) for y in wanted)
    grads = torch.autograd.grad(wanted, [x, *model.parameters()], upstream)
    by_x, gradients, *_ = module.backward(params, *(g.numpy() for g in upstream), x.detach().numpy())
    assert np.allclose(by_x, grads[0].numpy())
    for (own, _), grad in zip(model.named_parameters(), grads[1:], strict=True):
        path, _, last = own.rpartition(".")
        assert np.allclose(gradients[f"{path.replace('.', '_')}.{last}"], grad.numpy(), atol=1e-10), own


class Sorts(nn.Module):
    """What is not supported."""

    def forward(self, x: Any) -> Any:
        """Return the output."""
        return torch.sort(x)[0]


class Pooled(nn.Module):
    """A pool whose windows differ."""

    def forward(self, x: Any) -> Any:
        """Return the output."""
        return nn.functional.adaptive_avg_pool2d(x, 3)


class Argument(nn.Module):
    """An argument that no rule reads."""

    def forward(self, x: Any) -> Any:
        """Return the output."""
        return torch.div(x, 2.0, rounding_mode="floor")


def test_a_models_mode_is_kept() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    model[1].train(False)
    symconv_torch.network(model, torch.randn(2, 3))
    assert [module.training for module in model] == [True, False]


def test_what_is_refused() -> None:
    with pytest.raises(SymconvError, match="rounding_mode = 'floor' is not supported"):
        symconv_torch.network(Argument(), torch.randn(2, 3))
    with pytest.raises(SymconvError, match="without samples"):
        symconv_torch.network(nn.MaxPool2d(2), torch.randn(4, 6, 6))
    with pytest.raises(SymconvError, match="must be a module of PyTorch"):
        symconv_torch.network(3, torch.randn(2, 3))
    with pytest.raises(SymconvError, match=r"sort \('return torch.sort\(x\)\[0\]'\): is not supported"):
        symconv_torch.network(Sorts(), torch.randn(2, 3))
    with pytest.raises(SymconvError, match="its windows are not all alike"):
        symconv_torch.network(Pooled(), torch.randn(1, 2, 7, 7))
    with pytest.raises(SymconvError, match="must be a tensor of float32 or float64"):
        symconv_torch.network(Sorts(), torch.ones(2, 3, dtype=torch.int64))
