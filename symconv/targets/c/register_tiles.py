"""Sums of products in registers: a tile of sums is held while everything that belongs to it is added.

Of the two factors one is read as vectors, the other number by number, where the result has the vectors'
index; or both are read as vectors, whose products are added up at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from symconv.kernel.language import Do
from symconv.lower.runs import LANES, cycles, divisor
from symconv.notation.contraction import Access, Contraction
from symconv.notation.polynomial import Polynomial
from symconv.targets.c.nests import Header, Line, nest
from symconv.targets.c.wording import element_text, loop_over, syntax

MOST_ROWS = 8
MOST_OF_FEW = 14  # rows where fewer would leave the multipliers waiting
SLOWER = 1.15  # times the cycles of the best tile that one of fewer rows may take
SUMS = 24  # vectors that a tile has at most
WHOLE = 8  # rows that are computed in two halves where registers are few


@dataclass(frozen=True)
class Shape:
    """The index of a tile's vectors, that of its rows, and how many of both it has."""

    along: str
    down: str
    rows: int
    columns: int


def tile(contraction: Contraction, how: str, headers: Mapping[str, Header]) -> tuple[Line, ...] | None:
    """Return a sum of products as tiles; None if it has no run that is long enough."""
    if not _fits(contraction, how):
        return None
    return _outer(contraction, how, headers) or _inner(contraction, how, headers)


def tile_shape(contraction: Contraction, how: str) -> tuple[int, int] | None:
    """Return how many rows a tile of sums of products has, and of how many vectors they are."""
    found = _fits(contraction, how) and _along(contraction)
    if not found:
        return None
    along, numbers, vectors = found
    shape = _outer_shape(contraction, along, numbers, vectors)
    return shape.rows, shape.columns


def tile_indices(do: Do) -> tuple[str, ...]:
    """Return the indices of a tile's vectors and rows, which no loop around may take from it."""
    meaning = do.meaning
    found = isinstance(meaning, Contraction) and _fits(meaning, do.how) and _along(meaning)
    if not found or not isinstance(meaning, Contraction):
        return ()
    shape = _outer_shape(meaning, *found)
    return shape.along, shape.down


def _fits(contraction: Contraction, how: str) -> bool:
    """Whether it is a sum of plain products, of fixed sizes, that no index goes through backwards."""
    if contraction.reduce != "sum" or len(contraction.reads) != 2 or contraction.number != 1:
        return False
    sized = all(isinstance(size, int) for _, size in contraction.extents)
    if not contraction.summed or how not in ("assign", "add") or not sized:
        return False
    return not any(_turned(access) for access in (contraction.target, *contraction.reads))


def _turned(access: Access) -> bool:
    """Whether an index moves an access backwards: strides are sizes, which are not negative."""
    return any(s.coefficient(name) < 0 for s in access.subscripts for name in s.variables)


def neighbours(access: Access) -> list[str]:
    """Return the indices along which neighbours are read, or written."""
    if not access.subscripts:
        return []
    *others, last = access.subscripts
    return [
        name
        for name in last.variables
        if last.coefficient(name) == 1 and not any(name in s.variables for s in others)
    ]


def has(access: Access, name: str) -> bool:
    """Whether an access depends on an index."""
    return any(name in subscript.variables for subscript in access.subscripts)


def _outer(contraction: Contraction, how: str, headers: Mapping[str, Header]) -> tuple[Line, ...] | None:
    """Return a tile of sums along a run of the result: numbers times vectors."""
    found = _along(contraction)
    if found is None:
        return None
    along, numbers, vectors = found
    shape = _outer_shape(contraction, along, numbers, vectors)
    return _outer_lines(contraction, how, headers, shape, numbers, vectors)


def _along(contraction: Contraction) -> tuple[str, Access, Access] | None:
    """Return the index of a run of the result, what is read number by number, and as vectors."""
    for vectors, numbers in (contraction.reads, contraction.reads[::-1]):
        for along in neighbours(contraction.target):
            if along not in contraction.ranges or contraction.ranges[along] % LANES:
                continue
            if along in neighbours(vectors) and not has(numbers, along):
                return along, numbers, vectors
    return None


def _outer_shape(contraction: Contraction, along: str, numbers: Access, vectors: Access) -> Shape:
    """Return how many rows a tile has, and of how many vectors they are."""
    ranges, target = contraction.ranges, contraction.target
    lengths = ranges[along] // LANES
    near = neighbours(numbers)
    shapes = [Shape(along, "", 1, divisor(lengths, MOST_ROWS))]
    for name in ranges:
        if name == along or not (has(target, name) and has(numbers, name)) or has(vectors, name):
            continue
        for most in (MOST_ROWS, MOST_OF_FEW):
            rows = divisor(ranges[name], most)
            columns = 3 if rows == WHOLE else min(MOST_ROWS, SUMS // rows)
            shapes.append(Shape(along, name, rows, divisor(lengths, columns)))
    shapes = [shape for shape in shapes if shape.rows > 1] or shapes[:1]
    least = min(cycles(shape.rows, shape.columns) for shape in shapes)
    usual = [s for s in shapes if s.rows <= MOST_ROWS and cycles(s.rows, s.columns) < SLOWER * least]
    return max(usual or shapes, key=lambda s: (s.rows, s.down in near))


def _counts(rows: int, columns: int) -> tuple[str, str]:
    """Write how many rows and vectors a tile has: half of one where registers are few."""
    if rows == WHOLE:
        return "ROWS", str(columns)
    many = rows * columns > SUMS // 2 and columns % 2 == 0
    return str(rows), f"VECTORS({columns})" if many else str(columns)


def _outer_lines(
    contraction: Contraction,
    how: str,
    headers: Mapping[str, Header],
    shape: Shape,
    numbers: Access,
    vectors: Access,
) -> tuple[Line, ...]:
    target, ranges = contraction.target, contraction.ranges
    rows, columns = _counts(shape.rows, shape.columns)
    whole = shape.down and rows != "ROWS" and ranges[shape.down] == shape.rows
    own = {shape.down: 0} if whole else {}
    step = syntax(
        "outer",
        numbers=element_text(numbers.substitute(own)),
        stride=_stride(numbers, shape.down),
        row=element_text(vectors),
        rows=rows,
        columns=columns,
    )
    stored = syntax(
        "store" if how == "assign" else "add_tile",
        target=element_text(target.substitute(own)),
        stride=_stride(target, shape.down),
        rows=rows,
        columns=columns,
    )
    summed = [headers[name] for name in contraction.summed]
    held = syntax("tile", rows=rows, columns=columns)
    clear = syntax("clear_tile", rows=rows, columns=columns)
    lines: Sequence[Line] = [held, clear, *nest(summed, [step]), stored]
    if shape.down and not whole:
        lines = nest([loop_over("by", shape.down, stop=ranges[shape.down], step=rows)], lines)
    across = loop_over("by_vectors", shape.along, stop=ranges[shape.along], columns=columns)
    free = [
        header
        for name, header in headers.items()
        if name not in (*contraction.summed, shape.along, shape.down)
    ]
    return nest([across, *free], lines)


def _inner(contraction: Contraction, how: str, headers: Mapping[str, Header]) -> tuple[Line, ...] | None:
    """Return a tile of sums over a run: vectors times vectors, whose lanes are added up."""
    first, second = contraction.reads
    for along in contraction.summed:
        whole = contraction.ranges[along] % LANES == 0
        if whole and along in neighbours(first) and along in neighbours(second):
            return _inner_lines(contraction, how, headers, along)
    return None


def _inner_lines(
    contraction: Contraction, how: str, headers: Mapping[str, Header], along: str
) -> tuple[Line, ...]:
    ranges, target = contraction.ranges, contraction.target
    first, second = contraction.reads
    shown = [name for name in ranges if has(target, name)]
    downs = [n for n in shown if has(first, n) and not has(second, n) and ranges[n] % 4 == 0]
    down = max(downs, key=lambda name: ranges[name], default="")
    rows = 1 if not down else WHOLE if ranges[down] % WHOLE == 0 else 4
    most = 3 if rows == WHOLE else min(MOST_ROWS, SUMS // rows)
    acrosses = {
        name: divisor(ranges[name], most) for name in shown if has(second, name) and not has(first, name)
    }
    across = max(acrosses, key=lambda name: acrosses[name], default="")
    columns = acrosses.get(across, 1)
    rows_text, columns_text = _counts(rows, columns)
    start = {along: 0}
    others = [name for name in contraction.summed if name != along]
    step = syntax(
        "inner",
        target=element_text(target),
        down=_stride(target, down),
        across=_stride(target, across),
        add=int(how == "add" or bool(others)),
        first=element_text(first.substitute(start)),
        first_down=_stride(first, down),
        second=element_text(second.substitute(start)),
        second_across=_stride(second, across),
        count=ranges[along],
        rows=rows_text,
        columns=columns_text,
    )
    by = {down: rows_text, across: columns_text}
    by.pop("", None)
    free = [
        loop_over("by", name, stop=ranges[name], step=by[name]) if name in by else header
        for name, header in headers.items()
        if name in shown
    ]
    lines: list[Line] = []
    if others and how == "assign":
        plain = [headers[name] for name in headers if name in shown]
        lines += nest(plain, [syntax("assign", target=element_text(target), value=0)])
    return (*lines, *nest([*(headers[name] for name in others), *free], [step]))


def _stride(access: Access, name: str) -> str:
    """Return how many numbers an index moves an access by."""
    if not name:
        return "0"
    total = Polynomial.lift(0)
    for place, subscript in enumerate(access.subscripts):
        inner = prod(access.tensor.sizes[place + 1 :])
        total = total + subscript.coefficient(name) * inner
    return str(int(total.constant))
