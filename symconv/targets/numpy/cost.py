"""The cost model: microseconds that a kernel is expected to take in NumPy, on one core in float32.

It is a fold over the kernel's statements with a machine's constants. Only their ratios matter for a
choice. The built-in constants are those of a middling machine, so that generated text is the same
everywhere; ``symconv calibrate`` measures them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod

from symconv.kernel.language import (
    Blocks,
    Buffer,
    Call,
    Do,
    Loop,
    Rows,
    Span,
    Statement,
    Table,
    Transform,
)
from symconv.notation.contraction import Access, Contraction, Size
from symconv.notation.graph import Elementwise, Selection
from symconv.targets.numpy.legal import legalised
from symconv.targets.numpy.products import Product, matrix_product, summed_indices


@dataclass(frozen=True)
class Machine:
    """What a machine takes for the parts of a computation, in microseconds.

    Parameters
    ----------
    call
        A NumPy call on small arrays.
    near, far
        Reading or writing one element, of arrays that stay in the cache, and of others.
    run, inner
        Each contiguous run of a copy, and each row that is multiplied by a number of its own.
    strided
        More for each element that is not next to the one before.
    take
        Looking one element up through a table.
    flop
        A multiplication and addition in a large product of matrices.
    load
        Reading or writing one element of the matrices of a product.
    product
        Each small product of a call for many.
    vector
        A multiplication and addition of a vector with a matrix.
    einsum
        A multiplication and addition that no product of matrices computes.
    fourier
        An element of a transform, for each doubling of its length.
    cache
        How many elements stay in the cache from one statement to the next.
    """

    call: float = 1.0
    near: float = 5.2e-5
    far: float = 1.85e-4
    run: float = 5.5e-3
    inner: float = 0.15
    strided: float = 3.2e-4
    take: float = 1.3e-3
    flop: float = 3e-5
    load: float = 8e-5
    product: float = 4e-2
    vector: float = 8.3e-5
    einsum: float = 2.7e-4
    fourier: float = 5e-4
    cache: int = 1 << 18


MIDDLING = Machine()


def microseconds(call: Call, machine: Machine = MIDDLING) -> float:
    """Return the time that a kernel is expected to take."""
    kernel = legalised(call.kernel)
    held = sum(_elements(b, {}) for b in kernel.with_role("scratch", "zeroed") if _is_fixed(b))
    fold = _Fold({b.tensor.name: b for b in kernel.buffers}, machine, held > machine.cache)
    return fold.statements(kernel.body, {})


def cost_of(machine: Machine = MIDDLING) -> partial[float]:
    """Return the cost model with a machine's constants."""
    return partial(microseconds, machine=machine)


def _is_fixed(buffer: Buffer) -> bool:
    return all(isinstance(size, int) for size in buffer.tensor.shape)


def _elements(buffer: Buffer, letters: Mapping[str, float]) -> float:
    return prod(_value(size, letters) for size in buffer.tensor.shape)


def _value(size: Size, letters: Mapping[str, float]) -> float:
    """Return a size with the mean values of letters."""
    if isinstance(size, int):
        return size
    return sum(
        float(factor) * prod(letters.get(name, 1.0) for name in monomial)
        for monomial, factor in size.terms.items()
    )


class _Fold:
    """A machine, a kernel's buffers, and whether its scratch is too large for the cache."""

    def __init__(self, buffers: Mapping[str, Buffer], machine: Machine, spills: bool) -> None:
        self.buffers, self.machine, self.spills = buffers, machine, spills

    def statements(self, statements: Iterable[Statement], letters: Mapping[str, float]) -> float:
        """Return the time of statements, one after the other."""
        total = 0.0
        for statement in statements:
            if isinstance(statement, Loop):
                count, means = _mean_row(statement.rows, letters)
                inner = {**letters, **dict(zip(statement.letters, means, strict=True))}
                total += count * self.statements(statement.body, inner)
            elif isinstance(statement, Do):
                total += self._do(statement, letters)
        return total

    def _do(self, do: Do, letters: Mapping[str, float]) -> float:
        match do.meaning:
            case Contraction() as contraction:
                return self._contraction(do, contraction, letters)
            case Elementwise() as meaning:
                points = prod(_value(size, letters) for _, size in meaning.extents)
                steps = 1 + int(meaning.expression.count_ops())
                return steps * (self.machine.call + 3 * points * self.machine.near)
            case Selection(maximum=maximum):
                points = prod(_value(size, letters) for _, size in maximum.extents)
                return 3 * self.machine.call + 4 * points * self.machine.near
            case Transform() as transform:
                whole = transform.target if not transform.inverse else transform.source
                size = 2 * prod(_value(n, letters) for n in whole.shape)
                doublings = math.log2(prod(transform.lengths))
                return 3 * self.machine.call + size * doublings * self.machine.fourier

    def _contraction(self, do: Do, c: Contraction, letters: Mapping[str, float]) -> float:
        m = self.machine
        sizes = {name: _value(size, letters) for name, size in c.extents}
        product = matrix_product(c)
        if product is not None:
            return m.call + self._product(product, sizes)
        points = prod(sizes.values())
        if do.hint == "table":
            return m.call + points * m.take
        moved = m.run if do.how == "assign" else 3 * m.run  # read, read and written
        run = moved if len(c.reads) < 2 else m.inner
        reads = sum(self._pass(read, sizes, 0.0) for read in c.reads)
        writes = self._pass(c.target, sizes, 0.0) * (1 if do.how == "assign" else 2)
        writes += max(self._runs(access, sizes) for access in (c.target, *c.reads)) * run
        if summed_indices(c) and len(c.reads) > 1:
            return m.call + points * m.einsum + writes
        return m.call + reads + writes

    def _runs(self, access: Access, sizes: Mapping[str, float]) -> float:
        """Return in how many contiguous runs an access addresses its elements; 0 if in one."""
        if not access.subscripts:
            return 0.0
        elements = prod(
            sizes[n] for n in {v for s in access.subscripts for v in s.variables} & set(sizes)
        )
        run = prod(sizes[name] for name in access.subscripts[-1].variables if name in sizes)
        whole = run >= _value(access.tensor.shape[-1], {})
        return 0.0 if whole else elements / max(run, 1.0)

    def _pass(self, access: Access, sizes: Mapping[str, float], run: float) -> float:
        """Return the time to read or write what an access addresses, once."""
        m = self.machine
        own = {name for s in access.subscripts for name in s.variables if name in sizes}
        elements = prod(sizes[name] for name in own)
        buffer = self.buffers[access.tensor.name]
        outside = buffer.role in ("input", "output") and _elements(buffer, {}) > m.cache
        each = m.far if outside or (self.spills and buffer.role in ("scratch", "zeroed")) else m.near
        last = access.subscripts[-1] if access.subscripts else None
        inner = [name for name in last.variables if name in sizes] if last is not None else []
        steps = [abs(int(last.coefficient(name))) for name in inner] if last is not None else []
        apart = m.strided if steps and min(steps) > 1 else 0.0
        return elements * (each + apart) + self._runs(access, sizes) * run

    def _product(self, product: Product, sizes: Mapping[str, float]) -> float:
        """Return the time of products of matrices, which are slow where they are narrow."""
        m = self.machine
        outer, rows, columns, summed = (
            prod(sizes[name] for name in names)
            for names in (product.outer, product.rows, product.columns, product.summed)
        )
        if min(rows, columns) <= 1:
            return outer * (m.product + max(rows, columns) * summed * m.vector)
        moved = (rows + columns) * summed + 2 * rows * columns
        return outer * (m.product + rows * columns * summed * m.flop + moved * m.load)


def _mean_row(rows: Rows, letters: Mapping[str, float]) -> tuple[float, Sequence[float]]:
    """Return how many rows a loop has, and the mean of each column."""
    match rows:
        case Span(stop=stop, start=start):
            count = _value(stop, letters) - start
            return count, (start + count / 2,)
        case Blocks(stop=stop, size=size):
            whole = _value(stop, letters)
            count = math.ceil(whole / size)
            return count, (whole / 2, whole / count)
        case Table(rows=found):
            columns = list(zip(*found, strict=True))
            return len(found), [sum(column) / len(column) for column in columns]
