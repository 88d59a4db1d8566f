"""A worked example: a layer's output and gradients with numbers, or with blanks to be filled in."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from symconv.check.smallest import spelled
from symconv.errors import SymconvError
from symconv.explain.dependence import (
    Dependence,
    Element,
    Result,
    Term,
    element_names,
    is_drawn_by_elements,
    sum_text,
)
from symconv.explain.numbers import (
    DRAWN,
    LARGEST,
    Given,
    Texts,
    checked_array,
    matrices_latex,
    matrices_text,
    named_arrays,
)
from symconv.explain.sliding import slidings
from symconv.layers.layer import Layer
from symconv.notation.contraction import Tensor
from symconv.notation.layout import WIDTH, wrapped
from symconv.notation.monomials import term_count
from symconv.notation.text import number_text, prose_latex

BLANK = "_____"


@dataclass(frozen=True)
class Worked:
    """A layer with numbers.

    Attributes
    ----------
    layer
        The layer.
    numbers
        The elements of each input, and of G = ∂E/∂O, row by row, by the tensors' names.
    blanks
        Whether the answers are left out, to be filled in.
    """

    layer: Layer
    numbers: dict[str, tuple[Fraction, ...]]
    blanks: bool = False

    @cached_property
    def dependence(self) -> Dependence:
        """What each element is made of."""
        return Dependence(self.layer)

    @cached_property
    def answers(self) -> dict[str, tuple[Fraction, ...]]:
        """The elements of the output and of each gradient, by the tensors' names."""
        return {
            result.tensor.name: tuple(self._value(terms, result.maximum) for terms in result.terms)
            for result in self.dependence.results
        }

    def text(self, width: int = WIDTH) -> str:
        """Return the example as text: the numbers that are given, then every element."""
        lines = [*wrapped(self.task, width), "", "Given:"]
        for tensor in self.dependence.given:
            texts = _texts(tensor, self.numbers[tensor.name])
            lines += [f"    {line}" for line in matrices_text(tensor.name, texts)]
        for result in self.dependence.results:
            lines += ["", f"{result.tensor.name}:"]
            for at in range(len(result.terms)):
                lines += wrapped(" = ".join(self._equation(result, at)), width, indent=4, hanging=4)
        if not self.blanks:
            lines += ["", "Answers:"]
            for result in self.dependence.results:
                texts = _texts(result.tensor, self.answers[result.tensor.name])
                lines += [f"    {line}" for line in matrices_text(result.tensor.name, texts)]
        return "\n".join(lines) + "\n"

    def latex(self) -> str:
        """Return the example in LaTeX: display formulas that need amsmath."""
        task = f"{prose_latex(self.task)}\n"
        rows = [
            row
            for tensor in self.dependence.given
            for row in matrices_latex(tensor.name, _texts(tensor, self.numbers[tensor.name]))
        ]
        parts = [rows]
        parts += [
            [self._equation_latex(result, at) for at in range(len(result.terms))]
            for result in self.dependence.results
        ]
        return task + "\n".join(
            "\\begin{align*}\n" + " \\\\\n".join(part) + "\n\\end{align*}" for part in parts
        )

    @property
    def task(self) -> str:
        """Say what is to be computed."""
        pictures = slidings(self.layer)
        how = f" {pictures[0].words}" if pictures else ""
        first = " Of equal elements the first is the maximum." if self.dependence.output.maximum else ""
        results = [result.tensor.name for result in self.dependence.results]
        return (
            f"The layer is {spelled(self.layer)}, and G = ∂E/∂O.{how}{first} Compute "
            f"{', '.join(results[:-1])} and {results[-1]}."
        )

    def _equation(self, result: Result, at: int) -> list[str]:
        """Return an element, its formula, the formula with numbers, and the answer."""
        named = self._sum(result, at, lambda element: self._names[element[0]][element[1]])
        left = element_names(result.tensor)[at]
        if self.blanks:
            return [left, BLANK]
        with_numbers = self._sum(result, at, lambda element: number_text(self._number(element)))
        answer = number_text(self.answers[result.tensor.name][at])
        return [left, *dict.fromkeys([named, with_numbers, answer])]

    def _equation_latex(self, result: Result, at: int) -> str:
        left, *right = self._equation(result, at)
        lines = [f"{_latex(left)} &= {_latex(right[0])}"]
        if right[1:]:
            lines.append(f"&= {' = '.join(map(_latex, right[1:]))}")
        return " \\\\\n".join(lines)

    @cached_property
    def _names(self) -> dict[str, tuple[str, ...]]:
        return {tensor.name: element_names(tensor) for tensor in self.dependence.given}

    def _sum(self, result: Result, at: int, write: Callable[[Element], str]) -> str:
        return sum_text(result, at, write, self._counts)

    def _counts(self, term: Term) -> bool:
        return not term.selected or self._is_selected(term.selected)

    def _value(self, terms: Sequence[Term], maximum: bool) -> Fraction:
        values = [
            Fraction(term.coefficient) * math.prod(self._number(e) for e in term.elements)
            for term in terms
            if self._counts(term)
        ]
        return max(values) if maximum else Fraction(sum(values))

    def _number(self, element: Element) -> Fraction:
        return self.numbers[element[0]][element[1]]

    def _is_selected(self, selected: tuple[int, int]) -> bool:
        """Whether an element of X is the first maximum of the window at a position."""
        position, cell = selected
        cells = [at for term in self.dependence.output.terms[position] for _, at in term.elements]
        name = self.dependence.given[0].name
        return max(cells, key=lambda at: (self.numbers[name][at], -cells.index(at))) == cell


def worked_layer(layer: Layer, numbers: Given = 0, blanks: bool = False) -> Worked:
    """Return a worked example of a layer.

    Parameters
    ----------
    layer
        A small layer whose results are sums of products, or maxima, of elements.
    numbers
        A seed for whole numbers, or the arrays: by the names of ``forward``'s inputs, and
        ``"grad_output"``; inputs that are not named are drawn.
    blanks
        Whether the answers are left out: an exercise.

    Raises
    ------
    SymconvError
        If the layer is too large or has other steps, or an array has the wrong shape.
    """
    if not is_drawn_by_elements(layer) or term_count(layer.graph) > LARGEST:
        raise SymconvError(
            f"numbers: the layer must be a sum of products, or a maximum, of at most {LARGEST} terms"
        )
    tensors = {**layer.tensors, "grad_output": layer.cotangent}
    given, rng = named_arrays(numbers, tensors)
    found = {}
    for name, tensor in tensors.items():
        drawn = rng.integers(*DRAWN, tensor.sizes)
        if name in layer.masks:  # half of the elements are kept
            drawn = rng.permutation(np.arange(drawn.size) % 2).reshape(tensor.sizes)
        array = checked_array(name, given.get(name, drawn), tensor.sizes)
        found[tensor.name] = tuple(Fraction(str(number)) for number in array.ravel().tolist())
    return Worked(layer, found, blanks)


def _texts(tensor: Tensor, values: Sequence[Fraction]) -> Texts:
    return np.array([number_text(value) for value in values], str).reshape(tensor.sizes)


def _latex(text: str) -> str:
    """Write a name, a formula or a number in LaTeX."""
    if text == BLANK:
        return r"\underline{\hspace{2cm}}"
    named = re.sub(r"([A-Zb])_?(\d[\d_]*)", lambda m: f"{m[1]}_{{{m[2].replace('_', ',')}}}", text)
    return (
        named.replace("∂E/∂", r"\partial E/\partial ").replace("·", r" \cdot ").replace("max", r"\max")
    )
