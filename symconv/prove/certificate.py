"""Certificates: an equation of two programs with the reasons for it, as data that the checker reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from symconv.notation.contraction import Contraction, Kronecker, Size
from symconv.notation.graph import Graph
from symconv.notation.polynomial import Polynomial
from symconv.notation.substitution import Substitution
from symconv.notation.text import subscript_text
from symconv.prove import checker
from symconv.prove.search import Facts

Data = dict[str, Any]


@dataclass(frozen=True)
class Context:
    """What is assumed of the letters that stand for sizes.

    Parameters
    ----------
    symbols
        The letters; one that is defined by others stands before them.
    least, zeros
        Polynomials that are at least 0, and that are 0.
    examples
        Numbers that satisfy all of it.
    """

    symbols: tuple[str, ...]
    least: tuple[Polynomial, ...]
    zeros: tuple[Polynomial, ...]
    examples: tuple[Mapping[str, int], ...]


@dataclass(frozen=True)
class Pairing:
    """How the terms of two sums are paired: by their numbers, there and back."""

    left: int
    right: int
    there: Substitution
    back: Substitution


@dataclass(frozen=True)
class Equation:
    """Two programs that compute the same tensor, in a context, and how their terms are paired.

    Parameters
    ----------
    name, title
        What it is called, and what it says.
    context
        What is assumed.
    left, right
        The programs.
    pairings
        The substitutions between parts of their sums.
    then
        Polynomials that are at least 0 besides.
    left_cases, right_cases
        A sum's number and a polynomial: where it is below 0 is a new part, numbered last.
    """

    name: str
    title: str
    context: Context
    left: Graph
    right: Graph
    pairings: tuple[Pairing, ...]
    then: tuple[Polynomial, ...] = ()
    left_cases: tuple[tuple[int, Polynomial], ...] = ()
    right_cases: tuple[tuple[int, Polynomial], ...] = ()


def certificate(equation: Equation) -> Data:
    """Return a certificate of an equation.

    Raises
    ------
    SearchError
        If no reasons are found.
    """
    statement = statement_of(equation)
    axes = sum(symbol.partition("_")[0] == "H" for symbol in equation.context.symbols)
    written = json.dumps(statement, sort_keys=True).encode()
    return {
        "name": f"{equation.name} {_for(axes)}",
        "title": equation.title,
        "sha256": hashlib.sha256(written).hexdigest(),
        "statement": statement,
        "examples": [dict(example) for example in equation.context.examples],
        "proof": _proof(equation, statement),
    }


def _for(axes: int) -> str:
    return f"with {axes} {'axis' if axes == 1 else 'axes'}" if axes else "at given sizes"


def statement_of(equation: Equation) -> Data:
    """Return what an equation says, as the checker reads it."""
    context = equation.context
    read = equation.left.inputs | equation.right.inputs
    inputs = {name: _texts(tensor.shape) for name, tensor in read.items()}
    return {
        "symbols": list(context.symbols),
        ">= 0": _texts(context.least),
        "= 0": _texts(context.zeros),
        "inputs": inputs,
        "left": _program(equation.left),
        "right": _program(equation.right),
        "then >= 0": _texts(equation.then),
    }


def _program(graph: Graph) -> list[Data]:
    return [
        {
            "tensor": step.target.name,
            "shape": _texts(step.target.shape),
            "sums": [_sum(contraction) for contraction in step.contractions],
        }
        for step in graph.programs
    ]


def _sum(contraction: Contraction) -> Data:
    extents: list[list[str | None]] = [[name, _text(size)] for name, size in contraction.extents]
    extents += [[solved.name, None] for solved in contraction.solved]
    where = [Polynomial.variable(s.name) * s.divisor - s.numerator for s in contraction.solved]
    where += [f.left - f.right for f in contraction.factors if isinstance(f, Kronecker)]
    return {
        "indices": extents,
        "where": _texts(where),
        "at": _texts(contraction.target.subscripts),
        "reads": [[read.tensor.name, *_texts(read.subscripts)] for read in contraction.reads],
    }


def _text(size: Size) -> str:
    return subscript_text(Polynomial.lift(size), "*")


def _texts(sizes: Sequence[Size]) -> list[str]:
    return [_text(size) for size in sizes]


def _proof(equation: Equation, statement: Data) -> Data:
    """Ask the checker what is to be shown, and find the reasons."""
    context, left, right, sizes = checker.read(statement)
    left = checker.split(left, _cases(equation.left_cases))
    right = checker.split(right, _cases(equation.right_cases))
    symbols = len(context.names)
    pairs: list[Any] = [None] * len(left)
    for pairing in equation.pairings:
        source, target = left[pairing.left], right[pairing.right]
        there = _map(target, pairing.there, pairing.back, symbols)
        back = _map(source, pairing.back, pairing.there, symbols)
        for ends, one, other in (((source, target), there, back), ((target, source), back, there)):
            known, goals = checker.obligations(context, *ends, one, other)
            one["proofs"] = _reasons(_facts(known, symbols), goals)
        pairs[pairing.left] = [pairing.right, there, back]
    return {
        "sizes": _reasons(_facts(context, symbols), sizes),
        "left": _cases(equation.left_cases),
        "right": _cases(equation.right_cases),
        "pairs": pairs,
    }


def _cases(cases: Sequence[tuple[int, Polynomial]]) -> list[Any]:
    return [[number, _text(split)] for number, split in cases]


def _map(target: checker.Points, there: Substitution, back: Substitution, symbols: int) -> Data:
    divided = [name for d in back.divisions for name in (d.quotient, d.remainder)]
    return {
        "divide": [[d.quotient, d.remainder, _text(d.of), _text(d.by)] for d in there.divisions],
        "values": {name: _text(there.value(name)) for name in target.names[symbols:] + divided},
        "proofs": [],
    }


def _facts(points: checker.Points, symbols: int) -> Facts:
    least, zeros = (
        [Polynomial(dict(p)) for p, sign in points.known if sign == wanted] for wanted in (">=", "=")
    )
    return Facts(least, zeros, points.names, symbols)


def _reasons(facts: Facts, goals: Sequence[tuple[checker.Polynomial, str]]) -> list[Any]:
    reasons: list[Any] = []
    for goal, sign in goals:
        shown = Polynomial(dict(goal))
        found = facts.bound(shown) if sign == ">=" else facts.identity(shown)
        reasons.append(
            found
            and [
                _text(found[0]),
                [[count, *_texts(factors)] for count, factors in found[1]],
                [[_text(zero), _text(multiplier)] for zero, multiplier in found[2].items()],
            ]
        )
    return reasons
