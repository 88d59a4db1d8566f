"""Activations: the grammar, the named ones' accuracy, all four verbs, and what is refused."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from symconv import Activation, SymconvError, check, derive, generate, prove
from symconv.layers import rebuild
from symconv.layers.activations import NAMED
from symconv.layers.spelling import read, spell
from symconv.notation.expression import parse_expression
from symconv.notation.expression_text import GRAMMAR, expression_text
from symconv.prove import function_theorems
from symconv.targets.numpy.expressions import ERFC
from symconv.unit import Unit
from tests.effort import many

X = sympy.Symbol("x", real=True)
EXPRESSIONS = [
    ("a*x^2 + where(x > 0, x, b*x)", {"a": 0.5, "b": 1e-3}),
    ("exp(x)/(1 + x^2)", {}),
    ("max(x, 0) - min(x, 0)^3", {}),
    ("sqrt(abs(x)) * x", {}),
    ("atan(2*x) - erf(x)/pi", {}),
    ("where(x > 0, x, a*x) / (1 + abs(x))", {"a": 0.25}),  # a condition that is read twice
    ("log(x)", {}),
    ("1/x", {}),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMED)
def test_named_activations(name: str, dtype: str) -> None:
    layer = Activation((3, 5, 40), name, dtype=dtype)
    assert all(step.check.passed for step in derive(layer).steps)
    proof = prove(layer)
    assert proof.holds is True, proof
    assert [theorem.name for theorem in proof.theorems] == ["D1", "D2"]
    assert all(control.refuted for theorem in proof.theorems for control in theorem.controls)
    report = check(generate(layer, "module"))
    assert report.passed, report
    assert {"forward", "input_gradient", "range", "Taylor slope"} <= {r.name for r in report.results}


@pytest.mark.parametrize(("text", "constants"), EXPRESSIONS)
def test_expressions(text: str, constants: dict[str, float]) -> None:
    layer = Activation((3, 5, 40), text, constants)  # type: ignore[arg-type]  # a mapping is taken, too
    assert rebuild(layer.as_dict()) == layer
    if constants:
        assert read("constants", spell("constants", layer.constants)) == layer.constants
    assert all(step.check.passed for step in derive(layer).steps)
    assert prove(layer).holds is True
    report = check(generate(layer, "module"))
    assert report.passed, report


def test_the_report_says_where_an_expression_overflows() -> None:
    report = check(generate(Activation((400,), "exp(x)/(1 + x^2)"), "module"))
    (said,) = (r.detail for r in report.results if r.name == "range")
    assert "no finite number at x = 87, 89" in said
    assert "overflow" in said


def test_what_is_no_number_stays_none() -> None:
    """Every named activation and its gradient hand it on, and know what infinity gives."""
    for name in NAMED:
        module = generate(Activation((3,), name), "module").load()
        x = np.array([np.nan, np.inf, -np.inf], np.float32)
        with np.errstate(invalid="ignore"):
            y = module.forward(x)
            (gx,) = module.backward(np.ones(3, np.float32), x)
        assert np.isnan(y[0]), name
        assert np.isnan(gx[0]) or name in ("relu", "leaky_relu", "relu6", "hardtanh", "elu"), name


def test_kinks() -> None:
    """ReLU'(0) = 0, and what PyTorch has at the ends of the others."""
    at = {"relu": (0, 0), "relu6": (6, 0), "hardtanh": (-1, 0), "leaky_relu": (0, 0.01), "elu": (0, 1)}
    for name, (x, slope) in at.items():
        module = generate(Activation((1,), name, dtype="float64"), "module").load()
        (gx,) = module.backward(np.ones(1), np.array([float(x)]))
        assert gx[0] == slope, name


@pytest.mark.needs("torch")
def test_pytorch_agrees() -> None:
    import torch
    from torch.nn import functional as F  # noqa: N812  # its customary name

    theirs: dict[str, Any] = {
        "relu": F.relu,
        "leaky_relu": F.leaky_relu,
        "relu6": F.relu6,
        "hardtanh": F.hardtanh,
        "elu": F.elu,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "softplus": lambda x: F.softplus(x, threshold=40),
        "silu": F.silu,
        "gelu": F.gelu,
        "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    }
    assert set(theirs) == set(NAMED)
    numbers = np.concatenate([np.linspace(-20, 20, 401), [0, 6, 1, -1, 1000, -1000]])
    for name, function in theirs.items():
        module = generate(Activation(numbers.shape, name, dtype="float64"), "module").load()
        x = torch.tensor(numbers, requires_grad=True)
        y = function(x)
        y.sum().backward()
        assert np.allclose(module.forward(numbers), y.detach().numpy(), atol=1e-13), name
        (gx,) = module.backward(np.ones(numbers.shape), numbers)
        assert x.grad is not None
        assert np.allclose(gx, x.grad.numpy(), atol=1e-13), name


def test_the_coefficients_of_erfc_are_chebyshevs() -> None:
    with mpmath.workdps(40):
        k, count = mpmath.mpf("3.75"), 64

        def scaled(t: Any) -> Any:
            z = k * (1 + t) / (1 - t)
            return mpmath.exp(z * z) * mpmath.erfc(z) * (1 + 2 * z)

        angles = [mpmath.pi * (j + mpmath.mpf(1) / 2) / count for j in range(count)]
        values = [scaled(mpmath.cos(angle)) for angle in angles]
        for i, number in enumerate(ERFC):
            terms = (v * mpmath.cos(i * angle) for v, angle in zip(values, angles, strict=True))
            wanted = mpmath.fsum(terms) * (2 if i else 1) / count
            assert abs(number - wanted) < 1e-16


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("np.exp(-np.abs(x))", "np.exp(-x)"),
        ("x >= 0", "x < 0"),
        ("grad_output *", "1 *"),
        ("t0 + 1", "t0 + 2"),
    ],
)
def test_planted_errors_are_caught(old: str, new: str) -> None:
    unit = generate(Activation((4, 100), "silu"), "module")
    assert old in unit.source, unit.source
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert not check(Unit(unit.name, unit.source.replace(old, new), unit.plan)).passed


def test_a_wrong_derivative_is_false_and_a_wrong_form_is_not_proved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planted errors: half the slope; the form of another function."""
    layer = Activation((2, 3), "silu")
    right = layer.slope
    monkeypatch.setattr(Activation, "slope", property(lambda _: right / 2))
    assert not all(step.check.passed for step in derive(layer).steps)
    proof = prove(layer)
    assert proof.theorems[0].holds is False
    assert "but the claim gives" in proof.text()
    monkeypatch.undo()
    other = parse_expression(NAMED["gelu"].value, ["x"], {})
    assert function_theorems._computed(layer, other, right, layer.curvature).holds is None
    assert function_theorems._computed(layer, layer.computed[0], right, right).holds is None


def test_sympy_expressions_are_taken() -> None:
    x = sympy.Symbol("x")
    layer = Activation((2, 3), sympy.exp(-(x**2)) * sympy.sin(x) + sympy.Rational(1, 3))
    assert layer.expression.subs(X, x) - sympy.exp(-(x**2)) * sympy.sin(x) == sympy.Rational(1, 3)
    assert check(generate(layer, "module")).passed
    for wrong in (sympy.Symbol("y") + 1, 3, sympy.Integer(3), sympy.gamma(x)):
        with pytest.raises(SymconvError):
            Activation((2, 3), wrong)  # type: ignore[arg-type]  # refused


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("y + 1", "'y' is unknown"),
        ("x +", "found 'the end'"),
        ("floor(x)", "'floor' is not differentiable"),
        ("2", "an expression that contains x"),
        ("x^1000", "an exponent must be a number of at most 64"),
        ("x^x", "an exponent must be a number"),
        ("exp(x", "expected ')'"),
        ("exp(x, x)", "takes 1, not 2"),
        ('__import__("os")', "is not a function here"),
        ("x.__class__", "is no number, name or operator"),
        ("where(x, 1, 2)", "needs a condition first"),
        ("x if x else 1", "unexpected 'if'"),
        ("x/0", "no real number"),
        ("sqrt(-1)*x", "no real number"),
        ("(" * 100 + "x" + ")" * 100, "brackets in brackets"),
        ("x" + "+x" * 2000, "must have at most 2000"),
        ("", "found 'the end'"),
        ("x\u0665", "is no number, name or operator"),
    ],
)
def test_what_is_refused(text: str, why: str) -> None:
    with pytest.raises(SymconvError) as error:
        Activation((2, 3), text)
    assert why in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("constants", [{"x": 1.0}, {"a": float("nan")}, {"a-b": 1.0}, 3, [("a",)]])
def test_constants_that_are_refused(constants: Any) -> None:
    with pytest.raises(SymconvError, match="constants = "):
        Activation((2, 3), "x", constants)


def test_the_command_stays_one_line() -> None:
    layer = Activation((2, 3), "x +\n 1\t* x")
    assert layer.function == "x + 1 * x"
    assert check(generate(layer, "module")).passed


NUMBERS = st.sampled_from(["x", "1", "2.5", "pi"])
TEXTS = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(st.sampled_from(["exp", "tanh", "abs", "sin"]), inner).map(
            lambda t: f"{t[0]}({t[1]})"
        ),
        st.tuples(inner, inner, inner).map(lambda t: f"where({t[0]} > {t[1]}, {t[2]}, x)"),
        inner.map(lambda t: f"({t})^2"),
        inner.map(lambda t: f"-{t}"),
    ),
    max_leaves=6,
)


@settings(max_examples=many(100))
@given(TEXTS)
def test_what_is_written_is_read_back(text: str) -> None:
    try:
        expression = parse_expression(text, ["x"], {})
    except SymconvError:
        return  # 1/0 and the like
    again = parse_expression(expression_text(expression, {}, GRAMMAR), ["x"], {})
    for at in (0.3, -1.7):
        one, other = (complex(e.subs(X, at).evalf()) for e in (expression, again))
        assert one == pytest.approx(other, rel=1e-9, abs=1e-9)


@settings(max_examples=many(200))
@given(st.text("x1.+-*/^(),<>= aewhrpi\\'\"_", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(SymconvError):
        parse_expression(text, ["x"], {"a": 1.0})


@pytest.mark.parametrize(
    ("function", "same"),
    [
        ("min(max(x, 0), 6)", lambda x: np.clip(x, 0, 6)),
        ("max(min(x, 6), 0)", lambda x: np.clip(x, 0, 6)),
        ("max(0, min(1, 0.2*x + 0.5))", lambda x: np.clip(0.2 * x + 0.5, 0, 1)),
        ("x * min(max(x + 3, 0), 6) / 6", lambda x: x * np.clip(x + 3, 0, 6) / 6),
        ("max(max(x, -x), 2)", lambda x: np.maximum(np.abs(x), 2)),
    ],
)
def test_the_greater_of_the_smaller(function: str, same: Any) -> None:
    layer = Activation((41,), function, dtype="float64")
    unit = generate(layer, "module", order=2)
    x = np.linspace(-8, 8, 41)
    assert np.allclose(unit.load().forward(x), same(x))
    assert check(unit).passed
    assert prove(layer).holds
    assert "aligned" in derive(layer).latex()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"function": "leaky_relu", "constants": {"slope": 0.2}}, "empty for leaky_relu"),
        ({"function": "x*1e300*1e300"}, "numbers are in the range of float64"),
        ({"function": "1e-400*x"}, "numbers are in the range of float64"),
        ({"function": "a*x"}, "those given as constants"),
        ({"function": "where(x == 0, 1, x)"}, "expected '\\)'|a condition first, with <="),
    ],
)
def test_what_named_functions_and_numbers_cannot_be(arguments: Any, said: str) -> None:
    with pytest.raises(SymconvError, match=said):
        Activation((3,), **arguments)
