"""The lines of a function while they are written: scopes, names for views, and constants."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from symconv.errors import KernelError
from symconv.kernel.language import Buffer, Kernel, Loop, walk
from symconv.notation.contraction import Access
from symconv.targets.numpy.fresh import fresh_buffers
from symconv.targets.numpy.identifiers import Names
from symconv.targets.numpy.lines import INDENT, LONGEST, in_lines, is_closed
from symconv.targets.numpy.views import (
    Groups,
    Sizes,
    are_apart,
    sliced,
    strided_parts,
    view_text,
)
from symconv.templating import environment


def syntax(macro: str, **holes: object) -> str:
    """Return one of NumPy's statements, or expressions, with its holes filled."""
    template = environment().get_template("numpy/statements.py.j2")
    return str(getattr(template.module, macro)(**holes))


@dataclass(frozen=True)
class Constant:
    """A constant of a module: numbers, and what they are."""

    name: str
    rows: object
    note: str


@dataclass
class Scope:
    """A function, or a loop in it: its lines, and the names that views have there, by their text."""

    letters: frozenset[str] = frozenset()
    lines: list[str] = field(default_factory=list)
    views: dict[str, str] = field(default_factory=dict)


class Code:
    """A function's code while it is written."""

    def __init__(self, kernel: Kernel, label: str, shared: Mapping[Kernel, str]) -> None:
        self.kernel, self.label, self.shared = kernel, label, shared
        self.buffers = {buffer.tensor.name: buffer for buffer in kernel.buffers}
        self.letters = {x for s in walk(kernel.body) if isinstance(s, Loop) for x in s.letters}
        self.fresh = fresh_buffers(kernel)
        self.names = Names([*self.buffers, *self.letters])
        self.scopes: list[Scope] = []
        self.constants: dict[str, Constant] = {}
        self.busy: set[str] = set()  # names of views that the statement at hand reads or writes
        self.allocated = {b.tensor.name for b in (*kernel.inputs, *kernel.outputs)}

    def open(self, letters: Iterable[str]) -> Scope:
        """Begin a scope in which some letters are bound."""
        self.scopes.append(Scope(frozenset(letters)))
        return self.scopes[-1]

    def close(self) -> list[str]:
        """End a scope and return its lines."""
        return self.scopes.pop().lines

    def add(self, line: str) -> None:
        """Write a line, or, where it is too long, its last bracket on a line of its own."""
        self.scopes[-1].lines += in_lines(line, len(self.scopes))
        self.busy.clear()

    def comment(self, text: str) -> None:
        """Write a comment, if there is one."""
        if text:
            self.add(f"# {text}")

    def constant(self, name: str, rows: object, note: str) -> str:
        """Return the name of a constant of the module."""
        whole, number = f"_{name.upper()}", 2
        free = whole
        while free in self.constants and self.constants[free].rows != rows:
            free, number = f"{whole}_{number}", number + 1
        self.constants[free] = Constant(free, rows, note)
        return free

    def fits(self, line: str) -> bool:
        """Whether a line is short enough, indented as the next line is."""
        numbered = 3 if re.search(r"\b_[A-Z]", line) else 0  # a constant may get a number
        return len(INDENT) * len(self.scopes) + len(line) + numbered <= LONGEST

    def bound(self, text: str, name: str) -> str:
        """Return a name for a view, if it has one or is to have one; else its text."""
        if text.isidentifier():
            return text
        for scope in reversed(self.scopes):
            if text in scope.views:
                self.busy.add(scope.views[text])
                return scope.views[text]
        if not name:
            return text
        source = self._shortened(text, name)
        if source == text and self._is_element(text):
            source = f"{text[:-1]}, ...]"  # one that changes, not its value now
        scope = self._scope_of(text)
        free = self.names.local(name, scope is not self.scopes[-1], self.busy)
        self.busy.add(free)
        for each in self.scopes:
            each.views = {t: n for t, n in each.views.items() if free not in (n, *re.findall(r"\w+", t))}
        line = syntax("assign", target=free, source=source)
        scope.lines += in_lines(line, self.scopes.index(scope) + 1)
        scope.views[text] = free
        return free

    def _shortened(self, text: str, name: str) -> str:
        """Give the outermost part of a view a name where its line would be too long."""
        return text if self.fits(f"{name} = {text}") else self.begun(text, name)

    def _is_element(self, text: str) -> bool:
        """Whether a view is one element of a buffer that changes."""
        found = re.fullmatch(r"(\w+)\[([^:\[\]]*)\]", text)
        buffer = self.buffers.get(found[1]) if found else None
        if not found or buffer is None or buffer.role in ("input", "constant"):
            return False
        return len(found[2].split(", ")) == len(buffer.tensor.shape)

    def begun(self, text: str, name: str) -> str:
        """Give a view a name up to the last thing that is done to it, if something is."""
        cuts = [cut.start() for cut in re.finditer(r"(?<=[\])])(?=[\[.])", text)]
        whole = [cut for cut in reversed(cuts) if is_closed(text[:cut])]
        fitting = [cut for cut in whole if self.fits(f"{name} = {text[:cut]}")] or whole
        if not fitting:
            return text
        busy = set(self.busy)
        begun = self.bound(text[: fitting[0]], name) + text[fitting[0] :]
        self.busy = busy  # the beginning's own name may be used again
        return begun

    def is_bound(self, text: str | None) -> bool:
        """Whether a view has a name."""
        return any(text in scope.views for scope in self.scopes)

    def _scope_of(self, text: str) -> Scope:
        """Return the outermost scope in which a view of an input or an output is the same."""
        words = set(re.findall(r"\w+", text))
        given = {buffer.tensor.name for buffer in (*self.kernel.inputs, *self.kernel.outputs)}
        if not words & given:
            return self.scopes[-1]
        needed = words & self.scopes[-1].letters
        return next(scope for scope in self.scopes if needed <= scope.letters)

    def read(self, access: Access, sizes: Sizes, groups: Groups) -> str:
        """Write what is read with these axes; those in front that it does not have are left out."""
        text = view_text(access, sizes, groups)
        if text is not None:
            return self.bound(text, "")
        own = [name for group in groups for name in group if name in own_indices(access, sizes)]
        text = self._strided(access, sizes, own, f"{access.tensor.name}_windows")
        present = [all(name in own for name in group) for group in groups]
        return text + new_axes(present)

    def target(self, access: Access, sizes: Sizes, groups: Groups | None = None) -> str:
        """Write the view that is written, with its own axes unless others are given."""
        if groups is not None and (text := view_text(access, sizes, groups)) is not None:
            return self.bound(text, "")
        view = sliced(access, sizes)
        if view is not None:
            return view.text
        if not are_apart(access, sizes):
            raise KernelError(f"{self.kernel.name}: writes an element of {access} more than once")
        return self._strided(access, sizes, own_indices(access, sizes), "written")

    def _strided(self, access: Access, sizes: Sizes, order: Sequence[str], name: str) -> str:
        """Return the name of a strided view; where it is long, its steps have one of their own."""
        first, steps, shape = strided_parts(access, sizes, order)
        text = f"_strided({access.tensor.name}, {first}, {steps}, {shape})"
        if not self.fits(f"{name}2 = {text}") and not self.is_bound(text):
            along = self.bound(steps, "steps")
            text = f"_strided({access.tensor.name}, {first}, {along}, {shape})"
        return self.bound(text, name)

    def axes(self, target: Access, sizes: Sizes) -> list[list[str]]:
        """Return the axes of what is written, each with the indices that it counts through."""
        view = sliced(target, sizes)
        if view is None:
            return [[name] for name in own_indices(target, sizes)]
        return [list(axis) for axis in view.axes]

    def buffer(self, access: Access) -> Buffer:
        """Return the buffer of an access."""
        return self.buffers[access.tensor.name]


def own_indices(access: Access, sizes: Mapping[str, object]) -> list[str]:
    """Return the indices that an access is addressed by, in order."""
    return list(dict.fromkeys(n for s in access.subscripts for n in s.variables if n in sizes))


def new_axes(present: Sequence[bool]) -> str:
    """Write new axes behind the first axis that is there; NumPy adds those before it."""
    behind = list(present[present.index(True) :]) if True in present else []
    if all(behind):
        return ""
    while behind and behind[-1]:
        behind.pop()
    return f"[{', '.join(':' if here else 'None' for here in behind)}]"
