"""Kernels as loops in C: each ``Do`` is a nest of them, its indices outermost first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import sympy

from symconv.errors import KernelError
from symconv.kernel.language import (
    Blocks,
    Call,
    Do,
    Extents,
    Kernel,
    Loop,
    Span,
    Statement,
    Table,
    Transform,
    extents_of,
    substitute,
)
from symconv.kernel.rewrite import fresh_name
from symconv.notation.contraction import Access, Contraction, index
from symconv.notation.expression_text import expression_text
from symconv.notation.graph import Elementwise, Selection
from symconv.notation.polynomial import Polynomial
from symconv.targets.c.dialect import C99, FUNCTIONS, WORDS
from symconv.targets.c.nests import Header, Line, nest, outermost, text_lines
from symconv.targets.c.partial_sums import Stretch, partial_sums
from symconv.targets.c.register_tiles import tile
from symconv.targets.c.threads import reads_of, shared, shared_loop
from symconv.targets.c.wording import element_text, loop_over, number_text, size_text, syntax, value_text

STORE = {"assign": "assign", "add": "add", "max": "larger"}


def loops(kernel: Kernel) -> list[Line]:
    """Return a kernel's statements in C, behind the tables that they visit.

    Raises
    ------
    KernelError
        If there is a call, or a Fourier transform.
    """
    writer = _Writer(kernel)
    body = writer.block(kernel.body)
    return [*writer.tables.values(), *body]


class _Writer:
    """Statements while they are written: the names that are taken, and tables."""

    def __init__(self, kernel: Kernel) -> None:
        self.name = kernel.name
        if any(buffer.kind == "complex" for buffer in kernel.buffers):
            raise KernelError(f"{self.name}: C has no Fourier transforms")
        self.taken = WORDS | {buffer.tensor.name for buffer in kernel.buffers}
        self.alone = True  # whether no loop around is shared by threads
        self.table_names: dict[Table, str] = {}
        self.tables: dict[str, str] = {}

    def block(self, statements: Iterable[Statement]) -> list[Line]:
        """Return statements that are in the same loops."""
        lines: list[Line] = []
        for statement in statements:
            match statement:
                case Loop(letters=letters) if not WORDS.isdisjoint(letters):
                    raise KernelError(f"{self.name}: C has another meaning for a letter of {letters}")
                case Loop(letters=letters):
                    own = set(letters) - self.taken
                    self.taken |= own
                    lines += self._loop(statement)
                    self.taken -= own
                case Do():
                    lines += self._do(self._with_own_indices(statement))
                case Call():
                    raise KernelError(f"{self.name}: calls {statement.kernel.name}")
        return lines

    def _loop(self, loop: Loop) -> Sequence[Line]:
        if isinstance(loop.rows, Table):
            return self._visited(loop.rows, loop)
        threads = shared_loop(loop) if self.alone else []
        self.alone = self.alone and not threads
        body = self.block(loop.body)
        self.alone = self.alone or bool(threads)
        first, *others = loop.letters
        match loop.rows:
            case Span(stop=stop, start=start):
                header = loop_over("count", first, start=start, stop=size_text(stop))
                return [*threads, *nest([header], body)]
            case Blocks(stop=stop, size=size):
                end = size_text(stop)
                header = loop_over("blocks", first, stop=end, size=size)
                count = syntax("shorter", letter=others[0], stop=end, first=first, size=size)
                used = re.search(rf"\b{others[0]}\b", "\n".join(text_lines(body)))
                return nest([header], [count, *body] if used else body)

    def _visited(self, table: Table, loop: Loop) -> Sequence[Line]:
        """Visit a table's rows."""
        name = self._table(table)
        row = fresh_name("row", self.taken)
        columns = [
            syntax("column", letter=letter, name=name, row=row, at=at)
            for at, letter in enumerate(loop.letters)
        ]
        header = loop_over("count", row, start=0, stop=len(table.rows))
        lines = nest([header], [*columns, *self.block(loop.body)])
        self.taken.remove(row)
        return lines

    def _table(self, table: Table) -> str:
        """Return the name of a table, once for all loops that visit the same rows.

        A negative number is the one of ``size_t`` that adds up to the same.
        """
        if table not in self.table_names:
            name = self.table_names[table] = fresh_name(table.name, self.taken)
            rows = ", ".join("{" + ", ".join(map(_whole, row)) + "}" for row in table.rows)
            self.tables[name] = syntax("table", name=name, columns=len(table.rows[0]), rows=rows)
        return self.table_names[table]

    def _with_own_indices(self, do: Do) -> Do:
        """Give indices that are named like an array, or a loop's letter, a name of their own."""
        extents = extents_of(do.meaning)
        taken = self.taken | {name for name, _ in extents}
        new = {name: fresh_name(2 * name, taken) for name, _ in extents if name in self.taken}
        return replace(do, meaning=_renamed(do.meaning, new)) if new else do

    def _do(self, do: Do) -> Sequence[Line]:
        match do.meaning:
            case Contraction() as contraction:
                lines = self._contraction(contraction, do.how)
            case Elementwise() as elementwise:
                lines = self._elementwise(elementwise, do.how)
            case Selection(target=target, maximum=maximum):
                return self._selection(target[tuple(_indices(maximum))], maximum)
            case Transform():
                raise KernelError(f"{self.name}: transforms what is not complex")
        if not self.alone:
            return lines
        return [
            *shared(do.meaning.target, reads_of(do.meaning), outermost(lines), do.meaning.extents),
            *lines,
        ]

    def _contraction(self, contraction: Contraction, how: str) -> Sequence[Line]:
        """Add terms up, or find the largest, in a variable; then store it."""
        headers = _headers(contraction.extents)
        in_registers = tile(contraction, how, headers)
        if in_registers is not None:
            return in_registers
        free = [header for name, header in headers.items() if name not in contraction.summed]
        target, number = element_text(contraction.target), number_text(contraction.number)
        term = " * ".join(map(element_text, contraction.reads))
        if not contraction.summed:
            return nest(free, [syntax(STORE[how], target=target, value=_multiple(contraction, term))])
        summed = [headers[name] for name in contraction.summed]
        adds = contraction.reduce == "sum"
        name = self._variable("sum" if adds else "largest", contraction.extents, free)
        value = name if number == "1" else f"{number} * {name}"
        stored = syntax(STORE[how], target=target, value=value)
        start = syntax("variable", name=name, value="0" if adds else "-INFINITY")
        stretch = partial_sums(contraction)
        if stretch is not None:
            before, each = self._partial_sums(contraction, headers, free, stretch)
            step = syntax("add", target=name, value=each)
            return nest(free, [*before, start, *nest([stretch.header], [step]), stored])
        step = syntax("add" if adds else "larger", target=name, value=term or "1")
        return nest(free, [start, *nest(summed, [step]), stored])

    def _partial_sums(
        self,
        contraction: Contraction,
        headers: Mapping[str, Header],
        free: Sequence[Header],
        stretch: Stretch,
    ) -> tuple[list[Line], str]:
        """Return lines that add terms to several sums at once, and one of these sums."""
        along, count = stretch.along, stretch.count
        others = [headers[name] for name in contraction.summed if name != along]
        reads: Sequence[Access] = contraction.reads
        if count < stretch.size:
            first = fresh_name(f"{along}0", self.taken | set(headers))
            others.append(loop_over("by", first, stop=stretch.size, step=count))
            reads = [read.substitute({along: index(first) + index(along)}) for read in reads]
        name = self._variable("sums", contraction.extents, free)
        one = f"{name}[{along}]"
        step = syntax("add", target=one, value=" * ".join(map(element_text, reads)))
        start = syntax("variables", name=name, count=count)
        return [start, *nest([*others, stretch.header], [step])], one

    def _variable(self, name: str, extents: Extents, headers: Sequence[Header]) -> str:
        """Return a name for a variable; outside all loops, no later variable may have it."""
        found = fresh_name(name, self.taken | {index for index, _ in extents})
        if not headers:
            self.taken.add(found)
        return found

    def _selection(self, target: Access, maximum: Contraction) -> Sequence[Line]:
        """Find the largest term; then mark the first that equals it."""
        headers = _headers(maximum.extents)
        free = [header for name, header in headers.items() if name not in maximum.summed]
        summed = [headers[name] for name in maximum.summed]
        term = " * ".join(map(element_text, maximum.reads))
        largest = self._variable("largest", maximum.extents, free)
        waiting = self._variable("waiting", maximum.extents, free)
        marked = element_text(target)
        first = C99.formats["first_attaining"](waiting, term, largest)
        still = C99.formats["still_waiting"](waiting, marked)
        lines = [
            syntax("variable", name=largest, value="-INFINITY"),
            syntax("variable", name=waiting, value=1),
            *nest(summed, [syntax("larger", target=largest, value=term)]),
            *nest(
                summed,
                [
                    syntax("assign", target=marked, value=first),
                    syntax("assign", target=waiting, value=still),
                ],
            ),
        ]
        return nest(free, lines)

    def _elementwise(self, elementwise: Elementwise, how: str) -> Sequence[Line]:
        """Compute an expression's common parts, then its value, at every place."""
        found = elementwise.expression.atoms(sympy.Function, sympy.Max, sympy.Min)
        missing = {function.func.__name__ for function in found} - FUNCTIONS - {"Piecewise"}
        if missing:
            raise KernelError(f"{self.name}: C has no function {', '.join(sorted(missing))}")
        headers = list(_headers(elementwise.extents).values())
        names = {
            symbol: element_text(argument) if isinstance(argument, Access) else value_text(argument)
            for symbol, argument in elementwise.arguments
        }
        fresh = sympy.numbered_symbols("part", real=True)
        parts, (result,) = sympy.cse([elementwise.expression], fresh, order="canonical")
        lines = []
        for symbol, part in parts:
            name = self._variable(symbol.name, elementwise.extents, headers)
            lines.append(syntax("number", name=name, value=expression_text(part, names, C99)))
            names[symbol.name] = name
        value = expression_text(result, names, C99)
        lines.append(syntax(STORE[how], target=element_text(elementwise.target), value=value))
        return nest(headers, lines)


def _indices(contraction: Contraction) -> list[Polynomial]:
    return [Polynomial.variable(name) for name, _ in contraction.extents]


def _renamed(
    meaning: Contraction | Elementwise | Selection | Transform, new: Mapping[str, str]
) -> Contraction | Elementwise | Selection | Transform:
    """Give indices other names."""
    found = substitute(meaning, {old: Polynomial.variable(name) for old, name in new.items()})
    extents = tuple((new.get(name, name), size) for name, size in extents_of(meaning))
    if isinstance(found, Selection):
        return replace(found, maximum=replace(found.maximum, extents=extents))
    return found if isinstance(found, Transform) else replace(found, extents=extents)


def _multiple(contraction: Contraction, term: str) -> str:
    """Write a product's multiple; a part of it as a quotient, which is exact where it can be."""
    number = Fraction(contraction.number)
    if term and number.numerator == 1 < number.denominator:
        return f"{term} / {number_text(number.denominator)}"
    factors = [factor for factor in (number_text(number), term) if factor and factor != "1"]
    return " * ".join(factors) or "1"


def _headers(extents: Extents) -> dict[str, Header]:
    """Return the header of the loop over each index."""
    return {name: loop_over("count", name, start=0, stop=size_text(size)) for name, size in extents}


def _whole(number: int) -> str:
    return str(number) if number >= 0 else f"(size_t){number}"
