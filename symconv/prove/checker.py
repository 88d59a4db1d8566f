"""Check certificates: ``python checker.py FILE`` prints the statements it accepts, or what fails first.

A statement says that two programs compute the same tensor, for all integers (the symbols) that satisfy
some assumptions, whatever the inputs hold. Each step of a program computes a tensor, zero at first, by
sums: at every integer point of a box that meets conditions, a product of tensors, read at polynomials
of the indices, is added where the target is written; outside a tensor reads are zero, writes dropped.
Computed tensors replaced by what computes them (`flatten`), a program is points with a product and a
target each. Two are equal if their points can be paired so that pairs agree in both. A certificate has
that pairing, there and back, with reasons for all that must hold (`obligations`), by four rules:
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

NAME = r"[A-Za-zαβγδεκρστ][A-Za-z0-9_]*"
FACTORS = rf"(?:[0-9]{{1,12}}|{NAME}'*)(?:\*(?:[0-9]{{1,12}}|{NAME}'*)){{0,11}}"
POLYNOMIAL = re.compile(rf"-?{FACTORS}( [+-] {FACTORS})*")
TERM = re.compile(rf"(-?) ?({FACTORS})")
MOST_BYTES, MOST_WORK = 4_000_000, 1_000_000
Goal = tuple["Polynomial", str]  # that a polynomial is "=" or ">=" 0


def require(holds: object, reason: str, *values: object) -> None:
    """Reject the certificate unless a condition holds."""
    if not holds:
        raise ValueError(reason.format(*(f"{value!s:.200}" for value in values)))


def _spend(work: int) -> None:
    Polynomial.work += work
    require(Polynomial.work < MOST_WORK, "the certificate is too large to check")


class Polynomial(dict[tuple[str, ...], int]):
    """An integer polynomial: the factor of each monomial."""

    work = 0

    def __init__(self, terms: Sequence[tuple[tuple[str, ...], int]]) -> None:
        _spend(len(terms))
        for monomial, factor in terms:
            if total := self.pop(monomial, 0) + factor:
                self[monomial] = total

    def __add__(self, other: Polynomial) -> Polynomial:
        return Polynomial([*self.items(), *other.items()])

    def __sub__(self, other: Polynomial) -> Polynomial:
        return Polynomial([*self.items(), *((names, -factor) for names, factor in other.items())])

    def __mul__(self, other: Polynomial) -> Polynomial:
        _spend(len(self) * len(other))
        terms = [(tuple(sorted(a + b)), m * n) for a, m in self.items() for b, n in other.items()]
        require(all(len(a) < 13 and abs(n) < 10**15 for a, n in terms), "too large a degree or factor")
        return Polynomial(terms)

    def __str__(self) -> str:
        return " + ".join("*".join([str(factor), *names]) for names, factor in self.items())

    def put(self, values: dict[str, Polynomial]) -> Polynomial:
        """Put values for names."""
        total: list[Any] = []
        for names, factor in self.items():
            rest = [(tuple(name for name in names if name not in values), factor)]
            new = [values[name] for name in names if name in values]
            total += prod(new, start=Polynomial(rest)).items() if new else rest
        return Polynomial(total)


def _poly(value: int | str) -> Polynomial:
    return Polynomial([((value,), 1)] if isinstance(value, str) else [((), value)])


def parse(text: Any, names: Sequence[str]) -> Polynomial:
    """Read a polynomial in some names, such as ``s*p + 2*d - 1``."""
    require(POLYNOMIAL.fullmatch(str(text)), "{} is no polynomial", text)
    terms = []
    for sign, product in TERM.findall(str(text)):
        numbers, letters = ([f for f in product.split("*") if f.isdigit() is d] for d in (True, False))
        terms.append((tuple(sorted(letters)), prod(map(int, numbers), start=-1 if sign else 1)))
    _spend(len(names))
    require({n for monomial, _ in terms for n in monomial} <= {*names}, "{} has unknown names", text)
    return Polynomial(terms)


def name_new(names: Iterable[Any], taken: list[str], allowed: str = NAME) -> None:
    """Add names to those taken, each of which nothing has yet."""
    for name in names:
        _spend(len(taken))
        require(re.fullmatch(allowed, name) and name not in taken, "{} is no new name", name)
        taken.append(name)


def within(at: Sequence[Polynomial], sizes: Sequence[Polynomial]) -> list[Goal]:
    """Return the conditions 0 <= subscript < size."""
    return [g for p, m in zip(at, sizes, strict=True) for g in ((p, ">="), (m - p - _poly(1), ">="))]


@dataclass
class Points:
    """Integer points: their names, what is known of each, where it is written and what it reads."""

    names: list[str]  # the symbols, then the indices
    known: list[Goal]  # of the symbols, then what makes it one of the points
    cells: list[tuple[str, list[Polynomial]]]  # the target's, called "", then those of what is read

    def given(self, goals: list[Goal], names: Sequence[str] = ()) -> Points:
        """Return those of the points, with more indices, of which more holds."""
        _spend(len(self.known) + len(self.cells))
        return replace(self, names=[*self.names, *names], known=self.known + goals)

    def inlined(self, context: Points, cell: list[Polynomial], inner: Points) -> Points:
        """Return these points with those of a sum that computes what they read at a cell, primed."""
        primes = "'" * (1 + max(name.count("'") for name in ["", *self.names]))
        new = {name: _poly(name + primes) for name in inner.names[len(context.names) :]}
        goals = [(p.put(new), sign) for p, sign in inner.known[len(context.known) :]]
        goals += [(a - b.put(new), "=") for a, b in zip(cell, inner.cells[0][1], strict=True)]
        reads = [(tensor, [p.put(new) for p in at]) for tensor, at in inner.cells[1:]]
        return replace(self.given(goals, [name + primes for name in new]), cells=self.cells + reads)

    def fact(self, text: Any, sign: str) -> Polynomial:
        """Read a polynomial that is known to be = 0 or >= 0."""
        _spend(len(self.known))
        goal = parse(text, self.names)
        require((goal, sign) in self.known, "{} {} 0 is not known", text, sign)
        return goal

    def accept(self, goals: list[Goal], proofs: Any) -> None:
        """Accept that polynomials are = 0 or >= 0, which is known from then on."""
        for (goal, sign), proof in zip(goals, proofs, strict=True):
            # null for what is known, or c - 1, products of what is >= 0, and zeros with multipliers,
            # which together are c·goal, or for a bound c·goal + c - 1
            _spend(len(self.known))
            if proof is None and goal and (goal, sign) in self.known:
                continue
            rest, products, zeros = ("0", [], []) if proof is None else proof
            total = goal + self.fact(rest, ">=") * (goal + _poly(1) if sign == ">=" else goal)
            for zero, multiplier in zeros:
                total = total - self.fact(zero, "=") * parse(multiplier, self.names)
            for count, *factors in products:
                require(type(count) is int and count > 0 and sign == ">=", "{} is not positive", count)
                total = total - prod((self.fact(p, ">=") for p in factors), start=_poly(count))
            require(not total, "it does not follow that {} {} 0", goal, sign)
            self.known.append((goal, sign))

    def divide(self, q: str, r: str, of: str, by: str) -> tuple[Polynomial, Polynomial]:
        """Bring in the quotient and the remainder of x by m >= 1, under new names; return x and m."""
        x, m = parse(of, self.names), parse(by, self.names)
        self.accept([(m - _poly(1), ">=")], [None])
        name_new([q, r], self.names)
        self.known += [(x - m * _poly(q) - _poly(r), "="), *within([_poly(r)], [m])]
        return x, m


def flatten(program: Any, shapes: dict[str, Any], context: Points) -> tuple[list[Points], Any]:
    """Return a program as sums over its inputs, and the shape of what it computes."""
    symbols, computed = context.names, dict[str, list[Points]]()
    name_new([*shapes, *(step["tensor"] for step in program)], [], f"(∂E/∂)?{NAME}")
    for step in program:
        sizes, parts = [parse(size, symbols) for size in step["shape"]], list[Points]()
        for data in step["sums"]:
            names = [*symbols]
            name_new((name for name, _ in data["indices"]), names)
            at, where = ([parse(p, names) for p in data[key]] for key in ("at", "where"))
            goals = within(at, sizes) + [(p, "=") for p in where]
            for name, extent in data["indices"]:
                goals += [] if extent is None else within([_poly(name)], [parse(extent, symbols)])
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
    Polynomial.work = 0
    name_new(statement["symbols"], names := list[str]())
    least, zeros, then = ([parse(p, names) for p in statement[k]] for k in (">= 0", "= 0", "then >= 0"))
    context = Points(names, [(p, ">=") for p in [_poly(0), *least]] + [(p, "=") for p in zeros], [])
    shapes = {t: [parse(size, names) for size in shape] for t, shape in statement["inputs"].items()}
    (left, ours), (right, theirs) = (flatten(statement[s], shapes, context) for s in ("left", "right"))
    extents = [e for step in statement["left"] for data in step["sums"] for _, e in data["indices"]]
    require(None not in extents, "the left side's sums have no end")
    goals = [(a - b, "=") for a, b in zip(ours, theirs, strict=True)]
    return context, left, right, goals + [(p, ">=") for p in then]


def split(parts: list[Points], cases: Any) -> list[Points]:
    """Split parts in two, each in turn: where a polynomial is >= 0, and, as a new part, where not."""
    for number, text in cases:
        require(type(number) is int and 0 <= number < len(parts), "there is no part {}", number)
        part, side = parts[number], parse(text, parts[number].names)
        parts.append(part.given([(_poly(-1) - side, ">=")]))
        parts[number] = part.given([(side, ">=")])
    return parts


def obligations(context: Points, source: Points, target: Points, there: Any, back: Any) -> Any:
    """Return what is known at a source point, and what makes the maps there and back a pairing."""
    known, other, symbols = source.given([]), target.given([]), len(context.names)
    for division in there["divide"]:
        known.divide(*division)
    divisions = [(q, r, *other.divide(q, r, of, by)) for q, r, of, by in back["divide"]]
    image = {name: parse(there["values"][name], known.names) for name in other.names[symbols:]}
    image = {name: value for name, value in image.items() if value != _poly(name)}
    goals = [(goal.put(image), sign) for goal, sign in target.known[len(context.known) :]]
    cells = [sorted(points.cells, key=lambda read: read[0]) for points in (source, target)]
    for (tensor, ours), (its, theirs) in zip(*cells, strict=True):
        require(tensor == its, "the products have different tensors, {} and {}", tensor, its)
        goals += [(a - b.put(image), "=") for a, b in zip(ours, theirs, strict=True)]
    for q, r, x, m in divisions:
        goals.append(((x - m * _poly(q) - _poly(r)).put(image), "="))
        goals += within([_poly(r).put(image)], [m.put(image)])
    for name in source.names[symbols:]:
        goals.append((parse(back["values"][name], other.names).put(image) - _poly(name), "="))
    return known, goals


def check(certificate: Any) -> str:
    """Return the statement that a certificate proves, in words; raise an exception if it does not."""
    statement, proof = certificate["statement"], certificate["proof"]
    digest = sha256(json.dumps(statement, sort_keys=True).encode()).hexdigest()
    require(certificate["sha256"] == digest, "the statement has another sha256")
    context, left, right, goals = read(statement)
    require(certificate["examples"], "no example shows that the assumptions can hold")
    for example in certificate["examples"]:
        numbers = {name: _poly(int(example[name])) for name in context.names}
        values = [(p.put(numbers).get((), 0), sign) for p, sign in context.known]
        require(all(v == 0 or (v > 0 and s == ">=") for v, s in values), "{} does not fit", example)
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
    lines = [f"for all integers {', '.join(statement['symbols'])} with"]
    lines += [f"  {p} >= 0" for p in statement[">= 0"]] + [f"  {p} = 0" for p in statement["= 0"]]
    lines += [f"and all {t}[{', '.join(shape)}]" for t, shape in statement["inputs"].items()]
    for side, verb in (("left", "the program"), ("right", "computes the same as")):
        lines += [f"{verb} (reads outside a tensor are 0, writes outside it are dropped)"]
        for step in statement[side]:
            lines += [f"  {step['tensor']}[{', '.join(step['shape'])}] = 0"]
            for data in step["sums"]:
                product = " * ".join(f"{t}[{', '.join(cell)}]" for t, *cell in data["reads"]) or "1"
                bounds = [f"integer {n}" if e is None else f"0 <= {n} < {e}" for n, e in data["indices"]]
                lines += [f"  {step['tensor']}[{', '.join(data['at'])}] += {product}"]
                lines += ["    for " + ", ".join(bounds + [f"{p} = 0" for p in data["where"]])]
    return "\n".join([*lines, *(f"and so {p} >= 0" for p in statement["then >= 0"])])


def _members(pairs: list[tuple[str, Any]]) -> Any:
    return dict(pairs) if len(dict(pairs)) == len(pairs) else require(False, "a name is there twice")


def main(path: str = "") -> int:
    """Print the statements of a file that are accepted; return 1 at the first obligation that fails."""
    try:
        with open(path, "rb") as file:
            text = file.read(MOST_BYTES + 1)
        require(len(text) <= MOST_BYTES, "the file has more than {} bytes", MOST_BYTES)
        data = json.loads(text, object_pairs_hook=_members, parse_float=int, parse_constant=int)
        require(data["certificates"], "the file has no certificate")
        for certificate in data["certificates"]:
            name_new([certificate["name"]], [], "[A-Za-z0-9′ ]{1,40}")
            print(f"accepted {certificate['name']}: {check(certificate)}\n")
    except Exception as error:  # whatever is wrong with a file, it is not accepted
        print("rejected:", " ".join(f"{type(error).__name__}: {error}".split())[:500])
        return 1
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]  # the stream is text
    sys.exit(main(*sys.argv[1:2]))
