"""A network worked out with numbers: every layer's output, then every gradient back to the input."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.derive.matrices import grid, matrix_latex
from symconv.errors import SymconvError
from symconv.layers.network import INPUT, Network
from symconv.layers.random_labels import labels_of
from symconv.notation.arrays import run_arrays
from symconv.notation.backpropagation import gradient_of, gradients
from symconv.notation.contraction import Tensor
from symconv.notation.layout import WIDTH, beside
from symconv.notation.text import name_latex, prose_latex

LARGEST = 400  # numbers of a network that one wants to see
NUMBERS = (-3, 4)  # whole numbers that are drawn, the last one excluded
BLANK = "___"

Array = NDArray[np.float64]


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
        known[network.cotangent.name] = np.ones(network.output_shape)
        by = [network.tensors[name] for name in self._moved]
        return run_arrays(network.graph, known) | run_arrays(
            gradients(network.graph, by, network.cotangent), known
        )

    @property
    def _moved(self) -> list[str]:
        return [INPUT, *self.network.parameters]

    def text(self, width: int = WIDTH) -> str:
        """Return the example as text; matrices are not folded."""
        del width
        parts = []
        for heading, rows in self._parts():
            lines = [line for name, array, blank in rows for line in _text(name, array, blank)]
            parts.append("\n".join([f"{heading}:", *(f"    {line}" for line in lines)]))
        return "\n\n".join(parts) + "\n"

    def latex(self) -> str:
        """Return the example in LaTeX: display formulas that need amsmath."""
        parts = []
        for heading, rows in self._parts():
            lines = [line for name, array, blank in rows for line in _latex(name, array, blank)]
            body = " \\\\\n".join(lines)
            parts.append(f"{prose_latex(heading)}:\n\\begin{{align*}}\n{body}\n\\end{{align*}}")
        return "\n".join(parts)

    def _parts(self) -> list[tuple[str, list[tuple[str, Array, bool]]]]:
        """Return headings, and under each names with their arrays, and whether they are left out."""
        network, values = self.network, self.values
        given = [(network.tensors[name].name, array, False) for name, array in self.given.items()]
        parts = [("Given", given)]
        for node in network.nodes:
            taken = ", ".join(network.tensors[s].name if s == INPUT else s for s in node.sources)
            name = node.name if node.name in values else network.graph.output.name
            heading = f"Forward, {node.name} = {type(node.layer).__name__}({taken})"
            parts.append((heading, [(node.name, values[name], self.blanks)]))
        for node in reversed(network.nodes):
            own = [n for n in network.parameters if n.rpartition(".")[0] == node.name]
            wanted = [gradient_of(network.tensors[n]).name for n in own]
            wanted += [
                gradient_of(network.tensors[INPUT]).name if s == INPUT else f"∂E/∂{s}"
                for s in node.sources
            ]
            rows = [(n, values[n], self.blanks) for n in wanted if n in values]
            if rows:
                parts.append((f"Backward, through {node.name}", rows))
        return parts


def chain(network: Network, numbers: Mapping[str, object] | int = 0, blanks: bool = False) -> Chain:
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
    given = {} if isinstance(numbers, int) else dict(numbers)
    unknown = [name for name in given if name not in network.tensors]
    if unknown:
        raise SymconvError(f"numbers: {unknown[0]} is not one of {', '.join(network.tensors)}")
    rng = np.random.default_rng(numbers if isinstance(numbers, int) else 0)
    found: dict[str, Array] = {}
    for name, tensor in network.tensors.items():
        if name in network.classes:
            drawn: Any = labels_of(network, name, rng)
        else:
            drawn = rng.integers(*NUMBERS, tensor.sizes)
        found[name] = _array(name, given.get(name, drawn), tensor)
    return Chain(network, found, blanks)


def _array(name: str, value: object, tensor: Tensor) -> Array:
    try:
        return np.asarray(value, dtype=float).reshape(tensor.sizes)
    except (TypeError, ValueError):
        raise SymconvError(f"numbers: {name} must be an array of shape {tensor.sizes}") from None


def _planes(name: str, array: Array, blank: bool) -> list[tuple[str, list[list[str]]]]:
    """Return the planes of an array: what each is called, and its rows."""
    shape = array.shape if array.ndim > 1 else (1, *(array.shape or (1,)))
    outer = shape[:-2]
    found = []
    for at in np.ndindex(*outer):
        rows = array.reshape(shape)[at]
        index = "" if math.prod(outer) == 1 else f"[{', '.join(str(i + 1) for i in at)}]"
        texts = [[BLANK if blank else f"{number:.4g}" for number in row] for row in rows]
        found.append((f"{name}{index}", texts))
    return found


def _text(name: str, array: Array, blank: bool) -> list[str]:
    lines: list[str] = []
    for plane, rows in _planes(name, array, blank):
        lines += beside(f"{plane} = ", grid(rows)).splitlines()
    return lines


def _latex(name: str, array: Array, blank: bool) -> list[str]:
    rows_of: Sequence[tuple[str, list[list[str]]]] = _planes(name, array, blank)
    lines = []
    for plane, rows in rows_of:
        written = [[r"\underline{\hspace{1cm}}" if blank else text for text in row] for row in rows]
        index = plane.removeprefix(name)
        lines.append(f"{name_latex(name)}{index} &= {matrix_latex(written)}")
    return lines
