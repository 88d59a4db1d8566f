"""A derivation: its steps, how it is printed, and its tensors as SymPy objects."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

from symconv.derive.composite_view import composite_steps
from symconv.derive.function_view import function_steps
from symconv.derive.graph_view import graph_steps
from symconv.derive.index_view import index_steps
from symconv.derive.network_view import network_steps
from symconv.derive.steps import Formula, Step
from symconv.errors import SymconvError
from symconv.layers.layer import Layer
from symconv.notation.graph import Graph
from symconv.notation.layout import WIDTH, wrapped
from symconv.notation.step_text import graph_text
from symconv.notation.text import prose_latex

if TYPE_CHECKING:
    import sympy

View: TypeAlias = Literal["matrix", "index"]


@dataclass(frozen=True, repr=False)
class Derivation:
    """The gradients of a layer, derived step by step.

    Attributes
    ----------
    layer
        The layer.
    view
        ``"matrix"`` (X, F and ∂E/∂O written out, one plane) or ``"index"`` (sums over indices).
    steps
        The steps, each with ``name``, ``before``, ``after``, ``reason`` and ``check``.
    note
        What to know before the first step, if there is anything.
    """

    layer: Layer
    view: View
    steps: tuple[Step, ...]
    note: str = ""

    def text(self, width: int = WIDTH) -> str:
        """Return the derivation as text, folded at ``width`` columns; matrices are not folded."""
        note = ["\n".join(wrapped(self.note, width))] if self.note else []
        steps = (_step_text(n, step, width) for n, step in enumerate(self.steps, 1))
        return "\n\n".join([*note, *steps]) + "\n"

    def latex(self) -> str:
        """Return the derivation in LaTeX, as display formulas for amsmath or MathJax."""
        note = [prose_latex(self.note)] if self.note else []
        steps = (_step_latex(n, step) for n, step in enumerate(self.steps, 1))
        return "\n\n".join([*note, *steps]) + "\n"

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        wrong = sum(not step.check.passed for step in self.steps)
        checked = f"{wrong} NOT CONFIRMED" if wrong else "all confirmed"
        kind = type(self.layer).__name__
        return f"Derivation({kind}, {self.view} view: {len(self.steps)} steps, {checked})"

    def _repr_latex_(self) -> str:
        return self.latex()

    @cached_property
    def upstream_gradient(self) -> sympy.Matrix | sympy.Array:
        """The upstream gradient G = ∂E/∂O, as symbols."""
        return self.tensor("grad_output")

    @cached_property
    def input(self) -> sympy.Matrix | sympy.Array:
        """X as symbols: a Matrix for one plane, else an Array; of several inputs the first, A."""
        return self.tensor(next(iter(self.layer.tensors)))

    @cached_property
    def weight(self) -> sympy.Matrix | sympy.Array:
        """F as symbols: a Matrix for one plane, else an Array."""
        return self.tensor("weight")

    @cached_property
    def output(self) -> sympy.Matrix | sympy.Array:
        """O, as expressions in the symbols of the inputs."""
        from symconv.derive.elements import output_elements, shaped

        return shaped(output_elements(self.layer), self.layer.output_shape)

    @cached_property
    def input_gradient(self) -> sympy.Matrix | sympy.Array:
        """∂E/∂X, as expressions in the symbols of the inputs and of G = ∂E/∂O."""
        return self.gradient(next(iter(self.layer.tensors)))

    @cached_property
    def weight_gradient(self) -> sympy.Matrix | sympy.Array:
        """∂E/∂F, as expressions in the symbols of X and of G = ∂E/∂O."""
        return self.gradient("weight")

    @cached_property
    def bias_gradient(self) -> sympy.Matrix | sympy.Array:
        """∂E/∂b, as a row of expressions in the symbols of G = ∂E/∂O."""
        return self.gradient("bias")

    def tensor(self, name: str) -> sympy.Matrix | sympy.Array:
        """Return an input of ``forward``, or ``"grad_output"`` (G), as symbols.

        Raises
        ------
        SymconvError
            If the layer has no such input, or it is too large.
        """
        from symconv.derive.elements import shaped, symbols

        if name in ("grad_output", "G"):
            return shaped(symbols(self.layer.cotangent), self.layer.output_shape)
        self._check(name)
        return shaped(symbols(self.layer.tensors[name]), self.layer.inputs[name])

    def gradient(self, name: str) -> sympy.Matrix | sympy.Array:
        """Return the gradient with respect to an input of ``forward``, in the symbols of G = ∂E/∂O.

        The symbols S, where they occur, mark the term that a maximum selects: S is 1 for this term, and
        0 for every other term.

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


def derive_layer(layer: Layer, view: str | None, full: bool = False) -> Derivation:
    """Return a layer's derivation; without a view, matrices for one small plane, else indices.

    ``full`` prints every element, term and phase.
    """
    if view not in (None, "index", "matrix"):
        raise SymconvError(f"view = {view!r}: must be 'matrix' or 'index'")
    if layer.any_batch:
        return _any_batch(layer, view, full)
    if (conv := layer.convolution) is None:
        written_out = layer.pooling or layer.pointwise
        if written_out and (view == "matrix" or _is_small(layer, view)):
            from symconv.derive.plane_view import plane_steps

            return Derivation(layer, "matrix", plane_steps(layer, full))
        if view == "matrix":
            raise SymconvError(f"view = 'matrix': must be 'index' for {type(layer).__name__}")
        if network := layer.network:
            return Derivation(
                layer, "index", network_steps(network, lambda of: derive_layer(of, None, full).steps)
            )
        if pointwise := layer.pointwise:
            return Derivation(layer, "index", function_steps(pointwise))
        return Derivation(layer, "index", (composite_steps if layer.composite else graph_steps)(layer))
    if view is None:
        plane = conv.input_shape[:2] == (1, 1) and conv.out_channels == 1
        small = max(conv.input_shape[2:]) <= 9 and len(conv.windows) <= 2
        view = "matrix" if plane and small else "index"
    if view == "index":
        return Derivation(layer, "index", index_steps(conv, full))
    from symconv.derive.matrix_view import matrix_steps

    return Derivation(layer, "matrix", matrix_steps(conv, full))


def _any_batch(layer: Layer, view: str | None, full: bool) -> Derivation:
    """Derive a layer that takes any number of samples, for a few; matrices are those of one sample."""
    samples = (1, 2) if view == "matrix" else (2, 3)
    few, more = (derive_layer(layer.with_batch(n), view, full) for n in samples)
    graphs = zip(_graphs(few.layer), _graphs(more.layer), strict=True)
    same = all(graph_text(one) == graph_text(other) for one, other in graphs)
    note = f"The number of samples, N, may be any. What follows is written for N = {samples[0]}; " + (
        "its formulas are the same for every N." if same else "numbers in its formulas depend on N."
    )
    return replace(few, note=note)


def _graphs(layer: Layer) -> tuple[Graph, ...]:
    return layer.graph, layer.forward, layer.backward


def _is_small(layer: Layer, view: str | None) -> bool:
    """Whether no view is asked for, and a layer is one small plane."""
    shape = layer.input_shape
    return view is None and shape[:2] == (1, 1) and len(shape) in (3, 4) and max(shape[2:]) <= 9


def _step_text(number: int, step: Step, width: int) -> str:
    mark = "checked" if step.check.passed else "CHECK FAILED"
    lines = [
        *wrapped(f"{number}. {step.name}", width, hanging=4),
        *_formula_text(step.before, width),
        "  becomes",
        *_formula_text(step.after, width),
        *wrapped(f"because {step.reason}", width, indent=2),
        *wrapped(f"{mark}: {step.check.compared}", width, indent=2),
    ]
    return "\n".join(lines)


def _formula_text(formula: Formula, width: int) -> list[str]:
    """Indent a formula, folding lines that are too long, except those of matrices."""
    lines: list[str] = []
    for line in formula.text.splitlines():
        if len(line) + 4 <= width:
            lines.append("    " + line)
        else:
            lines += wrapped(line, width, indent=4, hanging=4)
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
