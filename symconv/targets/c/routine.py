"""A kernel as a function in C: its arrays, and where its scratch lies in the workspace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod

from symconv.errors import KernelError
from symconv.kernel.language import Buffer, Kernel, at, largest_letters
from symconv.kernel.rewrite import fresh_name, with_views
from symconv.kernel.simplify import simplified
from symconv.notation.polynomial import Polynomial
from symconv.targets.c.dialect import WORDS
from symconv.targets.c.loops import loops
from symconv.targets.c.nests import INDENT, text_lines
from symconv.targets.c.wording import brackets, syntax, values_text

ALIGNED = 16  # each scratch array starts at a multiple of this many elements


def routine(kernel: Kernel, name: str) -> tuple[str, int]:
    """Return a function in C99 that computes a kernel, and how many elements of workspace it needs.

    It takes the kernel's inputs, its outputs, and the workspace if it needs one. ``real`` is the type of
    a number; ``square``, ``sign``, ``larger`` and ``is_nan`` are functions of such numbers. The file
    includes ``math.h``, ``stddef.h`` and ``string.h``. Nothing is allocated, and nothing is kept from
    call to call.

    Raises
    ------
    KernelError
        If the kernel has a Fourier transform, a function that C lacks, or a batch of any size.

    Examples
    --------
    >>> from symconv import Linear
    >>> from symconv.targets.numpy.plan import plan_layer
    >>> print(routine(plan_layer(Linear((4, 3), 2, bias=False)).forward.kernel, "forward")[0])
    void forward(const real x[restrict 4][3],
        const real weight[restrict 2][3],
        real y[restrict 4][2]) {
        for (size_t n = 0; n < 4; n++)
            for (size_t o = 0; o < 2; o++) {
                real sum = 0;
                for (size_t c = 0; c < 3; c++)
                    sum += x[n][c] * weight[o][c];
                y[n][o] = sum;
            }
    }
    <BLANKLINE>
    """
    whole = _with_own_names(simplified(kernel))
    largest = largest_letters(whole.body)
    shapes = {buffer.tensor.name: _shape(buffer, largest) for buffer in whole.buffers}
    lines = [_constant(buffer, shapes[buffer.tensor.name]) for buffer in whole.with_role("constant")]
    size = 0
    for buffer in whole.with_role("scratch", "zeroed"):
        shape = shapes[buffer.tensor.name]
        lines += _placed(buffer, shape, size)
        size += -(-prod(shape) // ALIGNED) * ALIGNED
    parameters = [_parameter("input", b, shapes[b.tensor.name]) for b in whole.inputs]
    parameters += [_parameter("output", b, shapes[b.tensor.name]) for b in whole.outputs]
    if size:
        parameters.append(syntax("output", name="workspace", first=size, inner=""))
    header = syntax("function", name=name, parameters=f",\n{INDENT}".join(parameters))
    body = text_lines([*lines, *loops(whole)], 1)
    return "\n".join([f"{header} {{", *body, "}", ""]), size


def _with_own_names(kernel: Kernel) -> Kernel:
    """Return a kernel none of whose arrays has a name that means something else in C."""
    names = {buffer.tensor.name for buffer in kernel.buffers}
    taken = names | WORDS
    new = {name: fresh_name(f"{name}_", taken) for name in sorted(names & WORDS)}
    buffers = tuple(
        replace(b, tensor=replace(b.tensor, name=new.get(b.tensor.name, b.tensor.name)))
        for b in kernel.buffers
    )
    body = tuple(with_views(statement, {}, new) for statement in kernel.body)
    return replace(kernel, buffers=buffers, body=body)


def _shape(buffer: Buffer, largest: Mapping[str, int]) -> tuple[int, ...]:
    """Return a buffer's sizes, the largest where they change from row to row; a number has one."""
    found = [at(size, largest) for size in buffer.tensor.shape]
    if any(isinstance(size, Polynomial) for size in found):
        shape = ", ".join(map(str, found))
        raise KernelError(f"{buffer.tensor.name}: C needs numbers for its shape ({shape})")
    return tuple(map(int, found)) or (1,)


def _parameter(macro: str, buffer: Buffer, shape: tuple[int, ...]) -> str:
    return syntax(macro, name=buffer.tensor.name, first=shape[0], inner=brackets(shape[1:]))


def _constant(buffer: Buffer, shape: tuple[int, ...]) -> str:
    values = values_text(buffer)
    return syntax("constant", name=buffer.tensor.name, shape=brackets(shape), values=values)


def _placed(buffer: Buffer, shape: tuple[int, ...], offset: int) -> list[str]:
    """Return where scratch lies; what is zero at first is cleared by each call."""
    name, inner = buffer.tensor.name, brackets(shape[1:])
    macro = "place" if inner else "row"
    lines = [syntax(macro, name=name, inner=inner, offset=offset)]
    if buffer.role == "zeroed":
        lines.append(syntax("clear", name=name, count=prod(shape)))
    return lines
