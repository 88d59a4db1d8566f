"""A network's schedule as lines: names for memory, and calls that fill it."""

from __future__ import annotations

import builtins
from collections.abc import Collection, Iterator, Mapping
from typing import TypeAlias

from symconv.lower.schedule import (
    CHANGES,
    COTANGENT,
    GRADIENTS,
    LOSS,
    MASKS,
    ONE,
    PARAMETERS,
    PRODUCT,
    STATISTICS,
    Action,
    AddTo,
    Alias,
    Call,
    Schedule,
    Variable,
)
from symconv.notation.contraction import Size
from symconv.targets.numpy.lines import in_lines
from symconv.targets.numpy.syntax import tuple_text

Returned: TypeAlias = tuple[str, tuple[Size, ...]]  # the caller's array, and its shape
DICTS = {PARAMETERS: "p", GRADIENTS: "g", CHANGES: "v", PRODUCT: "h", STATISTICS: "s", MASKS: "m"}
HEADINGS = {
    "forward": "forward",
    "changes": "how the outputs change",
    "reverse": "in reverse: the chain rule",
}
RESERVED = {
    *dir(builtins),
    "y",
    "out",
    "params",
    "samples",
    ONE,
    LOSS,
    COTANGENT,
    "np",
    "math",
    *DICTS.values(),
}


def schedule_lines(
    schedule: Schedule, returned: Mapping[str, Returned], given: Mapping[str, tuple[Size, ...]]
) -> list[str]:
    """Write a schedule.

    ``returned`` has the caller's array for the variable whose memory that is; ``given`` are the shapes
    of variables that are parameters of the function.
    """
    owners = schedule.owners
    owned: dict[str, Returned] = {}
    for name, caller in returned.items():
        owned.setdefault(owners.get(name, name), caller)
    shapes: dict[str, tuple[Size, ...]] = dict(given)
    lines: list[str] = []
    for section, actions in schedule.sections.items():
        lines += [f"# {HEADINGS[section]}"] if actions and len(schedule.sections) > 1 else []
        for action in actions:
            lines += _action(action, schedule, owned, shapes, given)
    computed = {name for action in schedule.actions for name in action.writes}
    for name, own in returned.items():
        if name not in computed:
            lines.append(f"{own[0]}[...] = 0")
        elif owners[name] not in computed or owned[owners[name]] != own:
            lines.append(
                f"{own[0]}[...] = {local(name, given)}"
            )  # of what came in, or is returned twice
    return lines


def _action(
    action: Action,
    schedule: Schedule,
    owned: Mapping[str, Returned],
    shapes: dict[str, tuple[Size, ...]],
    given: Collection[str],
) -> Iterator[str]:
    """Write one action; ``shapes`` are those of the variables that have a name already."""
    match action:
        case Call(function=function, arguments=arguments, results=results):
            for result in results:
                if result.name not in shapes and "/" not in result.name and result.name != LOSS:
                    yield _allocated(result, schedule, owned)
                    shapes[result.name] = result.shape
            names = [local(name, given) for name in (*arguments, *(r.name for r in results))]
            yield from in_lines(f"{function}({', '.join(names)})", 1)
        case Alias(variable=variable, of=of):
            same = shapes.get(of) == variable.shape
            view = "  # the same memory" if same else f".reshape{tuple_text(variable.shape)}"
            yield f"{local(variable.name)} = {local(of, given)}{view}"
            shapes[variable.name] = variable.shape
        case AddTo(target=target, source=source):
            yield f"{local(target)} += {local(source, given)}"


def _allocated(result: Variable, schedule: Schedule, owned: Mapping[str, Returned]) -> str:
    """Write where a variable's memory is: a buffer, or the array that is returned."""
    if result.name in owned:
        array, sizes = owned[result.name]
        view = "" if sizes == result.shape else f".reshape{tuple_text(result.shape)}"
        return f"{local(result.name)} = {array}{view}"
    buffer = schedule.places[result.name]
    return f'{local(result.name)} = _scratch("buffer {buffer}", {tuple_text(result.shape)})'


def local(name: str, given: Collection[str] = ()) -> str:
    """Return what a variable is called: parameters by name in their dict, others as they are."""
    kind, slash, own = name.partition("/")
    if slash:
        return f'{DICTS[kind + slash]}["{own}"]'
    if name in (ONE, LOSS, COTANGENT, *given):
        return name
    return f"{name}_" if name in RESERVED else name
