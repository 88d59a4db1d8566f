"""A network worked out with numbers: every layer's output, then every gradient back to the input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from symconv.derive.graph_view import formula
from symconv.derive.network_view import backward_graph, forward_graph
from symconv.derive.steps import Formula
from symconv.errors import SymconvError
from symconv.explain.numbers import (
    DRAWN,
    LARGEST,
    Array,
    Given,
    Texts,
    checked_array,
    matrices_latex,
    matrices_text,
    named_arrays,
    written,
)
from symconv.layers.network import SEED, Network
from symconv.layers.random_labels import labels_of
from symconv.notation.arrays import run_arrays
from symconv.notation.backpropagation import gradients
from symconv.notation.layout import WIDTH, wrapped
from symconv.notation.text import prose_latex

BLANK = "___"


@dataclass(frozen=True)
class Chain:
    """A network with numbers.

    Attributes
    ----------
    network
        The network.
    given
        The numbers of the input, of each parameter and of the labels, by their names.
    blanks
        Whether the answers are left out, to be filled in.
    """

    network: Network
    given: dict[str, Array]
    blanks: bool = False

    @cached_property
    def values(self) -> dict[str, Array]:
        """Every tensor of the network and of its gradients, by name; ∂E/∂E is 1."""
        network = self.network
        known = {network.tensors[name].name: array for name, array in self.given.items()}
        known |= {g.name: np.ones(g.sizes) for g in (SEED, *network.cotangents.values())}
        by = [network.tensors[name] for name in network.differentiable]
        return run_arrays(network.energy, known) | run_arrays(gradients(network.energy, by, SEED), known)

    def text(self, width: int = WIDTH) -> str:
        """Return the example as text; text is folded at the width, matrices are not."""
        parts = []
        for part in self._parts():
            lines = [*wrapped(f"{part.heading}:", width)]
            for row in part.formula.text.splitlines():
                lines += wrapped(row, width, indent=4, hanging=4)
            lines += [
                f"    {line}" for name, texts in part.arrays for line in matrices_text(name, texts)
            ]
            parts.append("\n".join(lines))
        return "\n\n".join(parts) + "\n"

    def latex(self) -> str:
        """Return the example in LaTeX: display formulas that need amsmath."""
        parts = []
        for part in self._parts():
            lines = [part.formula.latex] if part.formula.latex else []
            lines += [line for name, texts in part.arrays for line in matrices_latex(name, texts)]
            body = " \\\\\n".join(lines).replace(BLANK, r"\underline{\hspace{1cm}}")
            parts.append(f"{prose_latex(part.heading)}:\n\\begin{{align*}}\n{body}\n\\end{{align*}}")
        return "\n".join(parts)

    def _parts(self) -> list[_Part]:
        network, values = self.network, self.values

        def asked(name: str) -> tuple[str, Texts]:
            return name, written(values[name], (lambda _: BLANK) if self.blanks else _short)

        given = [(network.tensors[name].name, written(a, _short)) for name, a in self.given.items()]
        if not network.loss:  # whose gradient is 1
            given += [(g.name, written(values[g.name], _short)) for g in network.cotangents.values()]
        parts = [_Part("Given", Formula("", ""), given)]
        for node in network.nodes:
            taken = ", ".join(_value(network, source) for source in node.sources)
            heading = f"Forward, {node.name} = {type(node.layer).__name__}({taken})"
            parts.append(_Part(heading, formula(forward_graph(network, node)), [asked(node.name)]))
        for node in reversed(network.nodes):
            own = [n for n in network.trained if n.rpartition(".")[0] == node.name]
            tensors = [network.tensors[name].name for name in own]
            tensors += [_value(network, source) for source in node.sources]
            rows = [asked(f"∂E/∂{name}") for name in tensors if f"∂E/∂{name}" in values]
            if rows:
                back = formula(backward_graph(network, node, node.layer.differentiable))
                shown = Formula("", "") if self.blanks else back
                parts.append(_Part(f"Backward, through {node.name}", shown, rows))
        return parts


@dataclass(frozen=True)
class _Part:
    """A heading, a layer's formulas, and the arrays that they give, by name."""

    heading: str
    formula: Formula
    arrays: list[tuple[str, Texts]]


def _value(network: Network, source: str) -> str:
    """Return what a value that a layer takes is called in formulas."""
    return network.tensors[source].name if source in network.values else source


def _short(number: float) -> str:
    return f"{number:.4g}"


def worked_network(network: Network, numbers: Given = 0, blanks: bool = False) -> Chain:
    """Return a network worked out with numbers.

    Parameters
    ----------
    network
        A small network.
    numbers
        A seed for whole numbers, or arrays by the names of the inputs: ``"x"``, ``"labels"``, and
        parameters such as ``"conv1.weight"``; inputs that are not named are drawn.
    blanks
        Whether the answers are left out: an exercise.

    Raises
    ------
    SymconvError
        If the network is too large, or an array has the wrong shape.
    """
    if sum(math.prod(node.layer.output_shape) for node in network.nodes) > LARGEST:
        raise SymconvError(
            f"numbers: the network's layers must have at most {LARGEST} elements together"
        )
    given, rng = named_arrays(numbers, network.tensors)
    found: dict[str, Array] = {}
    for name, tensor in network.tensors.items():
        if name in network.classes:
            drawn: Any = labels_of(network, name, rng)
        elif name in network.masks:
            drawn = rng.integers(0, 2, tensor.sizes)
        elif name in network.running:  # a variance is positive
            drawn = rng.integers(1, DRAWN[1], tensor.sizes)
        else:
            drawn = rng.integers(*DRAWN, tensor.sizes)
        found[name] = checked_array(name, given.get(name, drawn), tensor.sizes)
    return Chain(network, found, blanks)
