"""Finding the reasons that a certificate states: multipliers for identities and for bounds.

What is found here need not be trusted: the checker adds it up again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from symconv.notation.polynomial import Monomial, Polynomial

Products = list[tuple[int, tuple[Polynomial, ...]]]  # numbers >= 0: a count and what is multiplied
Zeros = dict[Polynomial, Polynomial]  # polynomials that are 0, with their multipliers
DEPTH = 6  # products that a bound may be the sum of


class SearchError(Exception):
    """No reason was found, which does not mean that there is none."""


class Rules:
    """Equations as rewriting rules, each for a monomial with the factor 1 or -1.

    Parameters
    ----------
    zeros
        Polynomials that are 0.
    names
        Every name; of those that an equation could be solved for, the last one is.
    symbols
        How many of the names, the first ones, are symbols; of these, the first one is solved for.
    """

    def __init__(self, zeros: Iterable[Polynomial], names: Sequence[str], symbols: int) -> None:
        rank = {name: at if at >= symbols else -at - 1 for at, name in enumerate(names)}
        self._rules: list[tuple[Monomial, Polynomial, Zeros]] = []
        for zero in zeros:
            rest, used = self.normal(zero)
            if rest:
                lead = max(self._leads(rest), key=lambda m: (len(m) == 1, max(map(rank.__getitem__, m))))
                sign = rest.terms[lead]
                why = {zero: Polynomial.lift(sign)} | {z: m * -sign for z, m in used.items()}
                self._rules.append((lead, rest * sign, why))

    @staticmethod
    def _leads(zero: Polynomial) -> Sequence[Monomial]:
        """Return the monomials that an equation can be solved for."""
        units = [m for m, factor in zero.terms.items() if m and abs(factor) == 1]
        alone = [m for m in units if not m[1:] and not any(m[0] in o for o in zero.terms if o != m)]
        found = alone or [m for m in units if not any(set(m) < set(o) for o in zero.terms)]
        if not found:
            raise SearchError(f"{zero} = 0 cannot be solved for anything")
        return found

    def normal(self, polynomial: Polynomial) -> tuple[Polynomial, Zeros]:
        """Rewrite a polynomial until no rule applies; return it, and what was taken off."""
        used: Zeros = {}
        changed = True
        while changed:
            changed = False
            names = {name for monomial in polynomial.terms for name in monomial}
            for lead, rule, why in self._rules:
                if not names.issuperset(lead):
                    continue
                quotient = Polynomial(
                    {
                        rest: factor
                        for monomial, factor in polynomial.terms.items()
                        if (rest := _without(monomial, lead)) is not None
                    }
                )
                if quotient:
                    changed = True
                    polynomial = polynomial - rule * quotient
                    names.update(rule.variables)
                    for zero, multiplier in why.items():
                        used[zero] = used.get(zero, Polynomial({})) + multiplier * quotient
        return polynomial, {zero: m for zero, m in used.items() if m}


def _without(monomial: Monomial, lead: Monomial) -> Monomial | None:
    """Return a monomial divided by another; None if it is no multiple of it."""
    rest = list(monomial)
    for name in lead:
        if name not in rest:
            return None
        rest.remove(name)
    return tuple(rest)


class Facts:
    """Polynomials known to be >= 0, modulo equations; goals that follow are added to them."""

    def __init__(
        self,
        least: Iterable[Polynomial],
        zeros: Iterable[Polynomial],
        names: Sequence[str],
        symbols: int,
    ) -> None:
        self.rules = Rules(zeros, names, symbols)
        self._names = tuple(names)
        self._least: dict[Polynomial, Polynomial] = {}  # by their normal forms
        self._exact: set[Polynomial] = set()
        for fact in least:
            self._add(fact)

    def _add(self, fact: Polynomial) -> None:
        self._exact.add(fact)
        self._least.setdefault(self.rules.normal(fact)[0], fact)

    def identity(self, goal: Polynomial) -> tuple[Polynomial, Products, Zeros] | None:
        """Return why a polynomial is 0; None if it is the polynomial 0."""
        if not goal:
            return None
        rest, used = self.rules.normal(goal)
        if not rest:
            return Polynomial({}), [], used
        for scale in self._scales(self._names):
            other, used = self.rules.normal(goal * (scale + 1))
            if not other:
                return scale, [], used
        raise SearchError(f"{goal} = 0: {rest} is left")

    def bound(self, goal: Polynomial) -> tuple[Polynomial, Products, Zeros] | None:
        """Return why a polynomial is >= 0; None if it is a fact."""
        if goal in self._exact or not goal:
            return None
        normal = self.rules.normal(goal)[0]
        for scale in [Polynomial({}), *self._scales(self._near(normal))]:
            target = self.rules.normal(normal * (scale + 1) + scale)[0]
            products = self._sum(target)
            if products is not None:
                total = goal * (scale + 1) + scale
                for count, factors in products:
                    product = Polynomial.lift(count)
                    for factor in factors:
                        product = product * factor
                    total = total - product
                rest, used = self.rules.normal(total)
                assert not rest  # it was found by the same rules
                self._add(goal)
                return scale, products, used
        raise SearchError(f"{goal} >= 0")

    def _near(self, polynomial: Polynomial) -> set[str]:
        """Return a polynomial's variables, and what facts about one of them speak of besides."""
        names = set(polynomial.variables)
        near = [fact.variables for fact in self._least if not names.isdisjoint(fact.variables)]
        return names.union(*near)

    def _scales(self, names: Iterable[str]) -> list[Polynomial]:
        """Return the c - 1 >= 0 for names c."""
        shifted = [Polynomial.variable(name) - 1 for name in sorted(names)]
        return [scale for scale in shifted if scale in self._exact]

    def _sum(self, target: Polynomial) -> Products | None:
        """Write a polynomial as a sum of products of facts."""
        names = self._near(target)
        scales = self._scales(target.variables)
        candidates: dict[tuple[Monomial, bool], list[tuple[Polynomial, tuple[Polynomial, ...]]]] = {}
        for normal, fact in self._least.items():
            if names.isdisjoint(normal.variables):
                continue
            for factors in [(fact,), *((scale, fact) for scale in scales if scale != fact)]:
                product = normal
                if len(factors) == 2:
                    product = self.rules.normal(normal * factors[0])[0]
                for monomial, factor in product.terms.items():
                    if monomial:
                        candidates.setdefault((monomial, factor > 0), []).append((product, factors))
        for depth in range(DEPTH + 1):
            found = _cover(target, candidates, depth)
            if found is not None:
                return found
        return None


def _cover(
    rest: Polynomial,
    candidates: dict[tuple[Monomial, bool], list[tuple[Polynomial, tuple[Polynomial, ...]]]],
    depth: int,
) -> Products | None:
    """Take products off until a number >= 0 is left: one that has the longest monomial, each time."""
    longest = max(rest.terms, key=lambda m: (len(m), m), default=())
    if not longest:
        constant = int(rest.constant)
        return None if constant < 0 else [(constant, ())] if constant else []
    if not depth:
        return None
    for product, factors in candidates.get((longest, rest.terms[longest] > 0), ()):
        count, over = divmod(rest.terms[longest], product.terms[longest])
        if not over:
            more = _cover(rest - product * count, candidates, depth - 1)
            if more is not None:
                return [(int(count), factors), *more]
    return None
