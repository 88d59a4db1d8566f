"""Index notation: a sum, or a maximum, of products of tensors, read from text.

formula   = access ( "=" | "max" "=" ) [ "-" ] product { ("+" | "-") product }
product   = factor { ( "*" factor ) | ( "/" number ) }
factor    = access | number
access    = name "[" [ subscript { "," subscript } ] "]"
subscript = [ "-" ] part { ("+" | "-") part }
part      = integer [ "*" index ] | index [ "*" integer ]

Indices that are not on the left are summed over. An index that addresses a whole axis alone has that
axis' extent; another one has, if it is not given, the most values for which no read passes a tensor's
end. Reads outside a tensor are zero, or left out of a maximum; writes outside the result are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal

from symconv.errors import SymconvError
from symconv.notation.contraction import Access, Contraction, Program, Tensor, combined
from symconv.notation.polynomial import Polynomial
from symconv.notation.tokens import Reader

LARGEST = 10**6  # of a number in a subscript
Subscripts = tuple[Polynomial, ...]


@dataclass(frozen=True)
class Term:
    """A product: a number, and tensors' names with the subscripts that they are read at."""

    coefficient: Fraction
    factors: tuple[tuple[str, Subscripts], ...]


@dataclass(frozen=True)
class Formula:
    """A formula as it is written, without any size."""

    target: str
    subscripts: Subscripts
    reduce: Literal["sum", "max"]
    terms: tuple[Term, ...]

    @property
    def tensors(self) -> dict[str, int]:
        """The number of axes of each tensor that is read, in the order they are first read."""
        return {name: len(at) for term in self.terms for name, at in term.factors}


def parse_formula(text: str) -> Formula:
    """Read a formula in index notation.

    Raises
    ------
    SymconvError
        If the text does not follow the grammar, or a tensor is read with different numbers of axes.
    """
    return _Parser("formula", text).formula()


class _Parser(Reader):
    """Reads tokens from left to right; each method reads one rule of the grammar."""

    hints: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys("Σ∑", "not written: what is not on the left is summed over"),
        **dict.fromkeys("·×⋅", "written *"),
    }

    def formula(self) -> Formula:
        if re.fullmatch(r"\s*\w+(\s*,\s*\w+)*\s*->\s*\w*\s*", self.text):
            raise self.refuse("must name its tensors: O[n,o] = X[n,i] * F[o,i] for ni,oi->no")
        target, subscripts = self._access()
        reduce: Literal["sum", "max"] = "sum"
        if self.token == "max":
            reduce = "max"
            self.next()
        self.expect("=")
        terms = [self._product(self._sign())]
        while self.token in ("+", "-"):
            terms.append(self._product(self._sign()))
        self.end()
        ranks: dict[str, int] = {}
        for name, at in (factor for term in terms for factor in term.factors):
            if ranks.setdefault(name, len(at)) != len(at):
                raise self.refuse(f"{name} has {ranks[name]} and {len(at)} subscripts")
        if target in ranks:
            raise self.refuse(f"{target} is on both sides")
        if reduce == "max" and len(terms) > 1:
            raise self.refuse("a maximum has one product")
        if any(not term.factors for term in terms):
            raise self.refuse("a product must have a tensor in it")
        return Formula(target, subscripts, reduce, tuple(terms))

    def _sign(self) -> int:
        sign = 1
        while self.token in ("+", "-"):
            sign *= -1 if self.next() == "-" else 1
        return sign

    def _product(self, sign: int) -> Term:
        coefficient, factors = Fraction(sign), list[tuple[str, Subscripts]]()
        while True:
            if self.kind == "number":
                coefficient *= self._number()
            else:
                factors.append(self._access())
            while self.token == "/":
                self.next()
                divisor = self._number()
                if not divisor:
                    raise self.refuse("divides by 0")
                coefficient /= divisor
            if self.token != "*":
                return Term(coefficient, tuple(factors))
            self.next()

    def _number(self) -> Fraction:
        if self.kind != "number":
            raise self.refuse(f"expected a number, found {self.token or 'the end'!r}")
        if self.token.isdigit():
            return Fraction(self._integer())
        number = Fraction(self.next())  # a decimal is the number that it shows
        if number > LARGEST or number.denominator > LARGEST**2:
            raise self.refuse(f"expected a number of at most {LARGEST} and few decimals")
        return number

    def _integer(self) -> int:
        if not self.token.isdigit() or int(self.token[:8]) > LARGEST or len(self.token) > 7:
            raise self.refuse(f"expected an integer to {LARGEST}, found {self.token or 'the end'!r}")
        return int(self.next())

    def _access(self) -> tuple[str, Subscripts]:
        name = self._name()
        if self.token == "(":
            raise self.refuse(f"{name}(...) is no tensor; what is not on the left is summed over")
        self.expect("[")
        subscripts: list[Polynomial] = []
        while self.token != "]":
            if subscripts and self.token != ",":
                raise self.refuse(f"expected ',' or ']', found {self.token or 'the end'!r}")
            if subscripts:
                self.next()
            subscripts.append(self._subscript())
        self.next()
        return name, tuple(subscripts)

    def _name(self) -> str:
        if self.kind != "name":
            raise self.refuse(f"expected a name, found {self.token or 'the end'!r}")
        return self.next()

    def _subscript(self) -> Polynomial:
        total = self._part(self._sign())
        while self.token in ("+", "-"):
            total = total + self._part(self._sign())
        return total

    def _part(self, sign: int) -> Polynomial:
        number, index = sign, None
        while True:
            if self.kind == "number":
                number *= self._integer()
            elif index is None:
                index = self._name()
            else:
                raise self.refuse(f"two indices are multiplied: {index} and {self.token}")
            if self.token != "*":
                break
            self.next()
        return Polynomial({(index,) if index else (): number})


def program_of(
    formula: Formula, shapes: Mapping[str, tuple[int, ...]], extents: Mapping[str, int]
) -> Program:
    """Return the program that a formula is for tensors of these shapes.

    ``extents`` are those of indices whose tensors do not tell. The result's shape is that given under
    its name, or what the subscripts on the left reach.

    Raises
    ------
    SymconvError
        If a shape is missing or does not fit, an index's extent is not known, or one is no index's.
    """
    for name, rank in formula.tensors.items():
        if name not in shapes:
            raise SymconvError(
                f"{name}: has no shape; give {name}=(...), a tuple of {_sizes(rank)} (in the shell "
                f"{name}={'x'.join('2' * rank)})"
            )
        if len(shapes[name]) != rank:
            raise SymconvError(
                f"{name} = {shapes[name]}: must have {_sizes(rank)}, as the formula reads it"
            )
    known = _extents(formula, shapes, dict(extents))
    output = shapes.get(formula.target) or tuple(_reach(s, known) for s in formula.subscripts)
    if len(output) != len(formula.subscripts):
        raise SymconvError(f"{formula.target} = {output}: must have {_sizes(len(formula.subscripts))}")
    target = Access(Tensor(formula.target, output), formula.subscripts)
    contractions = []
    for term in formula.terms:
        factors = tuple(Access(Tensor(name, shapes[name]), at) for name, at in term.factors)
        used = dict.fromkeys(
            v for access in (target, *factors) for s in access.subscripts for v in s.variables
        )
        sizes = tuple((name, known[name]) for name in used)
        contractions.append(Contraction(target, factors, sizes, term.coefficient, formula.reduce))
    return combined(contractions)


def _extents(
    formula: Formula, shapes: Mapping[str, tuple[int, ...]], known: dict[str, int]
) -> dict[str, int]:
    """Return every index's extent: given, that of an axis, or the most that fits."""
    given = dict(known)
    axes = [
        (f"{name}'s axis {axis}", subscript, size)
        for name, at in [f for term in formula.terms for f in term.factors]
        for axis, (subscript, size) in enumerate(zip(at, shapes[name], strict=True))
    ]
    if formula.target in shapes:
        sized = zip(formula.subscripts, shapes[formula.target], strict=False)
        axes += [(f"{formula.target}'s axis {axis}", s, size) for axis, (s, size) in enumerate(sized)]
    said: dict[str, str] = {}
    for where, subscript, size in axes:
        for name in subscript.variables:
            if subscript == Polynomial.variable(name) and name not in given:
                if known.setdefault(name, size) != size:
                    raise SymconvError(
                        f"index {name}: {said[name]} has {known[name]} cells, {where} has {size}"
                    )
                said.setdefault(name, where)
    reads = [axis for axis in axes if not axis[0].startswith(f"{formula.target}'s")]
    names = dict.fromkeys(v for _, s, _ in axes for v in s.variables)
    names |= dict.fromkeys(v for s in formula.subscripts for v in s.variables)
    for name in given:
        if name not in names:
            raise SymconvError(f"extent {name}: must be an index's of the formula: {', '.join(names)}")
    for _ in names:
        for _, subscript, _ in reads:
            missing = [name for name in subscript.variables if name not in known]
            if len(missing) == 1:
                fits = [_most(s, missing[0], n, known) for _, s, n in reads]
                known[missing[0]] = min(found for found in fits if found is not None)
    for name in names:
        if name not in known:
            raise SymconvError(f"index {name}: its extent is not known; give {name}=...")
        if known[name] < 1:
            raise SymconvError(f"index {name}: no value of it reads inside")
    return known


def _most(subscript: Polynomial, name: str, size: int, known: Mapping[str, int]) -> int | None:
    """Return how many values of an index fit a subscript; None if it does not tell."""
    if subscript == Polynomial.variable(name):
        return size
    step = int(subscript.coefficient(name))
    others = [v for v in subscript.variables if v != name]
    if not step or any(v not in known for v in others):
        return None
    steps = [int(subscript.coefficient(v)) * (known[v] - 1) for v in others]
    if step < 0:  # counts down from its first value
        return (int(subscript.constant) + sum(min(0, reach) for reach in steps)) // -step + 1
    return (size - 1 - int(subscript.constant) - sum(max(0, reach) for reach in steps)) // step + 1


def _reach(subscript: Polynomial, known: Mapping[str, int]) -> int:
    """Return one more than the greatest value of a subscript."""
    alone = next(iter(subscript.variables), "")
    if subscript == Polynomial.variable(alone):
        return known[alone]
    reach = sum(max(0, int(subscript.coefficient(v)) * (known[v] - 1)) for v in subscript.variables)
    return max(int(subscript.constant) + reach + 1, 0)


def _sizes(count: int) -> str:
    return "1 size" if count == 1 else f"{count} sizes"
