"""Every kind of step on paper."""

from __future__ import annotations

from fractions import Fraction

from symconv.notation.contraction import Access, index
from symconv.notation.expression_text import PAPER, expression_text
from symconv.notation.graph import Constant, Elementwise, Graph, Selection, Step
from symconv.notation.text import (
    access_latex,
    access_text,
    contraction_latex,
    contraction_text,
    name_latex,
    number_latex,
    number_text,
    program_latex,
    program_text,
)

SHOWN = 12  # numbers of a constant that are written out


def graph_text(graph: Graph) -> str:
    """Write a graph, its steps line by line."""
    return "\n".join(map(step_text, graph.steps))


def graph_latex(graph: Graph) -> str:
    """Write a graph in LaTeX, the lines of an ``aligned`` environment."""
    return " \\\\\n".join(map(step_latex, graph.steps))


def step_text(step: Step) -> str:
    """Write a step, a line for each way its target is written."""
    match step:
        case Elementwise():
            names = {name: access_text(read) for name, read in _accesses(step)}
            return f"{access_text(step.target)} = {expression_text(step.expression, names, PAPER)}"
        case Constant(target=target, values=values):
            numbers = ", ".join(number_text(Fraction(v)) for v in values[:SHOWN]) + (
                ", …" if values[SHOWN:] else ""
            )
            return f"{target.name} = ({numbers})"
        case Selection(target=target, maximum=maximum):
            place = access_text(target[tuple(index(name) for name, _ in maximum.extents)])
            taps = ", ".join(maximum.summed)
            return f"{place} = 1 for the first ({taps}) that attains {contraction_text(maximum)}, else 0"
        case _:
            return program_text(step)


def step_latex(step: Step) -> str:
    """Write a step in LaTeX, the lines of an ``aligned`` environment."""
    match step:
        case Elementwise():
            return rf"{access_latex(step.target)} &= {_expression_latex(step)}"
        case Constant(target=target, values=values):
            numbers = [number_latex(Fraction(value)) for value in values[:SHOWN]]
            dots = [r"\dots"] if values[SHOWN:] else []
            listed = r",\ ".join([*numbers, *dots])
            return rf"{name_latex(target.name)} &= ({listed})"
        case Selection(target=target, maximum=maximum):
            place = access_latex(target[tuple(index(name) for name, _ in maximum.extents)])
            taps = ",".join(map(name_latex, maximum.summed))
            return (
                rf"{place} &= 1 \text{{ for the first }} ({taps}) \text{{ that attains }} "
                rf"{contraction_latex(maximum)},\text{{ else }} 0"
            )
        case _:
            return program_latex(step)


def _accesses(step: Elementwise) -> list[tuple[str, Access]]:
    return [(name, read) for name, read in step.arguments if isinstance(read, Access)]


def _expression_latex(step: Elementwise) -> str:
    import sympy

    symbols = {symbol.name: symbol for symbol in step.expression.free_symbols}
    names = {symbols[name]: access_latex(read) for name, read in _accesses(step) if name in symbols}
    return str(sympy.latex(step.expression, symbol_names=names))
