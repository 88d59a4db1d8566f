"""What the named activations are, and how they are computed without overflow or cancellation."""

from __future__ import annotations

from dataclasses import dataclass

_E = "exp(-abs(x))"
_SIGMOID = f"(where(x >= 0, 1, {_E}) / (1 + {_E}))"
_TAIL = "erfc(abs(x)/sqrt(2))/2"
_BELOW = f"where(x < 0, {_TAIL}, 1 - {_TAIL})"  # the normal distribution
_NORMAL = "(exp(-x^2/2) / sqrt(2*pi))"
_ARGUMENT = "(2*sqrt(2/pi) * (x + 0.044715*x^3))"  # of a sigmoid: 1 + tanh(u) = 2·sigmoid(2u)
_SMALL = f"exp(-abs({_ARGUMENT}))"
_SIGMOID_OF = f"(where(x >= 0, 1, {_SMALL}) / (1 + {_SMALL}))"


@dataclass(frozen=True)
class Named:
    """A named activation: its definition, and the expressions computed for it and its derivatives.

    The computed expressions equal the definition and its derivatives everywhere, and are accurate for
    every x. Every comparison with NaN is false, so the last case of ``value`` passes a NaN on.
    """

    definition: str
    value: str
    slope: str
    curvature: str


def _linear(definition: str, slope: str) -> Named:
    """Return an activation of straight pieces."""
    return Named(definition, definition, slope, "0")


_SLOPE_OF = f"({_SMALL} / (1 + {_SMALL})^2)"
_BY_X = "(2*sqrt(2/pi) * (1 + 3*0.044715*x^2))"  # the argument's derivative
_SIGMOID_SLOPE = f"({_E} / (1 + {_E})^2)"

NAMED = {
    "relu": _linear("where(x <= 0, 0, x)", "where(x <= 0, 0, 1)"),
    "leaky_relu": _linear("where(x <= 0, 0.01*x, x)", "where(x <= 0, 0.01, 1)"),
    "relu6": _linear("where(x <= 0, 0, where(x >= 6, 6, x))", "where(x <= 0, 0, where(x >= 6, 0, 1))"),
    "hardtanh": _linear(
        "where(x <= -1, -1, where(x >= 1, 1, x))", "where(x <= -1, 0, where(x >= 1, 0, 1))"
    ),
    "elu": Named(
        "where(x <= 0, exp(x) - 1, x)",
        "where(x <= 0, expm1(min(x, 0)), x)",
        "where(x <= 0, exp(min(x, 0)), 1)",
        "where(x <= 0, exp(min(x, 0)), 0)",
    ),
    "sigmoid": Named("1/(1 + exp(-x))", _SIGMOID, _SIGMOID_SLOPE, f"-tanh(x/2) * {_SIGMOID_SLOPE}"),
    "tanh": Named(
        "tanh(x)",
        "tanh(x)",
        "4*exp(-2*abs(x)) / (1 + exp(-2*abs(x)))^2",
        "-8*tanh(x)*exp(-2*abs(x)) / (1 + exp(-2*abs(x)))^2",
    ),
    "softplus": Named("log(1 + exp(x))", f"max(x, 0) + log1p({_E})", _SIGMOID, _SIGMOID_SLOPE),
    "silu": Named(
        "x/(1 + exp(-x))",
        f"x * {_SIGMOID}",
        f"{_SIGMOID} + x * {_SIGMOID_SLOPE}",
        f"(2 - x*tanh(x/2)) * {_SIGMOID_SLOPE}",
    ),
    "gelu": Named(
        "x/2 * (1 + erf(x/sqrt(2)))",
        f"x * {_BELOW}",
        f"{_BELOW} + x * {_NORMAL}",
        f"(2 - x^2) * {_NORMAL}",
    ),
    "gelu_tanh": Named(
        "x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715*x^3)))",
        f"x * {_SIGMOID_OF}",
        f"{_SIGMOID_OF} + x * {_SLOPE_OF} * {_BY_X}",
        f"{_SLOPE_OF} * (2*{_BY_X} + x * (12*sqrt(2/pi)*0.044715*x - tanh({_ARGUMENT}/2)*{_BY_X}^2))",
    ),
}

# what has the same derivative at x and at its value there: which of both is kept does not matter
SAME_SLOPE = ("relu", "leaky_relu", "relu6", "hardtanh")
