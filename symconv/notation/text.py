"""The language on paper: formulas as plain text and as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import gcd

from symconv.notation.contraction import (
    Access,
    Contraction,
    Factor,
    Kronecker,
    Program,
    Size,
    Solved,
)
from symconv.notation.polynomial import Number, Polynomial
from symconv.notation.ratio import Ratio

LONG = 1000  # denominators from here on are not shown


def subscript_text(subscript: Polynomial, times: str = "·") -> str:
    """Write a subscript as ``2·y + i - 1``, or ``2 - i``: a leading minus goes behind a constant."""
    terms = list(subscript.terms.items())
    if terms and terms[0][1] < 0 < subscript.constant:
        terms.sort(key=lambda term: term[0] != ())
    else:
        terms.sort(key=lambda term: term[0] == ())
    written = ""
    for monomial, factor in terms:
        size = [] if abs(factor) == 1 and monomial else [str(abs(factor))]
        written += (" - " if factor < 0 else " + ") + times.join((*size, *monomial))
    if written.startswith(" - "):
        return "-" + written[3:]
    return written[3:] or "0"


def shape_text(sizes: Sequence[int]) -> str:
    """Write a shape as ``2 × 3``."""
    return " × ".join(map(str, sizes)) or "a number"


def shape_latex(sizes: Sequence[int]) -> str:
    """Write a shape in LaTeX."""
    return r" \times ".join(map(str, sizes)) or r"\text{a number}"


def access_text(access: Access) -> str:
    """Write an access as ``X[n, c, y + i]``."""
    subscripts = ", ".join(map(subscript_text, access.subscripts))
    return f"{access.tensor.name}[{subscripts}]" if subscripts else access.tensor.name


def contraction_text(contraction: Contraction) -> str:
    """Write a contraction's right side as ``Σ_{c,i} X[…] · F[…]``, with its condition if it has one."""
    contraction = without_single(contraction)
    factors = [_factor_text(factor) for factor in contraction.factors if not _is_condition(factor)]
    names = _shown_sums(contraction)
    sign = "max" if contraction.reduce == "max" else "Σ"
    body = " · ".join(factors) or "1"
    number = _coefficient(contraction.coefficient, f"{number_text(contraction.coefficient)} · ")
    conditions = [_factor_text(factor) for factor in contraction.factors if _is_condition(factor)]
    where = f"   where {', '.join(conditions)}" if conditions else ""
    over = f"{sign}_{{{','.join(names)}}} " if names else ""
    return (over + number if contraction.reduce == "max" else number + over) + body + where


def program_text(program: Program) -> str:
    """Write a program as ``O[…] = Σ … + Σ …``, one line for each way its target is written."""
    lines: dict[Access, list[str]] = {}
    for contraction in program.contractions:
        lines.setdefault(contraction.target, []).append(contraction_text(contraction))
    signs = assignments(program)
    return "\n".join(
        f"{access_text(target)} {signs[target]} {added(sums)}" for target, sums in lines.items()
    )


def added(sums: Sequence[str]) -> str:
    """Write a sum of terms, those that begin with a minus subtracted."""
    first, *others = sums
    return first + "".join(f" - {s[1:]}" if s.startswith("-") else f" + {s}" for s in others)


_RELATIONS = {"=": "=", "+=": r"\mathrel{{+}{=}}"}


def program_latex(program: Program) -> str:
    """Write a program in LaTeX, the lines of an ``aligned`` environment."""
    lines: dict[Access, list[str]] = {}
    for contraction in program.contractions:
        lines.setdefault(contraction.target, []).append(contraction_latex(contraction))
    signs = assignments(program)
    return " \\\\\n".join(
        rf"{access_latex(target)} &{_RELATIONS[signs[target]]} {added(sums)}"
        for target, sums in lines.items()
    )


_LETTERS = {
    "α": r"\alpha",
    "β": r"\beta",
    "γ": r"\gamma",
    "δ": r"\delta",
    "ε": r"\varepsilon",
    "θ": r"\theta",
    "κ": r"\kappa",
    "μ": r"\mu",
    "ρ": r"\rho",
    "σ²": r"{\sigma^{2}}",
    "σ": r"\sigma",
    "τ": r"\tau",
}


def name_latex(name: str) -> str:
    """Write an index, a letter for a size or a tensor's name in LaTeX: ``s_y`` as ``s_{y}``."""
    if name.startswith("∂"):
        return "/".join(rf"\partial {name_latex(part)}" for part in name.removeprefix("∂").split("/∂"))
    stem, _, axis = name.replace("′", "'").partition("_")
    if len(axis.rstrip("'")) > 1 or "." in name:  # a word: a network's value, or its parameter
        word, dot, symbol = name.replace("_", r"\_").partition(".")
        return rf"\mathit{{{word}}}" + (f".{name_latex(symbol)}" if dot else "")
    primes = stem[len(stem.rstrip("'")) :]
    stem = stem.removesuffix(primes)
    written = _LETTERS.get(stem) or (stem if len(stem) == 1 else rf"\mathit{{{stem}}}")
    axis, more = axis.rstrip("'"), axis[len(axis.rstrip("'")) :]
    return written + (f"_{{{axis}}}" if axis else "") + primes + more


def subscript_latex(subscript: Polynomial) -> str:
    """Write a subscript in LaTeX."""
    names = {tuple(map(name_latex, monomial)): factor for monomial, factor in subscript.terms.items()}
    return subscript_text(Polynomial(names), " ")


def access_latex(access: Access) -> str:
    """Write an access in LaTeX; a gradient's subscripts go to the tensor it is taken by."""
    cells = ",\\,".join(map(subscript_latex, access.subscripts))
    name = access.tensor.name
    if name.startswith("∂"):
        what, of = map(name_latex, name.removeprefix("∂").split("/∂"))
        return rf"\frac{{\partial {what}}}{{\partial {of}_{{{cells}}}}}"
    return f"{name_latex(name)}_{{{cells}}}" if cells else name_latex(name)


def contraction_latex(contraction: Contraction) -> str:
    """Write a contraction's right side in LaTeX."""
    contraction = without_single(contraction)
    names = _shown_sums(contraction)
    factors = [_factor_latex(f) for f in contraction.factors if not _is_condition(f)]
    number = _coefficient(contraction.coefficient, f"{number_latex(contraction.coefficient)} \\, ")
    conditions = [_factor_latex(f) for f in contraction.factors if _is_condition(f)]
    below = [",".join(map(name_latex, names))] if names else []
    if conditions:
        below += conditions
    sign = r"\max" if contraction.reduce == "max" else r"\sum"
    stacked = r" \\ ".join(below)
    head = rf"{sign}_{{\substack{{{stacked}}}}} " if below else ""
    return (head + number if contraction.reduce == "max" else number + head) + r" \, ".join(
        factors or ["1"]
    )


def _coefficient(number: Number | Ratio, text: str) -> str:
    """Write a number before a product, its text but for 1 and -1."""
    return "" if number == 1 else "-" if number == -1 else text


def number_text(number: Number | Ratio) -> str:
    """Write a number: a fraction, but one with many digits that a float is exactly as that."""
    if isinstance(number, Ratio):
        above, below = subscript_text(number.numerator), subscript_text(number.denominator)
        return "/".join(f"({part})" if re.search("[ ·]", part) else part for part in (above, below))
    exact = number.denominator < LONG or Fraction(float(number)) != number
    return str(number) if exact else repr(float(number))


def number_latex(number: Number | Ratio) -> str:
    """Write a number in LaTeX."""
    if isinstance(number, Ratio):
        parts = (subscript_latex(part) for part in (number.numerator, number.denominator))
        return rf"\tfrac{{{'}{'.join(parts)}}}"
    text = number_text(number)
    if "/" not in text:
        return re.sub(r"e(-?)\+?0*(\d+)", r" \\cdot 10^{\1\2}", text)
    return rf"{'-' if number < 0 else ''}\tfrac{{{abs(number.numerator)}}}{{{number.denominator}}}"


def without_single(contraction: Contraction) -> Contraction:
    """Put 0 for a summed index of one value, unless another value would read outside a tensor."""
    if any(isinstance(f, Kronecker | Solved) for f in contraction.factors):
        return contraction
    alone = {
        subscript
        for read in contraction.reads
        for subscript, size in zip(read.subscripts, read.tensor.shape, strict=True)
        if size == 1
    }
    zero = {
        name: 0
        for name, size in contraction.extents
        if size == 1 and name in contraction.summed and Polynomial.variable(name) not in alone
    }
    return replace(
        contraction,
        factors=tuple(read.substitute(zero) for read in contraction.reads),
        extents=tuple((name, size) for name, size in contraction.extents if name not in zero),
    )


def _shown_sums(contraction: Contraction) -> list[str]:
    """Return the summed indices that a reader sees: one that a condition solves for is not summed."""
    solved = {factor.name for factor in contraction.factors if isinstance(factor, Solved)}
    return [name for name in contraction.summed if name not in solved]


def _is_condition(factor: Factor) -> bool:
    return isinstance(factor, Solved)


def assignments(program: Program) -> dict[Access, str]:
    """Return ``=`` for each target that writes each element once, ``+=`` for the others."""
    signs: dict[Access, str] = {}
    for at, contraction in enumerate(program.contractions):
        if contraction.target not in signs:
            again = any(_overlap(contraction, other) for other in program.contractions[:at])
            scatters = again or any(
                _collides(s, dict(contraction.extents)) for s in contraction.target.subscripts
            )
            signs[contraction.target] = "+=" if scatters else "="
    return signs


def _collides(subscript: Polynomial, extents: Mapping[str, Size]) -> bool:
    """Whether two points may give a subscript the same value: a·i = b·j has a solution that fits."""
    names = [name for name in subscript.variables if name in extents]
    if len(names) < 2:
        return False
    counts = {name: size for name in names if isinstance(size := extents[name], int)}
    if len(counts) < len(names):
        return True  # letters: who knows
    sizes = {name: abs(int(subscript.coefficient(name))) for name in subscript.variables}
    if len(sizes) == 2:
        (i, a), (j, b) = sizes.items()
        return b // gcd(a, b) < counts[i] and a // gcd(a, b) < counts[j]
    reach = 0  # digits of a number: each one is worth more than all before it together
    for name in sorted(sizes, key=lambda name: sizes[name]):
        if sizes[name] <= reach:
            return True
        reach += sizes[name] * (counts[name] - 1)
    return False


def _overlap(one: Contraction, other: Contraction) -> bool:
    """Whether two contractions may write the same cell: no subscript keeps them apart."""
    pairs = zip(one.target.subscripts, other.target.subscripts, strict=True)
    return not any(_apart(_cells(a, one), _cells(b, other)) for a, b in pairs)


def _apart(a: range | None, b: range | None) -> bool:
    if a is None or b is None or not a or not b:
        return False
    beyond = max(a) < min(b) or max(b) < min(a)
    return beyond or (abs(a.step) == abs(b.step) and (a[0] - b[0]) % a.step != 0)


def _cells(subscript: Polynomial, contraction: Contraction) -> range | None:
    """Return the values of a subscript as a progression, None if they are not one."""
    if len(subscript.variables) > 1:
        return None
    start = int(subscript.constant)
    if not subscript.variables:
        return range(start, start + 1)
    (name,) = subscript.variables
    step, size = int(subscript.coefficient(name)), dict(contraction.extents).get(name)
    return range(start, start + step * size, step) if isinstance(size, int) else None


def _factor_text(factor: Factor) -> str:
    if isinstance(factor, Access):
        return access_text(factor)
    if isinstance(factor, Kronecker):
        return f"δ[{subscript_text(factor.left)}, {subscript_text(factor.right)}]"
    numerator = subscript_text(factor.numerator)
    if factor.divisor == 1:
        return f"{factor.name} = {numerator}"
    divisor = subscript_text(Polynomial.lift(factor.divisor))
    return f"{factor.name} = ({numerator})/{divisor} and {divisor} divides {numerator}"


def _factor_latex(factor: Factor) -> str:
    if isinstance(factor, Access):
        return access_latex(factor)
    if isinstance(factor, Kronecker):
        left, right = subscript_latex(factor.left), subscript_latex(factor.right)
        return rf"\delta_{{{left},\,{right}}}"
    name, numerator = name_latex(factor.name), subscript_latex(factor.numerator)
    if factor.divisor == 1:
        return f"{name} = {numerator}"
    divisor = subscript_latex(Polynomial.lift(factor.divisor))
    return rf"{name} = ({numerator})/{divisor},\; {divisor} \mid {numerator}"


_IN_PROSE = {
    "′": r"' ",
    "″": r"'' ",
    "≥": r"\ge ",
    "∂E/∂": r"\partial E/\partial ",
    "∂": r"\partial ",
    "⋆": r"\star ",
    "→": r"\to ",
    "·": r"\cdot ",
    "×": r"\times ",
    "Σ": r"\sum ",
    "≤": r"\le ",
    "⌊": r"\lfloor ",
    "⌋": r"\rfloor ",
    "°": r"^\circ ",
    "⟨": r"\langle ",
    "⟩": r"\rangle ",
}


def prose_latex(sentence: str) -> str:
    """Escape a sentence for LaTeX's text mode, its mathematical signs as mathematics."""
    escaped = re.sub(r"([#$%&_{}])", r"\\\1", sentence)
    escaped = re.sub(r"\^(\w+)", r"$^{\1}$", escaped)
    for sign, command in (_IN_PROSE | _LETTERS).items():
        escaped = escaped.replace(sign, f"${command}$")
    return escaped
