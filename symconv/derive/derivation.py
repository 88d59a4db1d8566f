"""A derivation: its steps, how it is printed, and its tensors as SymPy objects."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

from symconv.derive.composite_view import composite_steps
from symconv.derive.function_view import function_steps
from symconv.derive.graph_view import graph_steps
from symconv.derive.index_view import index_steps
from symconv.derive.network_view import network_steps
from symconv.derive.steps import Formula, Step
from symconv.errors import SymconvError
from symconv.layers.activation import Activation
from symconv.layers.conv import ConvLayer
from symconv.layers.layer import Layer
from symconv.layers.network import Network
from symconv.notation.text import prose_latex

if TYPE_CHECKING:
    import sympy

View: TypeAlias = Literal["matrix", "index"]
WIDTH = 100


@dataclass(frozen=True)
class Derivation:
    """The gradients of a layer, derived step by step.

    Attributes
    ----------
    layer
        The layer.
    view
        ``"matrix"`` (X, F and ∂E/∂O written out, one plane) or ``"index"`` (sums over indices).
    steps
        Each with ``name``, ``before``, ``after``, ``reason`` and ``check``.
    """

    layer: Layer
    view: View
    steps: tuple[Step, ...]

    def text(self) -> str:
        """Return the derivation for a terminal, at most 100 columns wide."""
        return "\n\n".join(_step_text(n, step) for n, step in enumerate(self.steps, 1)) + "\n"

    def latex(self) -> str:
        """Return the derivation in LaTeX: display formulas that need amsmath, or MathJax."""
        return "\n\n".join(_step_latex(n, step) for n, step in enumerate(self.steps, 1)) + "\n"

    def __str__(self) -> str:
        return self.text()

    def _repr_latex_(self) -> str:
        return self.latex()

    @cached_property
    def input(self) -> sympy.Matrix | sympy.Array:
        """X: a Matrix of symbols if it is one plane, else an Array; A if there are several inputs."""
        return self.tensor(next(iter(self.layer.tensors)))

    @cached_property
    def weight(self) -> sympy.Matrix | sympy.Array:
        """F, in the same way."""
        return self.tensor("weight")

    @cached_property
    def output(self) -> sympy.Matrix | sympy.Array:
        """O in the symbols of the inputs."""
        from symconv.derive.elements import output_elements, shaped

        return shaped(output_elements(self.layer), self.layer.output_shape)

    @cached_property
    def input_gradient(self) -> sympy.Matrix | sympy.Array:
        """∂E/∂X in the symbols of what it reads and of G = ∂E/∂O."""
        return self.gradient(next(iter(self.layer.tensors)))

    @cached_property
    def weight_gradient(self) -> sympy.Matrix | sympy.Array:
        """∂E/∂F in the symbols of X and of G = ∂E/∂O."""
        return self.gradient("weight")

    @cached_property
    def bias_gradient(self) -> sympy.Matrix | sympy.Array:
        """∂E/∂b in the symbols of G = ∂E/∂O: a row."""
        return self.gradient("bias")

    def tensor(self, name: str) -> sympy.Matrix | sympy.Array:
        """Return an input of ``forward`` as symbols.

        Raises
        ------
        SymconvError
            If the layer has no such input, or it is too large.
        """
        from symconv.derive.elements import shaped, symbols

        self._check(name)
        return shaped(symbols(self.layer.tensors[name]), self.layer.inputs[name])

    def gradient(self, name: str) -> sympy.Matrix | sympy.Array:
        """Return ∂E/∂ an input of ``forward``, as expressions in the elements of G = ∂E/∂O.

        S, where it occurs, is the selection of a maximum: 1 for the term it selects, else 0.

        Raises
        ------
        SymconvError
            If the layer has no such input, or the gradient is too large.
        """
        from symconv.derive.elements import gradient_elements, shaped

        self._check(name)
        return shaped(gradient_elements(self.layer, name), self.layer.inputs[name])

    def _check(self, name: str) -> None:
        if name not in self.layer.tensors:
            valid = ", ".join(self.layer.tensors)
            raise SymconvError(f"{name}: not an input of this layer; its inputs are {valid}")


def derive_layer(layer: Layer, view: str | None) -> Derivation:
    """Return a layer's derivation; without a view, matrices for one small plane, else indices."""
    if view not in (None, "index", "matrix"):
        raise SymconvError(f"view = {view!r}: must be 'matrix' or 'index'")
    if not isinstance(layer, ConvLayer):
        if view == "matrix":
            raise SymconvError(f"view = 'matrix': must be 'index' for {type(layer).__name__}")
        if isinstance(layer, Network):
            return Derivation(
                layer, "index", network_steps(layer, lambda of: derive_layer(of, None).steps)
            )
        if isinstance(layer, Activation):
            return Derivation(layer, "index", function_steps(layer))
        return Derivation(layer, "index", (composite_steps if layer.composite else graph_steps)(layer))
    if view is None:
        plane = layer.input_shape[:2] == (1, 1) and layer.out_channels == 1
        small = max(layer.input_shape[2:]) <= 9 and len(layer.windows) <= 2
        view = "matrix" if plane and small else "index"
    if view == "index":
        return Derivation(layer, "index", index_steps(layer))
    from symconv.derive.matrix_view import matrix_steps

    return Derivation(layer, "matrix", matrix_steps(layer))


def _step_text(number: int, step: Step) -> str:
    lines = [f"{number}. {step.name}", *_formula_text(step.before), "  becomes"]
    lines += _formula_text(step.after)
    because = f"because {step.reason}"
    lines += textwrap.wrap(because, WIDTH, initial_indent="  ", subsequent_indent="  ")
    mark = "checked" if step.check.passed else "CHECK FAILED"
    compared = f"{mark}: {step.check.compared}"
    lines += textwrap.wrap(compared, WIDTH, initial_indent="  ", subsequent_indent="  ")
    return "\n".join(lines)


def _formula_text(formula: Formula) -> list[str]:
    """Indent a formula, folding lines that are too long (matrices never are)."""
    lines: list[str] = []
    for line in formula.text.splitlines():
        if len(line) + 4 <= WIDTH:
            lines.append("    " + line)
        else:
            lines += textwrap.wrap(
                line,
                WIDTH,
                initial_indent="    ",
                subsequent_indent="        ",
                break_long_words=False,
                break_on_hyphens=False,
            )
    return lines


def _step_latex(number: int, step: Step) -> str:
    mark = "checked" if step.check.passed else "check failed"
    prose = textwrap.wrap(f"because {step.reason}", 90)
    prose += textwrap.wrap(f"{mark}: {step.check.compared}", 90)
    rows = [
        rf"\textbf{{{number}. {prose_latex(step.name)}}}",
        _aligned(step.before),
        r"\text{becomes}",
        _aligned(step.after),
        *(rf"\text{{{prose_latex(line)}}}" for line in prose),
    ]
    return "\\[\n\\begin{array}{l}\n" + " \\\\\n".join(rows) + "\n\\end{array}\n\\]"


def _aligned(formula: Formula) -> str:
    return "\\begin{aligned}\n" + formula.latex + "\n\\end{aligned}"
