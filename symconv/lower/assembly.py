"""The kernel of a network's function, put together from its steps: roles, results, and what is 0."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from symconv.kernel.language import (
    Buffer,
    Do,
    Kernel,
    Role,
    Statement,
    View,
    tensors_read,
    tensors_written,
    whole,
)
from symconv.kernel.liveness import without_unread
from symconv.notation.contraction import Contraction, Tensor
from symconv.notation.names import element

PARAMETERS, STATISTICS, MASKS = "params/", "statistics/", "masks/"  # "params/conv1.weight"
GRADIENTS, CHANGES, PRODUCT = "gradients/", "changes/", "product/"
GIVEN, RESULTS = "given/", "results/"
LOSS, ONE, COTANGENT = f"{RESULTS}loss", f"{GIVEN}one", "grad_output"
ROLES: dict[str, Role] = {
    PARAMETERS: "input",
    MASKS: "input",
    CHANGES: "input",
    GIVEN: "input",
    STATISTICS: "output",
    GRADIENTS: "output",
    PRODUCT: "output",
    RESULTS: "output",
}
Step: TypeAlias = Statement | Buffer  # a statement, or an alias that later ones use


def assembled(
    name: str,
    sections: Mapping[str, Iterable[Step]],
    given: Sequence[Tensor],
    results: Sequence[tuple[Tensor, str]] = (),
    always: Sequence[Tensor] = (),
) -> Kernel:
    """Return the kernel of a function.

    Parameters
    ----------
    name
        What the function is called.
    sections
        Steps, each section with a note that stands before it if there are several.
    given
        The arrays that the function takes, besides those whose names tell it.
    results
        What it returns, and the variable that each is. The variable's memory is that of the result, if
        it can be; else the result is a copy. What nothing computes is 0.
    always
        More outputs that are 0 where nothing computes them.
    """
    aliases: dict[str, Buffer] = {}
    body: list[Statement] = []
    for note, steps in sections.items():
        for step in steps:
            if isinstance(step, Buffer):
                aliases[step.tensor.name] = step
            else:
                body.append(replace(step, note=note if len(sections) > 1 else ""))
    tensors = {tensor.name: tensor for tensor in given}
    tensors |= {tensor.name: tensor for statement in body for tensor in _mentioned(statement)}
    tensors |= {alias: buffer.tensor for alias, buffer in aliases.items()}

    def owner(variable: str) -> str:
        return owner(aliases[variable].of) if variable in aliases else variable

    known = {tensor.name for tensor in given}
    outputs = [tensor for tensor in tensors.values() if _role(tensor.name, known) == "output"]
    for result, variable in results:
        place = replace(result, name=RESULTS + result.name)
        outputs.append(place)
        if variable not in tensors:
            body.append(filled(place))
        elif _role(owner(variable), known) == "scratch":
            own = owner(variable)
            aliases[own] = Buffer(tensors[own], "alias", of=place.name)
        else:  # of what came in, or is returned twice
            body.append(copied(place, tensors[variable]))
    written = {tensor.name for tensor in outputs}
    body += [filled(tensor) for tensor in always if tensor.name not in written]
    outputs += [tensor for tensor in always if tensor.name not in written]
    inputs = [tensor for tensor in tensors.values() if _role(tensor.name, known) == "input"]
    known = {tensor.name for tensor in (*inputs, *outputs)} | set(aliases)
    buffers = (
        *(Buffer(tensor, "input") for tensor in inputs),
        *(Buffer(tensor, "output") for tensor in outputs),
        *aliases.values(),
        *(Buffer(tensor, "scratch") for tensor in tensors.values() if tensor.name not in known),
    )
    return _noted_once(without_unread(Kernel(name, buffers, tuple(body))))


def _role(name: str, given: Collection[str]) -> Role:
    """Return the role of a buffer that is not an alias."""
    kind, slash, _ = name.partition("/")
    return ROLES[kind + slash] if slash else "input" if name in given else "scratch"


def _mentioned(statement: Statement) -> Iterator[Tensor]:
    yield from tensors_written(statement)
    yield from tensors_read(statement)


def _noted_once(kernel: Kernel) -> Kernel:
    """Return a kernel in which a note stands before the first of the statements that have it."""
    notes = ["", *(statement.note for statement in kernel.body)]
    body = [
        replace(statement, note="") if statement.note == before else statement
        for before, statement in zip(notes, kernel.body, strict=False)
    ]
    return replace(kernel, body=tuple(body))


def viewed(tensor: Tensor) -> View:
    """Return a whole tensor as a view."""
    return whole(tensor, element(len(tensor.shape)))


def filled(target: Tensor) -> Do:
    """Return the statement that fills a tensor with zeros."""
    view = viewed(target)
    return Do(Contraction(view.access, (), view.extents, 0))


def copied(target: Tensor, source: Tensor) -> Do:
    """Return the statement that copies a tensor."""
    view = viewed(target)
    return Do(Contraction(view.access, (source[view.access.subscripts],), view.extents))


def added(target: Tensor, source: Tensor) -> Do:
    """Return the statement that adds a tensor to another."""
    return replace(copied(target, source), how="add")
