"""Sharing: kernels that several functions call on other views are written once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from symconv.kernel.language import Call, Do, Kernel, Statement, tensors_read, tensors_written, walk

LEAST = 4  # statements of a kernel that is worth a function of its own


def shared(kernels: Sequence[Kernel]) -> tuple[Kernel, ...]:
    """Return the kernels that are called more than once, by these or by one of them.

    A call is left out if its result is finished by other statements: these belong into its loops.
    """
    seen: list[Kernel] = []
    found: list[Kernel] = []
    for call in (call for kernel in kernels for call in _alone(kernel)):
        if call.kernel in seen and call.kernel not in found and _is_long(call.kernel):
            found.append(call.kernel)
        seen.append(call.kernel)
    return tuple(found)


def is_alone(kernel: Kernel, call: Call) -> bool:
    """Whether no other statement of a kernel reads or writes what a call computes."""
    results = {view.access.tensor.name for view in call.views[len(call.kernel.inputs) :]}
    others = (statement for statement in kernel.body if statement is not call)
    return not any(results & _mentioned(other) for other in others)


def _alone(kernel: Kernel) -> Iterator[Call]:
    for statement in kernel.body:
        if isinstance(statement, Call) and is_alone(kernel, statement):
            yield statement


def _is_long(kernel: Kernel) -> bool:
    return sum(isinstance(statement, Do) for statement in walk(kernel.body)) >= LEAST


def _mentioned(statement: Statement) -> set[str]:
    return {t.name for t in (*tensors_read(statement), *tensors_written(statement))}
