"""A certificate's statement read back as programs, by another reader than the checker's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from symconv.notation.contraction import Access, Contraction, Program, Solved, Tensor, index
from symconv.notation.graph import Graph
from symconv.notation.polynomial import Polynomial
from symconv.prove import checker
from symconv.prove.certificate import Data


def read_programs(statement: Data, numbers: Mapping[str, int]) -> tuple[Graph, Graph]:
    """Return both programs of a statement, with numbers for its letters."""
    checker.read(statement)  # it is well formed

    def size(text: str) -> int:
        return int(_read(text, statement["symbols"], numbers))

    def graph(steps: Sequence[Data]) -> Graph:
        shapes = statement["inputs"] | {step["tensor"]: step["shape"] for step in steps}
        tensors = {name: Tensor(name, tuple(map(size, shape))) for name, shape in shapes.items()}
        return Graph(
            tuple(
                Program(
                    tuple(
                        _read_sum(tensors[step["tensor"]], data, tensors, statement["symbols"], numbers)
                        for data in step["sums"]
                    )
                )
                for step in steps
            )
        )

    return graph(statement["left"]), graph(statement["right"])


def _read_sum(
    target: Tensor,
    data: Data,
    tensors: Mapping[str, Tensor],
    symbols: Sequence[str],
    numbers: Mapping[str, int],
) -> Contraction:
    names = [*symbols, *(name for name, _ in data["indices"])]

    def access(tensor: Tensor, cell: Sequence[str]) -> Access:
        return Access(tensor, tuple(_read(text, names, numbers) for text in cell))

    solved = []
    unbounded = [name for name, extent in data["indices"] if extent is None]
    for name, text in zip(unbounded, data["where"], strict=True):
        condition = _read(text, names, numbers)
        divisor = int(condition.coefficient(name))
        solved.append(Solved(name, index(name) * divisor - condition, divisor))
    return Contraction(
        target=access(target, data["at"]),
        factors=(*(access(tensors[name], cell) for name, *cell in data["reads"]), *solved),
        extents=tuple(
            (name, int(_read(extent, symbols, numbers)))
            for name, extent in data["indices"]
            if extent is not None
        ),
    )


def _read(text: str, names: Sequence[str], numbers: Mapping[str, int]) -> Polynomial:
    return Polynomial(dict(checker.parse(text, names))).substitute(numbers)
