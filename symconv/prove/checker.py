"""Check certificates: ``python checker.py FILE`` prints the statements it accepts, or what fails first.

A statement says that two programs compute the same tensor, for all integers (the symbols) that satisfy
some assumptions, whatever the input tensors hold. A program is a list of steps. A step computes a
tensor, zero at first, by sums: at every integer point of a box that meets conditions, a product of
tensors, read at polynomials of the indices, is added where the target is written. Reads outside a
tensor are zero, writes outside are dropped. With reads of computed tensors replaced by what computes
them, a program is a set of points, each with a product of inputs and a target (`flatten`). Two are equal
if their points can be paired so that pairs agree in both. A certificate has that pairing, as maps there
and back, with reasons for all that must hold of them (`obligations`), by four rules:
- identity: an integer z is 0 if c·z is, for a c >= 1; combinations of zeros are 0 (`Points.accept`);
- bound: z is >= 0 if c·z + c - 1 is, for a c >= 1; sums and products of what is >= 0 are (the same);
- division: for m >= 1 there are unique q and r with x = m·q + r and 0 <= r < m (`Points.divide`);
- disjoint union: either z >= 0 or -z - 1 >= 0 (`split`).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from math import prod
from typing import Any

FACTORS = r"(?:\d{1,12}|[^\W\d]\w*'*)(?:\*(?:\d{1,12}|[^\W\d]\w*'*))*"
ASSUMED = ("at least 0", "equal 0", "then at least 0")
MOST_BYTES, MOST_WORK = 4_000_000, 3_000_000
Goal = tuple["Polynomial", str]  # that a polynomial is "=" or ">=" 0


def require(holds: object, reason: str, *values: object) -> None:
    """Reject the certificate unless a condition holds."""
    if not holds:
        raise ValueError(reason.format(*(f"{value!s:.200}" for value in values)))


class Polynomial(dict[tuple[str, ...], int]):
    """An integer polynomial: the factor of each monomial."""

    work = 0  # steps made so far, whose bound is one of time and memory

    @staticmethod
    def spend(work: int) -> None:
        """Count steps."""
        Polynomial.work += work
        require(Polynomial.work < MOST_WORK, "the certificate is too large to check")

    def __init__(self, terms: Iterable[tuple[tuple[str, ...], int]]) -> None:
        for monomial, factor in terms:
            self.spend(1)
            require(len(monomial) < 13 and abs(factor) < 10**15, "a degree or factor is too large")
            if total := self.pop(monomial, 0) + factor:
                self[monomial] = total

    def __add__(self, other: Polynomial) -> Polynomial:
        return Polynomial([*self.items(), *other.items()])

    def __sub__(self, other: Polynomial) -> Polynomial:
        return self + other * poly(-1)

    def __mul__(self, other: Polynomial) -> Polynomial:
        terms = ((a + b, m * n) for a, m in self.items() for b, n in other.items())
        return Polynomial((tuple(sorted(names)), factor) for names, factor in terms)

    def __str__(self) -> str:
        return " + ".join("*".join([str(factor), *names]) for names, factor in self.items())

    def put(self, values: dict[str, Polynomial]) -> Polynomial:
        """Put values for names."""
        total = poly(0)
        for names, factor in self.items():
            total = total + prod((values.get(name, poly(name)) for name in names), start=poly(factor))
        return total


def poly(value: int | str) -> Polynomial:
    """Return a number or a name as a polynomial."""
    return Polynomial([((value,), 1)] if isinstance(value, str) else [((), value)])


def parse(text: Any, names: Sequence[str]) -> Polynomial:
    """Read a polynomial in some names, such as ``s*p + 2*d - 1``."""
    require(re.fullmatch(rf"-?{FACTORS}( [+-] {FACTORS})*", str(text)), "{} is no polynomial", text)
    terms = []
    for sign, product in re.findall(rf"(-?) ?({FACTORS})", str(text)):
        factors = product.split("*")
        value = prod((int(factor) for factor in factors if factor.isdigit()), start=-1 if sign else 1)
        terms.append((tuple(sorted(factor for factor in factors if not factor.isdigit())), value))
    Polynomial.spend(len(names))
    unknown = {name for monomial, _ in terms for name in monomial}.difference(names)
    require(not unknown, "{} unknown in {}", unknown, text)
    return Polynomial(terms)


def name_new(names: Iterable[Any], taken: list[str], allowed: str = r"[^\W\d]\w*") -> None:
    """Add names to those taken, each of which nothing has yet."""
    for name in names:
        Polynomial.spend(len(taken))
        require(re.fullmatch(allowed, name) and name not in taken, "{} is no new name", name)
        taken.append(name)


def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of a file, whose members must have different names."""
    require(len(dict(pairs)) == len(pairs), "two members of an object have one name")
    return dict(pairs)


def within(at: Sequence[Polynomial], sizes: Sequence[Polynomial]) -> list[Goal]:
    """Return the conditions 0 <= subscript < size."""
    return [g for p, m in zip(at, sizes, strict=True) for g in ((p, ">="), (m - p - poly(1), ">="))]


@dataclass
class Points:
    """Integer points: their names, what is known of each, where it is written and what it reads."""

    names: list[str]  # the symbols, then the indices
    known: list[Goal]  # of the symbols, then what makes it one of the points
    cells: list[tuple[str, list[Polynomial]]]  # the target's, called "", then those of what is read

    def given(self, goals: list[Goal], names: Sequence[str] = ()) -> Points:
        """Return those of the points, with more indices, of which more holds."""
        return replace(self, names=[*self.names, *names], known=self.known + goals)

    def inlined(self, context: Points, cell: list[Polynomial], inner: Points) -> Points:
        """Return these points with those of a sum that computes what they read at a cell, primed."""
        primes = "'" * (1 + max(name.count("'") for name in ["", *self.names]))
        new = {name: poly(name + primes) for name in inner.names[len(context.names) :]}
        Polynomial.spend(len(self.cells) + len(self.known))
        goals = [(p.put(new), sign) for p, sign in inner.known[len(context.known) :]]
        goals += [(a - b.put(new), "=") for a, b in zip(cell, inner.cells[0][1], strict=True)]
        reads = [(tensor, [p.put(new) for p in at]) for tensor, at in inner.cells[1:]]
        return replace(self.given(goals, [name + primes for name in new]), cells=self.cells + reads)

    def fact(self, text: Any, sign: str) -> Polynomial:
        """Read a polynomial that is known to be = 0 or >= 0."""
        Polynomial.spend(len(self.known))
        require((parse(text, self.names), sign) in self.known, "{} {} 0 is not known", text, sign)
        return parse(text, self.names)

    def accept(self, goals: list[Goal], proofs: Any) -> None:
        """Accept that polynomials are = 0 or >= 0, which is known from then on.

        A proof is null, or c - 1, products of what is >= 0, and zeros with multipliers, which together
        are c·goal, or for a bound c·goal + c - 1.
        """
        for (goal, sign), proof in zip(goals, proofs, strict=True):
            Polynomial.spend(len(self.known))
            if proof is None and goal and (goal, sign) in self.known:
                continue
            rest, products, zeros = ("0", [], []) if proof is None else proof
            total = goal + self.fact(rest, ">=") * (goal + poly(1) if sign == ">=" else goal)
            for zero, multiplier in zeros:
                total = total - self.fact(zero, "=") * parse(multiplier, self.names)
            for count, *factors in products:
                require(type(count) is int and count > 0 and sign == ">=", "{} is not positive", count)
                total = total - prod((self.fact(p, ">=") for p in factors), start=poly(count))
            require(not total, "it does not follow that {} {} 0", goal, sign)
            self.known.append((goal, sign))

    def divide(self, q: str, r: str, of: str, by: str) -> tuple[Polynomial, Polynomial]:
        """Bring in the quotient and the remainder of x by m >= 1, under new names; return x and m."""
        x, m = parse(of, self.names), parse(by, self.names)
        self.accept([(m - poly(1), ">=")], [None])
        name_new([q, r], self.names)
        self.known += [(x - m * poly(q) - poly(r), "="), *within([poly(r)], [m])]
        return x, m


def flatten(program: Any, shapes: dict[str, Any], context: Points) -> tuple[list[Points], Any]:
    """Return a program as sums over its inputs, and the shape of what it computes."""
    symbols, computed = context.names, dict[str, list[Points]]()
    name_new([*shapes, *(step["tensor"] for step in program)], [], r"[^\s\[\],]+")
    for step in program:
        sizes, parts = [parse(size, symbols) for size in step["shape"]], list[Points]()
        for data in step["sums"]:
            names = [*symbols]
            name_new((name for name, _ in data["indices"]), names)
            at, where = ([parse(p, names) for p in data[key]] for key in ("at", "where"))
            goals = within(at, sizes) + [(p, "=") for p in where]
            for name, extent in data["indices"]:
                goals += [] if extent is None else within([poly(name)], [parse(extent, symbols)])
            found = [replace(context.given(goals, names[len(symbols) :]), cells=[("", at)])]
            for read, *texts in data["reads"]:
                cell = [parse(p, names) for p in texts]
                if read in computed:
                    found = [f.inlined(context, cell, p) for f in found for p in computed[read]]
                else:
                    inside = within(cell, shapes[read])
                    found = [replace(f.given(inside), cells=[*f.cells, (read, cell)]) for f in found]
            parts += found
        computed[step["tensor"]] = parts
    return parts, sizes


def read(statement: Any) -> tuple[Points, list[Points], list[Points], list[Goal]]:
    """Return a statement's context, the sums of both sides, and what must hold of the sizes."""
    name_new(statement["symbols"], names := list[str]())
    least, zeros, then = ([parse(p, names) for p in statement[key]] for key in ASSUMED)
    context = Points(names, [(p, ">=") for p in [poly(0), *least]] + [(p, "=") for p in zeros], [])
    shapes = {t: [parse(size, names) for size in shape] for t, shape in statement["inputs"].items()}
    (left, ours), (right, theirs) = (flatten(statement[s], shapes, context) for s in ("left", "right"))
    extents = [e for step in statement["left"] for data in step["sums"] for _, e in data["indices"]]
    require(None not in extents, "the left side's sums have no end")
    goals = [(a - b, "=") for a, b in zip(ours, theirs, strict=True)]
    return context, left, right, goals + [(p, ">=") for p in then]


def split(parts: list[Points], cases: Any) -> list[Points]:
    """Split parts in two, each in turn: where a polynomial is >= 0, and, as a new part, where not."""
    for number, text in cases:
        part, side = parts[number], parse(text, parts[number].names)
        parts.append(part.given([(poly(-1) - side, ">=")]))
        parts[number] = part.given([(side, ">=")])
    return parts


def obligations(context: Points, source: Points, target: Points, there: Any, back: Any) -> Any:
    """Return what is known at a source point, and what makes the maps there and back a pairing."""
    known, other, symbols = source.given([]), target.given([]), len(context.names)
    for division in there["divide"]:
        known.divide(*division)
    divisions = [(q, r, *other.divide(q, r, of, by)) for q, r, of, by in back["divide"]]
    image = {name: parse(there["values"][name], known.names) for name in other.names[symbols:]}
    goals = [(goal.put(image), sign) for goal, sign in target.known[len(context.known) :]]
    cells = [sorted(points.cells, key=lambda read: read[0]) for points in (source, target)]
    for (tensor, ours), (its, theirs) in zip(*cells, strict=True):
        require(tensor == its, "the products have different tensors, {} and {}", tensor, its)
        goals += [(a - b.put(image), "=") for a, b in zip(ours, theirs, strict=True)]
    for q, r, x, m in divisions:
        goals += [((x - m * poly(q) - poly(r)).put(image), "="), *within([image[r]], [m.put(image)])]
    for name in source.names[symbols:]:
        goals.append((parse(back["values"][name], other.names).put(image) - poly(name), "="))
    return known, goals


def check(certificate: Any) -> str:
    """Return the statement that a certificate proves, in words; raise an exception if it does not."""
    Polynomial.work = 0
    statement, proof = certificate["statement"], certificate["proof"]
    digest = sha256(json.dumps(statement, sort_keys=True).encode()).hexdigest()
    require(certificate["sha256"] == digest, "the statement has another sha256")
    context, left, right, goals = read(statement)
    require(certificate["examples"], "no example shows that the assumptions can hold")
    for example in certificate["examples"]:
        numbers = {name: poly(int(example[name])) for name in context.names}
        for p, sign in context.known:
            value = p.put(numbers).get((), 0)
            require(value == 0 or (value > 0 and sign == ">="), "{} does not fit", example)
    context.given([]).accept(goals, proof["sizes"])
    left, right = split(left, proof["left"]), split(right, proof["right"])
    require(sorted(p[0] for p in proof["pairs"]) == [*range(len(right))], "a part is not paired once")
    for points, (number, there, back) in zip(left, proof["pairs"], strict=True):
        for ends in ((points, right[number], there, back), (right[number], points, back, there)):
            known, goals = obligations(context, *ends)
            known.accept(goals, ends[2]["proofs"])
    return describe(statement)


def describe(statement: Any) -> str:
    """Write a statement as text."""
    least, zeros, then = (statement[key] for key in ASSUMED)
    lines = [f"for all integers {', '.join(statement['symbols'])} with"]
    lines += [f"  {p} >= 0" for p in least] + [f"  {p} = 0" for p in zeros]
    lines += [f"and all {t}[{', '.join(shape)}]" for t, shape in statement["inputs"].items()]
    for side, verb in (("left", "the program"), ("right", "computes the same as")):
        lines += [verb]
        for step in statement[side]:
            lines += [f"  {step['tensor']}[{', '.join(step['shape'])}] = 0"]
            for data in step["sums"]:
                product = " * ".join(f"{t}[{', '.join(cell)}]" for t, *cell in data["reads"]) or "1"
                bounds = [f"integer {n}" if e is None else f"{n} < {e}" for n, e in data["indices"]]
                bounds += [f"{p} = 0" for p in data["where"]]
                lines += [f"  {step['tensor']}[{', '.join(data['at'])}] += {product}"]
                lines += [f"    for {', '.join(bounds)}"] * bool(bounds)
    return "\n".join([*lines, *(f"and {p} >= 0" for p in then)])


def main(path: str = "") -> int:
    """Print the statements of a file that are accepted; return 1 at the first obligation that fails."""
    try:
        with open(path, "rb") as file:
            text = file.read(MOST_BYTES + 1)
        require(len(text) <= MOST_BYTES, "the file has more than {} bytes", MOST_BYTES)
        for certificate in json.loads(text, object_pairs_hook=members, parse_float=int)["certificates"]:
            print("accepted:", check(certificate), sep="\n", end="\n\n")
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else f"damaged, {error!r:.200}"
        print("rejected:", " ".join(reason.split()))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
