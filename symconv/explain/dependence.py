"""Which elements an element depends on: each result as a list of terms, read off the layer's graphs.

The graphs are those that the proofs are about; their terms come from the plain evaluator, run on
a variable for each element.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from symconv.derive.elements import symbols
from symconv.layers.layer import Layer
from symconv.notation.backpropagation import gradient_of
from symconv.notation.contraction import Program, Tensor
from symconv.notation.evaluate import evaluate, program_terms
from symconv.notation.graph import Constant, Graph, Selection
from symconv.notation.polynomial import Number, Polynomial
from symconv.notation.text import number_text

MOST_TERMS = 20_000  # that a page can hold

Element = tuple[str, int]  # a tensor's name and the element's place, row by row


@dataclass(frozen=True)
class Term:
    """A product: a coefficient times elements; ``selected`` is the maximum that it belongs to.

    A term with ``selected`` counts only if its element of X is the first maximum of this window.
    """

    coefficient: Number
    elements: tuple[Element, ...]
    selected: tuple[int, int] | None = None  # an element of O and the one of X that is selected


@dataclass(frozen=True)
class Result:
    """A tensor that the layer computes: for each element the terms that are added, or compared."""

    tensor: Tensor
    terms: tuple[tuple[Term, ...], ...]
    maximum: bool = False


@dataclass(frozen=True)
class Dependence:
    """All tensors of a layer and of its gradients, and what their elements are made of."""

    layer: Layer

    @cached_property
    def given(self) -> tuple[Tensor, ...]:
        """The tensors whose elements can be chosen: the inputs, and G = ∂E/∂O."""
        return (*self.layer.tensors.values(), self.layer.cotangent)

    @cached_property
    def output(self) -> Result:
        """O."""
        return _result(self.layer.graph.only(self.layer.graph.output.name), self.given)

    @cached_property
    def gradients(self) -> dict[str, Result]:
        """The gradient with respect to each differentiable input, by the input's name."""
        if self.output.maximum:
            return {"x": self._routes()}
        return {
            name: _result(self.layer.gradient(name), self.given) for name in self.layer.differentiable
        }

    @property
    def results(self) -> tuple[Result, ...]:
        """The output, then the gradients."""
        return (self.output, *self.gradients.values())

    def _routes(self) -> Result:
        """Return ∂E/∂X of a maximum: each upstream gradient goes to the element that is selected."""
        x = self.layer.tensors["x"]
        found: list[list[Term]] = [[] for _ in range(math.prod(x.sizes))]
        for position, terms in enumerate(self.output.terms):
            for term in terms:
                ((_, cell),) = term.elements
                upstream = (self.layer.cotangent.name, position)
                found[cell].append(Term(1, (upstream,), (position, cell)))
        return Result(gradient_of(x), tuple(map(tuple, found)))


def is_drawn_by_elements(layer: Layer) -> bool:
    """Whether every result is a sum of products, or a maximum, of few enough elements."""
    steps = layer.graph.steps
    if len(layer.graph.outputs) > 1:
        return False
    sums = all(isinstance(step, Program | Constant) for step in steps)
    maxima = [s for s in steps if isinstance(s, Program) and s.contractions[0].reduce == "max"]
    if not sums or (maxima and (len(steps) > 1 or len(layer.inputs) > 1)):
        return False
    programs = [step for step in steps if isinstance(step, Program)]
    points = sum(math.prod(c.ranges.values()) for p in programs for c in p.contractions)
    return 0 < points <= MOST_TERMS


def element_names(tensor: Tensor) -> tuple[str, ...]:
    """Return what each element is called, as in a derivation: ``X12``, or ``X_1_2_3_4``."""
    return tuple(str(symbol) for symbol in symbols(tensor))


def sum_text(
    result: Result,
    at: int,
    write: Callable[[Element], str],
    counts: Callable[[Term], bool] = lambda _: True,
) -> str:
    """Write the sum, or the maximum, that an element is; ``write`` writes an element of a term.

    Terms that do not count are left out.
    """
    parts: list[tuple[str, str]] = []
    for term in filter(counts, result.terms[at]):
        sign, size = ("-", -term.coefficient) if term.coefficient < 0 else ("+", term.coefficient)
        factors = [] if size == 1 else [number_text(size)]
        factors += map(write, term.elements)
        if len(factors) > 1:
            factors = [f"({text})" if text.startswith("-") else text for text in factors]
        elif factors[0].startswith("-"):
            sign, factors = "-" if sign == "+" else "+", [factors[0][1:]]
        parts.append((sign, "·".join(factors)))
    if result.maximum:
        return f"max({', '.join(sign.strip('+') + text for sign, text in parts)})"
    text = "".join(f" {sign} {text}" for sign, text in parts)
    return (text[3:] if text.startswith(" + ") else f"-{text[3:]}") if parts else "0"


def _result(graph: Graph, given: tuple[Tensor, ...]) -> Result:
    """Run a graph on variables, and read each element's terms off the polynomial."""
    (*before, last) = graph.steps
    assert not any(isinstance(step, Selection) for step in graph.steps)
    known: Mapping[str, np.ndarray] = {t.name: _variables(t) for t in given}
    if isinstance(last, Program) and last.contractions[0].reduce == "max":
        compared: list[list[Term]] = [[] for _ in range(math.prod(last.target.sizes))]
        for cell, value in program_terms(
            last, evaluate(Graph(tuple(before)), known) if before else known
        ):
            compared[int(np.ravel_multi_index(cell, last.target.sizes))] += _terms(value)
        return Result(last.target, tuple(map(tuple, compared)), maximum=True)
    values = evaluate(graph, known)[graph.output.name]
    return Result(graph.output, tuple(_terms(value) for value in values.flat))


def _variables(tensor: Tensor) -> np.ndarray:
    names = [f"{tensor.name}:{at}" for at in range(math.prod(tensor.sizes))]
    variables = np.array([Polynomial.variable(name) for name in names], dtype=object)
    return variables.reshape(tensor.sizes)


def _terms(value: Polynomial | Number) -> tuple[Term, ...]:
    polynomial = Polynomial.lift(value)
    return tuple(
        Term(Fraction(factor), tuple(_element(name) for name in monomial))
        for monomial, factor in polynomial.terms.items()
    )


def _element(variable: str) -> Element:
    name, _, at = variable.rpartition(":")
    return name, int(at)
