"""Theorems, their certificates and a layer's proof in LaTeX, fit for an appendix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from symconv.notation.contraction import Contraction, Program
from symconv.notation.graph import Graph
from symconv.notation.polynomial import Polynomial
from symconv.notation.substitution import Substitution
from symconv.notation.text import name_latex, program_latex, prose_latex, subscript_latex
from symconv.prove import checker
from symconv.prove.certificate import Data, Equation
from symconv.prove.instances import Proved
from symconv.prove.theorems import Proof


def proof_latex(proof: Proof) -> str:
    """Write a layer's proof, then every theorem that it rests on with its certificate."""
    parts = [r"\section*{Proof}", *([prose_latex(proof.here)] if proof.numbers else [])]
    for theorem in proof.theorems:
        parts.append(rf"\paragraph{{{prose_latex(theorem.name)}}} {prose_latex(theorem.statement)}.")
        grounds = [rf"\item {prose_latex(f'{method}: {text}')}." for method, text in theorem.grounds]
        refuted = [
            rf"\item False claim: {prose_latex(c.name)}. "
            + (prose_latex(f"Refuted: {c.counterexample.as_text()}.") if c.counterexample else "")
            for c in theorem.controls
        ]
        items = "\n".join([*grounds, *refuted])
        parts.append(f"\\begin{{itemize}}\n{items}\n\\end{{itemize}}")
    parts.append("\\section*{Theorems for every size}\n\\footnotesize")
    known: dict[str, Proved] = {}
    for theorem in proof.theorems:
        for found in theorem.rests_on:
            if found.certificate is not None:
                known[str(found.certificate["sha256"])] = found
    parts += [certificate_latex(p.equation, p.certificate) for p in known.values() if p.certificate]
    return "\n\n".join(parts) + "\n"


def certificate_latex(equation: Equation, certificate: Data) -> str:
    """Write a theorem for every size: assumptions, both programs, the pairing, the bounds' reasons."""
    context = equation.context
    facts = [rf"{subscript_latex(p)} &\ge 0" for p in context.least]
    facts += [rf"{subscript_latex(p)} &= 0" for p in context.zeros]
    letters = ", ".join(f"${name_latex(symbol)}$" for symbol in context.symbols)
    lines = [
        rf"\paragraph{{{prose_latex(equation.name)}}} {prose_latex(equation.title)}.",
        f"For all integers {letters}" + (" with" if facts else ","),
        _aligned(facts),
        rf"and all {_tensors(equation)}, what reads no cell being 0,",
        _program(equation.left),
        "computes the same tensor as",
        _program(equation.right),
    ]
    if equation.then:
        lines += ["and besides", _aligned([rf"{subscript_latex(p)} &\ge 0" for p in equation.then])]
    for side, cases in (("first", equation.left_cases), ("second", equation.right_cases)):
        lines += [
            f"Part {number + 1} of the {side}'s terms is split: where ${subscript_latex(value)} < 0$ is "
            "a new part, the last."
            for number, value in cases
        ]
    for pairing in equation.pairings:
        parts = f"part {pairing.left + 1} of the first's with part {pairing.right + 1} of the second's"
        named = f", {parts}" if len(equation.pairings) > 1 else ""
        lines.append(f"The terms are paired{named}: the second's indices are")
        lines.append(_substitution(pairing.there))
        lines.append("and back,")
        lines.append(_substitution(pairing.back))
    reasons = list(_reasons(certificate))
    if reasons:
        lines.append(
            r"Each of these bounds $z \ge 0$ holds since $z$ (or $c\,z + c - 1$, where $c$ is given), "
            "by the equations, is the sum beside it, of products of what is at least 0:"
        )
        lines.append(_aligned(reasons))
    digest = str(certificate["sha256"])
    lines.append(rf"Certificate \texttt{{{digest[:16]}}}\dots, accepted by the checker.")
    return "\n".join(line for line in lines if line)


def _aligned(rows: Sequence[str]) -> str:
    if not rows:
        return ""
    body = " \\\\\n".join(rows)
    return f"\\begin{{align*}}\n{body}\n\\end{{align*}}"


def _tensors(equation: Equation) -> str:
    """Name the tensors that the programs read and do not compute."""
    found = equation.left.inputs | equation.right.inputs
    shapes = {n: ", ".join(subscript_latex(_lift(s)) for s in t.shape) for n, t in found.items()}
    shown = [rf"${name_latex(name)}$ of shape $({shape})$" for name, shape in shapes.items()]
    return ", ".join(shown) or "tensors"


def _lift(size: int | Polynomial) -> Polynomial:
    return Polynomial.lift(size)


def _program(graph: Graph) -> str:
    """Write a program: each step's tensor and its shape, its sums and the ranges of their indices."""
    parts = []
    for program in graph.programs:
        shape = ", ".join(subscript_latex(_lift(size)) for size in program.target.shape)
        of_shape = f"of shape $({shape})$" if shape else "a number"
        parts.append(rf"${name_latex(program.target.name)}$, {of_shape}, where")
        parts.append(_aligned([row for c in program.contractions for row in _sum(c)]))
    return "\n".join(parts)


def _sum(contraction: Contraction) -> list[str]:
    ranges = [rf"{name_latex(name)} < {subscript_latex(_lift(n))}" for name, n in contraction.extents]
    written = program_latex(Program((contraction,)))
    return [written, r"&\qquad " + r",\ ".join(ranges)] if ranges else [written]


def _substitution(substitution: Substitution) -> str:
    rows = [
        rf"{subscript_latex(d.of)} &= ({subscript_latex(d.by)})\,{name_latex(d.quotient)} + "
        rf"{name_latex(d.remainder)},\quad 0 \le {name_latex(d.remainder)} < {subscript_latex(d.by)}"
        for d in substitution.divisions
    ]
    moved: Mapping[str, Polynomial] = substitution.values
    rows += [f"{name_latex(name)} &= {subscript_latex(value)}" for name, value in moved.items()]
    return _aligned(rows) or r"\[\text{the same}\]"


def _reasons(certificate: Data) -> Iterator[str]:
    """Write the bounds that are no facts already, each with the products that it is the sum of."""
    statement, proof = certificate["statement"], certificate["proof"]
    context, left, right, _ = checker.read(statement)
    left, right = checker.split(left, proof["left"]), checker.split(right, proof["right"])
    seen = set()
    for points, (number, there, back) in zip(left, proof["pairs"], strict=True):
        for ends in ((points, right[number], there, back), (right[number], points, back, there)):
            known, goals = checker.obligations(context, *ends)
            for (goal, sign), reason in zip(goals, ends[2]["proofs"], strict=True):
                if sign == ">=" and reason is not None and (len(reason[1]) > 1 or reason[0] != "0"):
                    row = _reason(Polynomial(dict(goal)), reason, known.names)
                    if row not in seen:
                        seen.add(row)
                        yield row


def _reason(goal: Polynomial, reason: Sequence[Any], names: Sequence[str]) -> str:
    def written(text: str) -> str:
        return subscript_latex(Polynomial(dict(checker.parse(text, names))))

    rest, products, _ = reason
    scale = "" if rest == "0" else rf",\quad c - 1 = {written(rest)}"
    total = " + ".join(
        (str(count) if count != 1 or not factors else "") + "".join(f"({written(p)})" for p in factors)
        for count, *factors in products
    )
    return rf"{subscript_latex(goal)} &\ge 0:\ {total}{scale}"
