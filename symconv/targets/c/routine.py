"""A kernel as a function in C: parameters, arrays, and where scratch lies in the workspace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from types import MappingProxyType

from symconv.errors import KernelError
from symconv.kernel.hoist import hoisted
from symconv.kernel.language import Buffer, Kernel, at, largest_letters, tensors_read, tensors_written
from symconv.kernel.rewrite import fresh_name, with_views
from symconv.kernel.simplify import simplified
from symconv.lower.runs import rounded_up
from symconv.notation.polynomial import Polynomial
from symconv.targets.c.dialect import CPP_KEYWORDS, KEYWORDS, WORDS
from symconv.targets.c.loops import loops
from symconv.targets.c.nests import INDENT, text_lines
from symconv.targets.c.register_tiles import tile_indices
from symconv.targets.c.wording import brackets, syntax, values_text

ALIGNED = 16  # each scratch array starts at a multiple of this many elements
WORKSPACE = "workspace"
STRUCT = "const struct "  # how a struct of pointers is declared


@dataclass(frozen=True)
class Routine:
    """A function in C.

    Attributes
    ----------
    name
        What it is called.
    inputs, outputs
        The arrays that it takes, and how many numbers each has, or how else it is declared; the
        workspace comes after them.
    workspace
        How many numbers it needs for its scratch.
    body
        The lines of its body.
    in_place
        Whether an array that it writes may be one that it reads.
    """

    name: str
    inputs: Mapping[str, int | str]
    outputs: Mapping[str, int | str]
    workspace: int
    body: tuple[str, ...]
    in_place: bool = False

    def head(self, prefix: str = "") -> str:
        """Return the function's head; with a file's prefix, that of a header, also for C++."""
        real = f"{prefix}_REAL" if prefix else "real"
        least = f"{prefix}_LEAST " if prefix else "static "
        inside = least if prefix or self.in_place else f"restrict {least}"
        sizes = {**self.inputs, **self.outputs}
        names = {name: _shown(name) if prefix else name for name in sizes}
        arrays = [
            size.format(real=real)
            if isinstance(size, str)
            else f"{'const ' if name in self.inputs else ''}{real} {names[name]}[{inside}{size}]"
            for name, size in sizes.items()
        ]
        if self.workspace:
            # not restricted: what lies in it is, one by one
            arrays.append(f"{real} {WORKSPACE}[{least}{self.workspace}]")
        return function_head(f"void {self.name}", arrays)

    def text(self, static: bool = False) -> str:
        """Return the whole function; one that others call checks what it is given, if asked to."""
        if static:
            return "\n".join([f"static {self.head()}", "{", *self.body, "}"])
        return "\n".join([self.head(), "{", *text_lines(self._checks(), 1), *self.body, "}"])

    def _checks(self) -> list[str]:
        sizes = {**self.inputs, **self.outputs}
        arrays = [name for name, size in sizes.items() if isinstance(size, int)]
        structs = [n for n, size in sizes.items() if isinstance(size, str) and STRUCT in size]
        arrays += [WORKSPACE] if self.workspace else []
        given = [syntax("given", arrays=", ".join(arrays))] if arrays else []
        return [*given, *(syntax("each_given", struct=name) for name in structs)]


def _shown(name: str) -> str:
    """Return what a header calls a parameter: no keyword of C or C++."""
    short = name.removesuffix("_data")
    return f"{short}_" if short in KEYWORDS | CPP_KEYWORDS else short


def function_head(name: str, parameters: list[str]) -> str:
    """Return a head on one line, or with a parameter on each."""
    line = f"{name}({', '.join(parameters)})"
    if len(line) <= 100:
        return line
    joined = f",\n{INDENT}".join(parameters)
    return f"{name}(\n{INDENT}{joined})"


def routine(kernel: Kernel, name: str, symbols: Mapping[str, str] = MappingProxyType({})) -> Routine:
    """Return a function in C99 that computes a kernel.

    It takes the kernel's inputs, its outputs, and the workspace if it needs one. ``real`` is the type of
    a number; ``square``, ``sign``, ``larger`` and ``is_nan`` are functions of such numbers; ``GIVEN``
    checks arrays, or does nothing. The file includes ``math.h``, ``stddef.h`` and ``string.h``. Nothing
    is allocated, and nothing is kept from call to call.

    Parameters
    ----------
    kernel
        The kernel.
    name
        What the function is called.
    symbols
        What arrays of several axes are called inside the function: their symbols in formulas.

    Raises
    ------
    KernelError
        If the kernel has a Fourier transform, a function that C lacks, or a batch of any size.

    Examples
    --------
    >>> from symconv import Linear
    >>> from symconv.targets.numpy.plan import plan_layer
    >>> kernel = plan_layer(Linear((4, 3), 2, bias=False)).forward.kernel
    >>> print(routine(kernel, "forward", {"x": "X", "weight": "W", "y": "O"}).text())
    void forward(
        const real x_data[restrict static 12],
        const real weight_data[restrict static 6],
        real y_data[restrict static 8])
    {
        GIVEN(x_data, weight_data, y_data);
        const real (*const X)[3] = (const real (*)[3])x_data;
        const real (*const W)[3] = (const real (*)[3])weight_data;
        real (*const O)[2] = (real (*)[2])y_data;
        for (size_t n = 0; n < 4; n++)
            for (size_t o = 0; o < 2; o++) {
                real sum = 0;
                for (size_t c = 0; c < 3; c++)
                    sum += X[n][c] * W[o][c];
                O[n][o] = sum;
            }
    }
    """
    whole = simplified(kernel)
    given = [buffer.tensor.name for buffer in (*whole.inputs, *whole.outputs)]
    parameters = {name: _parameter_name(whole.buffer(name)) for name in given}
    named = _with_own_names(whole, symbols, set(parameters.values()))
    whole = hoisted(named, WORDS, tile_indices)
    largest = largest_letters(whole.body)
    shapes = {buffer.tensor.name: _shape(buffer, largest) for buffer in whole.buffers}
    used = {t.name for s in whole.body for t in (*tensors_read(s), *tensors_written(s))}
    lines = [_constant(buffer, shapes[buffer.tensor.name]) for buffer in whole.with_role("constant")]
    sizes: dict[str, dict[str, int]] = {"input": {}, "output": {}}
    for old, buffer in zip(given, (*whole.inputs, *whole.outputs), strict=True):
        own, parameter = buffer.tensor.name, parameters[old]
        sizes[buffer.role][parameter] = prod(shapes[own])
        if own not in used:
            lines.append(syntax("unused", name=parameter))
        elif len(buffer.tensor.shape) > 1:
            macro = "seen" if buffer.role == "input" else "seen_output"
            inner = brackets(shapes[own][1:])
            lines.append(syntax(macro, name=own, inner=inner, parameter=parameter))
    size = 0
    for buffer in whole.with_role("scratch", "zeroed"):
        shape = shapes[buffer.tensor.name]
        if not buffer.tensor.shape:
            kind = "int" if buffer.kind == "truth" else "real"
            lines.append(syntax("local", kind=kind, name=buffer.tensor.name))
            continue
        lines += _placed(buffer, shape, size)
        size += rounded_up(prod(shape), ALIGNED)
    body = text_lines([*lines, *loops(whole)], 1)
    return Routine(name, sizes["input"], sizes["output"], size, tuple(body))


def _parameter_name(buffer: Buffer) -> str:
    """Return what a buffer's parameter is called; its axes are seen under another name."""
    name = buffer.tensor.name
    if len(buffer.tensor.shape) > 1:
        return f"{name}_data"
    return f"{name}_" if name in WORDS else name


def _with_own_names(kernel: Kernel, symbols: Mapping[str, str], parameters: set[str]) -> Kernel:
    """Return a kernel whose arrays have names that mean nothing else in C.

    Inputs and outputs of several axes have their symbols in formulas.
    """
    taken = set(WORDS)
    new: dict[str, str] = {}
    for buffer in kernel.buffers:
        name = buffer.tensor.name
        given = buffer.role in ("input", "output")
        if given and len(buffer.tensor.shape) < 2:
            element = "" if buffer.tensor.shape else "[0]"  # a number is the only one of an array
            new[name] = _parameter_name(buffer) + element
        else:
            symbol = symbols.get(name, name) if given else name
            new[name] = fresh_name(symbol if symbol not in WORDS else f"{symbol}_", taken | parameters)
        taken.add(new[name])
    buffers = tuple(
        replace(b, tensor=replace(b.tensor, name=new[b.tensor.name])) for b in kernel.buffers
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
