"""Functions and operators of PyTorch: every derivative, every transform, what is refused."""

from __future__ import annotations

import functools
import gc
import importlib
from typing import Any

import numpy as np
import pytest

import symconv
from symconv import SymconvError
from symconv.layers import Layer

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
symconv_torch: Any = pytest.importorskip("symconv.torch")
pytestmark = pytest.mark.needs("torch")
LAYERS: dict[str, Layer] = {
    "conv": symconv.Conv((2, 3, 5, 6), 4, (3, 2), stride=2, padding=1, dtype="float64"),
    "transposed": symconv.ConvTranspose((1, 2, 3, 3), 2, 3, stride=2, dtype="float64"),
    "linear": symconv.Linear((3, 4), 5, dtype="float64"),
    "pool": symconv.AvgPool((1, 2, 5, 5), 3, stride=2, dtype="float64"),
    "gelu": symconv.Activation((3, 4), "gelu", dtype="float64"),
    "product": symconv.Multiply(((2, 3), (2, 1)), dtype="float64"),
    "norm": symconv.LayerNorm((3, 5), dtype="float64"),
}


def drawn(layer: Layer, seed: int = 0) -> list[Any]:
    """Return tensors for a layer's inputs, all of which are differentiated."""
    rng = np.random.default_rng(seed)
    shapes = layer.inputs.values()
    return [torch.from_numpy(rng.standard_normal(shape)).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("target", ["numpy", "c"])
@pytest.mark.parametrize("name", LAYERS)
def test_all_derivatives(name: str, target: str) -> None:
    layer = LAYERS[name]
    inputs = drawn(layer)
    function = symconv_torch.function(layer, order=2, target=target)
    assert torch.autograd.gradcheck(function, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("name", LAYERS)
def test_operators_pass_pytorchs_checks(name: str) -> None:
    layer = LAYERS[name]
    inputs = drawn(layer)
    operator = symconv_torch.op(layer, order=2)
    assert operator is symconv_torch.op(layer, order=2)
    torch.library.opcheck(operator, tuple(inputs))
    torch.library.opcheck(operator, (inputs[0].detach(), *inputs[1:]))
    assert torch.autograd.gradcheck(operator, inputs)
    assert torch.autograd.gradgradcheck(operator, inputs)


def test_transforms() -> None:
    layer = LAYERS["conv"]
    x, weight, bias = drawn(layer)
    function = symconv_torch.function(layer, order=2)

    def theirs(x: Any) -> Any:
        return torch.nn.functional.conv2d(x, weight, bias, stride=2, padding=1)

    def ours(x: Any) -> Any:
        return function(x, weight, bias)

    many = torch.stack([x, 2 * x, -x]).detach()

    def energy(of: Any) -> Any:
        return lambda x: of(x).sin().sum()

    for transform in (
        lambda of: torch.func.vmap(of)(many),
        lambda of: torch.func.vmap(torch.func.grad(energy(of)))(many),
        lambda of: torch.func.jvp(of, (x,), (many[1],))[1],
        lambda of: torch.func.grad(lambda x: torch.func.grad(energy(of))(x).square().sum())(x),
        lambda of: torch.func.jvp(torch.func.grad(energy(of)), (x,), (many[1],))[1],
        lambda of: torch.func.vjp(lambda x: torch.func.jvp(of, (x,), (many[1],))[1], x)[0],
        lambda of: torch.func.jacrev(of)(x),
    ):
        assert torch.allclose(transform(ours), transform(theirs))


def test_only_the_gradients_that_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = LAYERS["conv"]
    x, weight, bias = drawn(layer)
    autograd_functions: Any = importlib.import_module("symconv.torch.autograd_functions")
    run = autograd_functions.on_tensors(layer, 1, "numpy", "direct")
    called: list[str] = []
    for name in ("input_gradient", "weight_gradient", "bias_gradient", "backward"):
        own = getattr(run.module, name)

        @functools.wraps(own)
        def noted(*given: Any, _name: str = name, _own: Any = own, **more: Any) -> Any:
            called.append(_name)
            return _own(*given, **more)

        monkeypatch.setattr(run.module, name, noted)
    monkeypatch.setattr(autograd_functions, "on_tensors", lambda *given: run)
    function = symconv_torch.function(layer)
    function(x.detach(), weight, bias.detach()).sum().backward()
    assert called == ["weight_gradient"]
    function(x, weight, bias).sum().backward()
    assert called[:2] == ["weight_gradient", "backward"]  # which calls the others itself


def test_memory_is_shared_and_freed() -> None:
    layer = symconv.Activation((4, 4), "relu")
    function = symconv_torch.function(layer)
    x = torch.randn(4, 4, requires_grad=True)
    y = function(x)
    assert y.grad_fn.saved_tensors[0].data_ptr() == x.data_ptr()
    before = len(gc.get_objects())
    for _ in range(100):
        function(x).sum().backward()
    gc.collect()
    assert len(gc.get_objects()) < before + 100


def test_compile_and_export() -> None:
    layer = symconv.Conv((2, 3, 5, 6), 4, 3)
    operator = symconv_torch.op(layer)
    x, weight, bias = (torch.randn(*s, requires_grad=True) for s in layer.inputs.values())

    class Model(torch.nn.Module):
        def forward(self, x: Any, weight: Any, bias: Any) -> Any:
            return operator(x, weight, bias).relu()

    wanted = torch.nn.functional.conv2d(x, weight, bias).relu()
    compiled = torch.compile(Model(), fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(x, weight, bias), wanted, atol=1e-5)
    compiled(x, weight, bias).sum().backward()
    assert x.grad is not None
    exported = torch.export.export(Model(), (x, weight, bias)).module()
    assert torch.allclose(exported(x, weight, bias), wanted, atol=1e-5)


def test_what_is_refused() -> None:
    layer = symconv.Activation((4, 4), "relu")
    function = symconv_torch.function(layer)
    x = torch.randn(4, 4, requires_grad=True)
    with pytest.raises(SymconvError, match="is on meta: only the CPU"):
        function(torch.empty(4, 4, device="meta"))
    with torch.autocast("cpu"), pytest.raises(SymconvError, match="autocast: must be off"):
        function(x)
    (grad,) = torch.autograd.grad(function(x).square().sum(), x, create_graph=True)
    with pytest.raises(SymconvError, match="order = 1: must be 2"):
        grad.sum().backward()
    operator = symconv_torch.op(layer)
    (grad,) = torch.autograd.grad(operator(x).square().sum(), x, create_graph=True)
    with pytest.raises(SymconvError, match="order = 1: must be 2"):
        grad.sum().backward()
    with pytest.raises(SymconvError, match="has no forward mode"):
        torch.func.jvp(operator, (x.detach(),), (x.detach(),))
    with pytest.raises(SymconvError, match=r"expected 1 tensors \(x\), received 2"):
        function(x, x)
    with pytest.raises(SymconvError, match="received a ndarray"):
        function(x.detach().numpy())
    with pytest.raises(TypeError, match="x: expected dtype float32"):
        function(x.double())
    with pytest.raises(ValueError, match=r"x: expected shape \(4, 4\)"):
        function(x[:2])
    with pytest.raises(SymconvError, match="lower-case letters"):
        symconv_torch.op(layer, name="No Name")
    symconv_torch.op(layer, name="mine")
    with pytest.raises(SymconvError, match="another layer's operator"):
        symconv_torch.op(symconv.Activation((4, 5), "relu"), name="mine")
    network = symconv.Network([symconv.Flatten((2, 3)), symconv.Linear((2, 3), 4)])
    with pytest.raises(SymconvError, match="single layer"):
        symconv_torch.function(network)


def test_a_wrong_gradient_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the filter's gradient is off by a hundredth."""
    from symconv.torch.module_on_tensors import OnTensors

    own = OnTensors.backward

    def off(self: Any, grad: Any, inputs: Any, needed: Any) -> Any:
        found = own(self, grad, inputs, needed)
        return [found[0], None if found[1] is None else found[1] * 1.01, *found[2:]]

    monkeypatch.setattr(OnTensors, "backward", off)
    function = symconv_torch.function(LAYERS["linear"])
    with pytest.raises(importlib.import_module("torch.autograd.gradcheck").GradcheckError):
        torch.autograd.gradcheck(function, drawn(LAYERS["linear"]))
