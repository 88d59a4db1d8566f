"""The meaning of a kernel: its statements one after the other, on exact numbers or floats.

Every read and write is looked up. A kernel is refused if it reaches outside a buffer, reads what nothing
has written, writes an input or leaves an output unwritten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.errors import KernelError
from symconv.kernel.language import (
    Buffer,
    Call,
    Do,
    Kernel,
    Loop,
    Meaning,
    Statement,
    Transform,
    View,
    at,
    read_by,
    rows_of,
    substitute,
    written_by,
)
from symconv.notation.contraction import Access, Contraction, Program
from symconv.notation.evaluate import Point, cell_at, evaluate, points
from symconv.notation.graph import Elementwise, Graph
from symconv.notation.polynomial import Polynomial

Values = NDArray[Any]
Memory = dict[str, Values]


class Undefined:
    """What stands in a buffer before anything is written."""


UNDEFINED = Undefined()


def run(
    kernel: Kernel, inputs: Mapping[str, Values], letters: Mapping[str, int] | None = None
) -> dict[str, Values]:
    """Run a kernel and return its outputs by name.

    Parameters
    ----------
    kernel
        The kernel.
    inputs
        An array of numbers for each input, by name: anything that adds and multiplies.
    letters
        Values of letters in shapes that no loop binds, such as the batch.

    Raises
    ------
    KernelError
        If a statement reads or writes outside a buffer, reads what is undefined, or writes an input;
        or if an output is not written.
    """
    known = dict(letters or {})
    memory: Memory = {}
    for buffer in kernel.buffers:
        name, shape = buffer.tensor.name, buffer.tensor.shape
        if buffer.role == "input":
            memory[name] = np.asarray(inputs[name], dtype=object)
            if memory[name].shape != tuple(int(at(size, known)) for size in shape):
                raise KernelError(f"{kernel.name}: {name} has another shape: {memory[name].shape}")
        elif buffer.role == "output":
            memory[name] = _fresh(buffer, tuple(int(at(size, known)) for size in shape))
    _run(kernel, memory, known)
    results = {buffer.tensor.name: memory[buffer.tensor.name] for buffer in kernel.outputs}
    for name, array in results.items():
        if any(value is UNDEFINED for value in array.flat):
            raise KernelError(f"{kernel.name}: leaves elements of {name} unwritten")
    return results


def _run(kernel: Kernel, memory: Memory, letters: Mapping[str, int]) -> None:
    """Run a kernel in a memory that holds its inputs and outputs."""
    buffers = {buffer.tensor.name: buffer for buffer in kernel.buffers}
    for statement in kernel.body:
        _statement(statement, kernel, buffers, memory, letters)


def _statement(
    statement: Statement,
    kernel: Kernel,
    buffers: Mapping[str, Buffer],
    memory: Memory,
    letters: Mapping[str, int],
) -> None:
    match statement:
        case Loop():
            for row in rows_of(statement.rows, letters):
                inner = {**letters, **dict(zip(statement.letters, row, strict=True))}
                for each in statement.body:
                    _statement(each, kernel, buffers, memory, inner)
        case Call():
            _call(statement, kernel, buffers, memory, letters)
        case Do(meaning=meaning, how=how):
            placed = substitute(meaning, letters)
            for tensor in (*read_by(placed), written_by(placed)):
                _place(buffers[tensor.name], tensor.sizes, buffers, memory, letters)
            _do(kernel, placed, how, memory)


def _do(kernel: Kernel, meaning: Meaning, how: str, memory: Memory) -> None:
    target = written_by(meaning)
    if kernel.owner(target.name).role in ("input", "constant"):
        raise KernelError(f"{kernel.name}: writes {target.name}, which is read only")
    for name, point in _read_cells(meaning):
        if memory[name][point] is UNDEFINED:
            raise KernelError(f"{kernel.name}: reads {name}{[*point]}, which nothing has written")
    array = memory[target.name]
    for cell, value in _results(kernel, meaning, memory):
        if how == "assign":
            array[cell] = value
        elif array[cell] is UNDEFINED:
            raise KernelError(f"{kernel.name}: adds to {target.name}{[*cell]}, which is undefined")
        else:
            array[cell] = array[cell] + value if how == "add" else max(array[cell], value)


def _place(
    buffer: Buffer,
    sizes: tuple[int, ...],
    buffers: Mapping[str, Buffer],
    memory: Memory,
    letters: Mapping[str, int],
) -> None:
    """Allocate a buffer when it is first used, and anew where its shape changes from row to row."""
    name = buffer.tensor.name
    if buffer.role == "alias":
        owner = buffers[buffer.of]
        own = tuple(int(at(size, letters)) for size in owner.tensor.shape)
        _place(owner, own, buffers, memory, letters)
        if prod(sizes) > prod(own):
            raise KernelError(f"{name} has more elements than {buffer.of}, whose memory it is")
        memory[name] = memory[buffer.of].reshape(-1)[: prod(sizes)].reshape(sizes)
    elif name not in memory or memory[name].shape != sizes:
        memory[name] = _fresh(buffer, sizes)


def _fresh(buffer: Buffer, sizes: tuple[int, ...]) -> Values:
    if buffer.role == "constant":
        return np.array(buffer.values, dtype=object).reshape(sizes)
    array = np.empty(sizes, dtype=object)
    array[...] = 0 if buffer.role == "zeroed" else UNDEFINED
    return array


def _call(
    call: Call,
    caller: Kernel,
    buffers: Mapping[str, Buffer],
    memory: Memory,
    letters: Mapping[str, int],
) -> None:
    """Copy views in, run the kernel, copy its outputs out: what a view that shares memory does."""
    inner: Memory = {}
    parameters = (*call.kernel.inputs, *call.kernel.outputs)
    places: list[tuple[Buffer, View, Values]] = []
    for buffer, view in zip(parameters, call.views, strict=True):
        tensor = view.access.tensor
        sizes = tuple(int(at(size, letters)) for size in tensor.shape)
        _place(buffers[tensor.name], sizes, buffers, memory, letters)
        cells = _cells(view, sizes, letters, call.kernel.name)
        name = buffer.tensor.name
        inner[name] = np.empty(cells.shape, dtype=object)
        for index in np.ndindex(*cells.shape):
            inner[name][index] = memory[tensor.name][cells[index]]
        if buffer.role == "output":
            if caller.owner(tensor.name).role in ("input", "constant"):
                raise KernelError(f"{call.kernel.name}: writes {tensor.name}, which is read only")
            places.append((buffer, view, cells))
    _run(call.kernel, inner, letters)
    for buffer, view, cells in places:
        for index in np.ndindex(*cells.shape):
            memory[view.access.tensor.name][cells[index]] = inner[buffer.tensor.name][index]


def _cells(view: View, sizes: tuple[int, ...], letters: Mapping[str, int], name: str) -> Values:
    """Return the cell of a buffer that each element of a view is."""
    extents = {index: int(at(size, letters)) for index, size in view.extents}
    access = view.access.substitute(letters)
    access = replace(access, tensor=replace(access.tensor, shape=sizes))
    cells = np.empty(tuple(extents.values()), dtype=object)
    for point in points(extents):
        cell = cell_at(access, point)
        if cell is None:
            raise KernelError(f"{name}: is given a view that reaches outside {access.tensor.name}")
        cells[tuple(point.values())] = cell
    return cells


def _read_cells(meaning: Meaning) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Visit what a statement reads."""
    match meaning:
        case Contraction():
            yield from _accessed(meaning.reads, meaning.ranges)
        case Elementwise():
            reads = [a for _, a in meaning.arguments if isinstance(a, Access)]
            yield from _accessed(reads, {name: int(size) for name, size in meaning.extents})
        case Transform():
            yield from ((meaning.source.name, cell) for cell in np.ndindex(*meaning.source.sizes))
        case _:
            yield from _accessed(meaning.maximum.reads, meaning.maximum.ranges)


def _accessed(
    accesses: Sequence[Access], ranges: Mapping[str, int]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    for access in accesses:
        names = {name for subscript in access.subscripts for name in subscript.variables}
        for point in points({name: size for name, size in ranges.items() if name in names}):
            yield access.tensor.name, _inside(access, point)


def _inside(access: Access, point: Point) -> tuple[int, ...]:
    cell = cell_at(access, point)
    if cell is None:
        at_ = ", ".join(f"{name} = {value}" for name, value in point.items())
        raise KernelError(f"a statement reaches outside {access.tensor.name} at {at_}")
    return cell


def _results(kernel: Kernel, meaning: Meaning, memory: Memory) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Visit the elements that a statement computes, and their values, by the notation's evaluator."""
    if isinstance(meaning, Transform):
        yield from _transformed(kernel, meaning, memory)
        return
    step = Program((meaning,)) if isinstance(meaning, Contraction) else meaning
    values = evaluate(Graph((step,)), memory)[written_by(meaning).name]
    if isinstance(meaning, Contraction | Elementwise):
        ranges = {name: int(size) for name, size in meaning.extents}
        cells = {cell for _, cell in _accessed([meaning.target], ranges)}
    else:
        cells = set(np.ndindex(*meaning.target.sizes))
    for cell in sorted(cells):
        yield cell, values[cell]


def _transformed(
    kernel: Kernel, meaning: Transform, memory: Memory
) -> Iterator[tuple[tuple[int, ...], Any]]:
    source = memory[meaning.source.name]
    if any(isinstance(value, Polynomial) for value in source.flat):
        raise KernelError(f"{kernel.name}: a Fourier transform has no value for polynomials")
    axes = tuple(range(-len(meaning.lengths), 0))
    found: Values
    if meaning.inverse:
        found = np.fft.irfftn(source.astype(complex), meaning.lengths, axes)
    else:
        found = np.fft.rfftn(source.astype(float), meaning.lengths, axes)
        found = found.conj() if meaning.conjugate else found
    for cell in np.ndindex(*found.shape):
        yield cell, found[cell]
