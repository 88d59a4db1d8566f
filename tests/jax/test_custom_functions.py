"""Functions of JAX: every transform, both targets, what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import symconv
from symconv import SymconvError
from symconv.layers import Layer

jax: Any = pytest.importorskip("jax", reason="JAX is not installed: pip install 'symconv[jax]'")
symconv_jax: Any = pytest.importorskip("symconv.jax")
jnp = jax.numpy
pytestmark = pytest.mark.needs("jax")
CONV = symconv.Conv((2, 3, 5, 6), 4, 3, padding=1, stride=2, dtype="float64")


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    """Let JAX have float64."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


def theirs(x: Any, weight: Any, bias: Any) -> Any:
    y = jax.lax.conv_general_dilated(x, weight, (2, 2), [(1, 1), (1, 1)])
    return y + bias[:, None, None]


def energy(of: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *inputs: jnp.sin(of(*inputs)).sum()


TRANSFORMS: dict[str, Callable[[Any, Any], Any]] = {
    "output": lambda f, a: f(*a),
    "jit": lambda f, a: jax.jit(f)(*a),
    "grad": lambda f, a: jax.grad(energy(f), (0, 1, 2))(*a),
    "one grad in jit": lambda f, a: jax.jit(jax.grad(energy(f), 1))(*a),
    "jvp": lambda f, a: jax.jvp(f, a, a),
    "vmap": lambda f, a: jax.vmap(f, (0, None, None))(jnp.stack([a[0], 2 * a[0]]), *a[1:]),
    "vmap of grad": lambda f, a: jax.vmap(jax.grad(energy(f)), (None, 0, None))(
        a[0], jnp.stack([a[1], -a[1]]), a[2]
    ),
    "hvp": lambda f, a: jax.jvp(jax.grad(energy(f), (0, 1)), a, a),
    "grad of grad": lambda f, a: jax.grad(lambda x: (jax.grad(energy(f), 1)(x, *a[1:]) ** 2).sum())(
        a[0]
    ),
    "hessian": lambda f, a: jax.hessian(energy(f), 2)(*a),
    "grad of jvp": lambda f, a: jax.grad(lambda t: jax.jvp(f, a, (t, *a[1:]))[1].sum())(a[0]),
}


@pytest.mark.every
@pytest.mark.parametrize("target", ["c", "numpy"])
def test_transforms(target: str) -> None:
    rng = np.random.default_rng(0)
    inputs = tuple(jnp.asarray(rng.standard_normal(s)) for s in CONV.inputs.values())
    ours = symconv_jax.function(CONV, order=2, target=target)
    for name, transform in TRANSFORMS.items():
        found, wanted = transform(ours, inputs), transform(theirs, inputs)
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
            assert jnp.allclose(one, other), name


LAYERS: list[Layer] = [
    symconv.MaxPool((1, 2, 5, 5), 2, dtype="float64"),
    symconv.Activation((3, 4), "gelu", dtype="float64"),
    symconv.LayerNorm((2, 5), dtype="float64"),
    symconv.Multiply(((2, 3), (2, 1)), dtype="float64"),
]


@pytest.mark.every
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_gradients_are_those_of_finite_differences(layer: Layer) -> None:
    from jax.test_util import check_grads

    rng = np.random.default_rng(0)
    inputs = [jnp.asarray(rng.standard_normal(s)) for s in layer.inputs.values()]
    check_grads(symconv_jax.function(layer, order=2), inputs, order=1)


@pytest.mark.every
@pytest.mark.parametrize("target", ["c", "numpy"])
def test_labels_are_integers(target: str) -> None:
    layer = symconv.SoftmaxCrossEntropy((4, 3), dtype="float64")
    loss = symconv_jax.function(layer, target=target)
    x = jnp.asarray(np.random.default_rng(0).standard_normal((4, 3)))
    labels = jnp.asarray([0, 2, 1, 1])

    def wanted(x: Any) -> Any:
        return -jax.nn.log_softmax(x)[jnp.arange(4), labels].mean()

    assert jnp.allclose(loss(x, labels), wanted(x))
    assert jnp.allclose(jax.grad(loss)(x, labels), jax.grad(wanted)(x))
    for outside in (-1, 3):
        assert jnp.isnan(jax.jit(loss)(x, labels.at[1].set(outside)))


def test_what_is_refused() -> None:
    conv = symconv_jax.function(CONV)
    x, weight, bias = (jnp.zeros(s) for s in CONV.inputs.values())
    with pytest.raises(SymconvError, match="x: expected shape"):
        conv(x[:1], weight, bias)
    with pytest.raises(SymconvError, match="weight: expected dtype float64, received float32"):
        conv(x, weight.astype("float32"), bias)
    with pytest.raises(SymconvError, match="expected 3 arrays"):
        conv(x, weight)
    with pytest.raises(SymconvError, match="order = 1: must be 2"):
        jax.jvp(conv, (x, weight, bias), (x, weight, bias))
    jax.config.update("jax_enable_x64", False)
    with pytest.raises(SymconvError, match="set jax_enable_x64"):
        symconv_jax.function(CONV)


def test_a_wrong_gradient_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the tangent's transpose returns gradients in another order."""
    rules = symconv_jax.custom_functions._Rules
    own = rules._tangent_transposed

    def turned(self: Any, *given: Any) -> Any:
        return own(self, *given)[::-1]

    monkeypatch.setattr(rules, "_tangent_transposed", turned)
    product = symconv_jax.function(symconv.Multiply(((2, 3), (2, 3)), dtype="float64"))
    a, b = jnp.full((2, 3), 2.0), jnp.full((2, 3), 3.0)
    by_a, _ = jax.grad(lambda a, b: product(a, b).sum(), (0, 1))(a, b)
    assert not jnp.allclose(by_a, b)
