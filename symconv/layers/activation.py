"""Activations: one function of every element."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from symconv.errors import SymconvError
from symconv.layers import arguments
from symconv.layers.activations import NAMED, SAME_SLOPE
from symconv.layers.arguments import refuse
from symconv.layers.batch import Shape
from symconv.layers.layer import Layer
from symconv.notation.backpropagation import gradient_of, multiplied
from symconv.notation.contraction import Tensor, index
from symconv.notation.expression import derivative, parse_expression
from symconv.notation.expression_text import GRAMMAR, expression_text
from symconv.notation.graph import Elementwise, Graph
from symconv.notation.names import element
from symconv.notation.tangent import tangent_of

if TYPE_CHECKING:
    import sympy

USES = "where(x > 0, x, a*x) with a=0.2"  # how an expression has constants


TORCH = {
    "relu": "ReLU()",
    "leaky_relu": "LeakyReLU()",
    "relu6": "ReLU6()",
    "hardtanh": "Hardtanh()",
    "elu": "ELU()",
    "sigmoid": "Sigmoid()",
    "tanh": "Tanh()",
    "softplus": "Softplus()",
    "silu": "SiLU()",
    "gelu": "GELU()",
    "gelu_tanh": "GELU(approximate='tanh')",
}


@dataclass(frozen=True)
class Activation(Layer):
    """A function applied to each element: ``O[n, c, ...] = f(X[n, c, ...])``.

    At a kink of f, the derivative is that of the branch which the expression selects at this point:
    ReLU'(0) = 0.

    Parameters
    ----------
    input_shape
        Any shape with one to five axes.
    function
        A name: relu, leaky_relu, relu6, hardtanh, elu, sigmoid, tanh, softplus, silu, gelu (exact) or
        gelu_tanh. Or an expression in x, as text or as a SymPy object, made of numbers, pi, + - * / ^,
        where(x > 0, ..., ...), max, min, abs, exp, log, sqrt, sin, cos, tan, sinh, cosh, tanh, atan,
        erf, erfc, log1p and expm1.
    constants
        Values of the named constants in the expression: a mapping, or pairs of a name and a number.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid, or the expression has an unknown name, a variable other than x or
        a function that is not differentiable.
    """

    example: ClassVar[dict[str, object]] = {"input_shape": (1, 4, 16, 16), "function": "relu"}

    input_shape: Shape
    function: str
    constants: tuple[tuple[str, float], ...] = ()
    dtype: str = "float32"

    def __post_init__(self) -> None:
        valid = "one to five positive ints"
        sizes = arguments.shape("input_shape", self.input_shape, (1, 2, 3, 4, 5), valid)
        object.__setattr__(self, "input_shape", sizes)
        object.__setattr__(self, "dtype", arguments.dtype(self.dtype))
        object.__setattr__(self, "constants", _constants(self.constants))
        object.__setattr__(self, "function", _text(self.function))
        if self.function.lower() in NAMED and self.function not in NAMED:
            raise refuse("function", self.function, f"in lower case: {self.function.lower()!r}")
        if self.function in NAMED and self.constants:
            valid = f"empty for {self.function}; write an expression to choose its coefficients: {USES}"
            raise refuse("constants", dict(self.constants), valid)
        if self.function not in NAMED:
            expression = self.expression
            if not all(map(_is_float, (atom for atom in expression.atoms() if atom.is_Number))):
                raise refuse(
                    "function", self.function, "an expression whose numbers are in the range of float64"
                )
            if not expression.free_symbols:
                raise refuse(
                    "function",
                    self.function,
                    f"one of {', '.join(NAMED)}, or an expression that contains x",
                )

    @cached_property
    def expression(self) -> sympy.Expr:
        """The function, as an expression in x."""
        named = NAMED.get(self.function)
        return self.read(named.definition if named else self.function)

    @cached_property
    def slope(self) -> sympy.Expr:
        """The derivative of the function, computed by SymPy."""
        (x,) = self.expression.free_symbols
        return derivative(self.expression, x)

    @cached_property
    def curvature(self) -> sympy.Expr:
        """The second derivative of the function."""
        (x,) = self.expression.free_symbols
        return derivative(self.slope, x)

    @cached_property
    def computed(self) -> tuple[sympy.Expr, sympy.Expr, sympy.Expr]:
        """The function, its derivative and its second derivative, in the forms that are computed."""
        named = NAMED.get(self.function)
        if named:
            return self.read(named.value), self.read(named.slope), self.read(named.curvature)
        return self.expression, self.slope, self.curvature

    def read(self, text: str) -> sympy.Expr:
        """Parse text into an expression in x, with the layer's constants."""
        named = {name: activation.definition for name, activation in NAMED.items()}
        return parse_expression(text, ["x"], dict(self.constants), named)

    @property
    def in_place(self) -> Literal["", "inference", "training"]:
        """Always for functions whose slope is the same at the output as at the input."""
        return "training" if self.function in SAME_SLOPE else "inference"

    @property
    def pointwise(self) -> Activation:
        """The layer."""
        return self

    @property
    def pytorch(self) -> str:
        """The call that makes the layer in ``torch.nn``; expressions have none."""
        return TORCH.get(self.function, "")

    def reads(self, axis: int, at: int, size: int) -> tuple[int, int] | None:
        """Return the same element."""
        return at, at

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output, which is that of the input."""
        return self.input_shape

    @cached_property
    def graph(self) -> Graph:
        """The function applied to every element."""
        return Graph((self._applied(self.expression),))

    @cached_property
    def forward(self) -> Graph:
        """The same; a named function has the form that is accurate for all inputs."""
        return Graph((self._applied(self.computed[0]),))

    @cached_property
    def backward(self) -> Graph:
        """G times the derivative; a named function has the form that is accurate for all inputs."""
        slope = self._applied(self.computed[1])
        cell = slope.target.subscripts
        back = gradient_of(self.tensors["x"])[cell]
        return Graph((multiplied(slope, back, (("g", self.cotangent[cell]),), slope.expression),))

    def tangent(self, by: Sequence[str] | None = None) -> Graph:
        """Return the derivative times dX."""
        return Graph((self._change(),))

    def second(self, by: Sequence[str] | None = None) -> Graph:
        """Return the change dO, and the second derivative times G and dX."""
        change, curvature = self._change(), self._applied(self.computed[2])
        cell = curvature.target.subscripts
        factors = (("g", self.cotangent[cell]), ("dx", tangent_of(self.tensors["x"])[cell]))
        back = gradient_of(self.tensors["x"])[cell]
        second = multiplied(curvature, back, factors, curvature.expression)
        return Graph((change, second), (change.target.tensor.name, back.tensor.name))

    def _change(self) -> Elementwise:
        slope = self._applied(self.computed[1])
        cell = slope.target.subscripts
        by = tangent_of(self.tensors["x"])[cell]
        return multiplied(slope, tangent_of(slope.target.tensor)[cell], (("dx", by),), slope.expression)

    def _applied(self, expression: sympy.Expr) -> Elementwise:
        names = element(len(self.input_shape))
        cell = tuple(map(index, names))
        return Elementwise(
            target=Tensor("O", self.input_shape)[cell],
            expression=expression,
            arguments=(("x", self.tensors["x"][cell]),),
            extents=tuple(zip(names, self.input_shape, strict=True)),
        )


def _is_float(number: sympy.Number) -> bool:
    """Whether a number is neither too large nor too small for float64."""
    try:
        value = float(number)
    except OverflowError:
        return False
    return math.isfinite(value) and (value != 0 or number == 0)


def _constants(given: object) -> tuple[tuple[str, float], ...]:
    """Return names and finite numbers, sorted by name."""
    valid = "names and finite numbers, as a mapping or pairs"
    pairs = list(given.items()) if isinstance(given, Mapping) else given
    if not isinstance(pairs, tuple | list):
        raise refuse("constants", given, valid)
    found: dict[str, float] = {}
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise refuse("constants", given, valid)
        name, number = pair
        named = isinstance(name, str) and name.isidentifier() and name.isascii()
        real = isinstance(number, int | float) and not isinstance(number, bool)
        if not named or name in ("x", "pi") or name in found or not real or not math.isfinite(number):
            raise refuse("constants", given, f"{valid}, with distinct names other than x and pi")
        found[name] = float(number)
    return tuple(sorted(found.items()))


def _exactly(function: Any) -> Any:
    """Return a SymPy expression with the numbers that its floats show: 0.1 is 1/10."""
    import sympy

    return function.replace(lambda part: part.is_Float, lambda part: sympy.Rational(str(part)))


def _text(function: object) -> str:
    """Return a function as text; what SymPy has for one, in the grammar's words."""
    if isinstance(function, str):
        return " ".join(function.split())  # one line: it is part of the command that regenerates
    symbols = getattr(function, "free_symbols", None)
    if symbols is None:
        raise refuse("function", function, "a name, or an expression in x as text or as a SymPy object")
    names = sorted(symbol.name for symbol in symbols)
    if names != ["x"]:
        raise refuse("function", function, f"an expression in x alone (its symbols are {names})")
    try:
        return expression_text(_exactly(function), {}, GRAMMAR)
    except (AttributeError, TypeError, ValueError) as error:
        raise SymconvError(f"function = {function}: must use only functions of the grammar") from error
