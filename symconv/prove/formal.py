"""Formal sums: a graph's elements as expressions in which a sum over an index is a symbol, linear.

``Σ_c`` of an expression is expanded; what does not depend on ``c`` is taken out of it, and the sum of
what is left becomes a symbol of its own, the same for the same terms; ``Σ_c 1`` is the size of c. So
two graphs whose elements become the same expression compute the same, for all sizes. Where an
expression has cases, it is compared for positive and for negative numbers and at 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING, Any

from symconv.notation.contraction import Access, Contraction, Program
from symconv.notation.graph import Constant, Elementwise, Graph, Step, written
from symconv.notation.polynomial import Polynomial
from symconv.prove.differentiation import equal_by_cases, same_function

if TYPE_CHECKING:
    import sympy

Indices = frozenset[str]


@dataclass
class FormalSums:
    """The symbols of elements and of sums, and the indices that each depends on.

    A tensor is addressed in one way everywhere: each index counts along one axis, alone or as a digit.
    """

    depends: dict[sympy.Symbol, Indices] = field(default_factory=dict)
    places: dict[sympy.Symbol, tuple[Polynomial, ...]] = field(default_factory=dict)
    sums: dict[tuple[Indices, Any], sympy.Symbol] = field(default_factory=dict)
    one_hot: dict[sympy.Symbol, str] = field(default_factory=dict)

    def output(self, graph: Graph) -> sympy.Expr:
        """Return the element of a graph's output, expanded.

        Raises
        ------
        ValueError
            If a step is no sum, maximum or expression of whole tensors.
        """
        known: dict[str, sympy.Expr] = {}
        for step in graph.steps:
            if not isinstance(step, Constant):  # whatever its numbers are
                known[written(step).name] = self._step(step, known)
        return self._expanded(known[graph.output.name])

    def _step(self, step: Step, known: Mapping[str, sympy.Expr]) -> sympy.Expr:
        match step:
            case Program(contractions=(Contraction(reduce="max", target=target),)):
                return self._atom(target)
            case Program():
                terms = [self._contraction(c, known) for c in step.contractions]
                return self._expanded(sum(terms[1:], terms[0]))
            case Elementwise():
                return self._elementwise(step, known)
            case _:
                raise ValueError(f"no sum or expression: {written(step).name}")

    def _elementwise(self, step: Elementwise, known: Mapping[str, sympy.Expr]) -> sympy.Expr:
        counted = [name for name, read in step.arguments if not isinstance(read, Access)]
        if counted:  # marks an element by its index: one of the index's values
            marked = self._atom(step.target)
            self.one_hot[marked] = counted[0]
            return marked
        symbols = {symbol.name: symbol for symbol in step.expression.free_symbols}
        values = {
            symbols[name]: self._read(read, known)
            for name, read in step.arguments
            if isinstance(read, Access) and name in symbols
        }
        return self._expanded(step.expression.subs(values, simultaneous=True))

    def _read(self, read: Access, known: Mapping[str, sympy.Expr]) -> sympy.Expr:
        return known.get(read.tensor.name, self._atom(read))

    def _atom(self, access: Access) -> sympy.Symbol:
        """Return the symbol of a tensor's element, at its own indices."""
        import sympy

        found = [name for s in access.subscripts for name in s.variables]
        if len(found) != len(set(found)) or any(s.constant for s in access.subscripts):
            raise ValueError(f"not addressed by its own indices: {access.tensor.name}")
        symbol = sympy.Symbol(access.tensor.name, real=True)
        self.depends[symbol] = frozenset(found)
        if self.places.setdefault(symbol, access.subscripts) != access.subscripts:
            raise ValueError(f"addressed in two ways: {access.tensor.name}")
        return symbol

    def _contraction(self, contraction: Contraction, known: Mapping[str, sympy.Expr]) -> sympy.Expr:
        import sympy

        product = sympy.Rational(str(contraction.coefficient))
        for read in contraction.reads:
            product = product * self._read(read, known)
        sizes = {name: contraction.ranges[name] for name in contraction.summed}
        terms = sympy.Add.make_args(self._expanded(product))
        return sympy.Add(*(self._summed(term, sizes) for term in terms))

    def _summed(self, term: sympy.Expr, sizes: Mapping[str, int]) -> sympy.Expr:
        """Take out of a sum what does not depend on its indices; the rest is a symbol."""
        import sympy

        factors = sympy.Mul.make_args(term)
        inside = [f for f in factors if self._indices(f).intersection(sizes)]
        outside = [f for f in factors if f not in inside]
        over = frozenset().union(*map(self._indices, inside)).intersection(sizes)
        count = prod(size for name, size in sizes.items() if name not in over)
        return sympy.Mul(count, *outside, self._sum_of(sympy.Mul(*inside), over))

    def _sum_of(self, term: sympy.Expr, over: Indices) -> sympy.Expr:
        import sympy

        if not over or over == {self.one_hot.get(term)}:  # one element is marked
            return sympy.Integer(1)
        if (over, term) not in self.sums:
            positive = all(f.is_positive for f in sympy.Mul.make_args(term)) or None
            name = f"Σ_{''.join(sorted(over))}({term})"
            self.sums[over, term] = sympy.Symbol(name, real=True, positive=positive)
            self.depends[self.sums[over, term]] = self._indices(term) - over
        return self.sums[over, term]

    def _indices(self, expression: sympy.Expr) -> Indices:
        return frozenset().union(*(self.depends[symbol] for symbol in expression.free_symbols))

    def _expanded(self, expression: sympy.Expr) -> sympy.Expr:
        """Write exponentials and logarithms of sums and products as products and sums; multiply out."""
        import sympy

        return sympy.expand_log(sympy.expand(expression), force=True)


def same(left: Graph, right: Graph) -> bool:
    """Whether two graphs compute the same: the difference of their outputs' elements is 0.

    False may also mean that it is not seen.
    """
    import sympy

    if _same_steps(left, right):
        return True
    sums = FormalSums()
    try:
        one, other = sums.output(left), sums.output(right)
    except ValueError:
        return False
    difference = sympy.expand(one - other)
    if sympy.simplify(difference) == 0:
        return True
    return any(equal_by_cases(one, other, x) for x in _with_cases(difference))


def _same_steps(left: Graph, right: Graph) -> bool:
    """Whether two graphs have the same steps, up to how an expression is written."""
    return len(left.steps) == len(right.steps) and all(map(_same_step, left.steps, right.steps))


def _same_step(one: Step, other: Step) -> bool:
    if not (isinstance(one, Elementwise) and isinstance(other, Elementwise)):
        return one == other
    f, g = one.expression, other.expression
    if replace(one, expression=g) != other:
        return False
    return f == g or any(same_function(f, g, x) for x in _with_cases(f - g))


def _with_cases(expression: sympy.Expr) -> set[sympy.Symbol]:
    """Return the symbols that cases of an expression depend on."""
    import sympy

    cases = expression.atoms(sympy.Abs, sympy.Piecewise, sympy.Max, sympy.Min)
    return set().union(*(case.free_symbols for case in cases))
