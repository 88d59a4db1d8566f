"""What is called in turn, and the buffers that the results are in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

from symconv.notation.contraction import Size, integers

LOSS, ONE, COTANGENT = "loss", "one", "grad_output"
PARAMETERS, GRADIENTS, STATISTICS, MASKS = "params/", "gradients/", "statistics/", "masks/"
CHANGES, PRODUCT = "changes/", "product/"  # the vector, and the gradients of second order along it


@dataclass(frozen=True)
class Variable:
    """An array that a call writes. ``gradients/conv1.weight`` is one of those that are returned."""

    name: str
    shape: tuple[Size, ...]


@dataclass(frozen=True)
class Call:
    """A call of a layer's function, which writes its results."""

    node: str
    function: str
    arguments: tuple[str, ...]
    results: tuple[Variable, ...]

    @property
    def reads(self) -> tuple[str, ...]:
        """The variables that are read."""
        return self.arguments

    @property
    def writes(self) -> tuple[str, ...]:
        """The variables that are written."""
        return tuple(result.name for result in self.results)


@dataclass(frozen=True)
class Alias:
    """Another name for a variable's memory: in another shape, or what is written over it."""

    variable: Variable
    of: str

    @property
    def reads(self) -> tuple[str, ...]:
        """The variable whose memory it is."""
        return (self.of,)

    @property
    def writes(self) -> tuple[str, ...]:
        """The new name."""
        return (self.variable.name,)


@dataclass(frozen=True)
class AddTo:
    """Add one variable to another."""

    target: str
    source: str

    @property
    def reads(self) -> tuple[str, ...]:
        """What is added."""
        return (self.source,)

    @property
    def writes(self) -> tuple[str, ...]:
        """What it is added to."""
        return (self.target,)


Action: TypeAlias = Call | Alias | AddTo


@dataclass(frozen=True)
class Schedule:
    """What is done in turn, and in which buffer each variable is.

    Parameters
    ----------
    sections
        ``forward``, ``changes`` and ``reverse``: calls, and names for what they read and write.
    buffers
        The number of elements of each buffer.
    places
        The number of the buffer of each variable that has one of its own.
    owners
        For each variable, the one whose memory it is in.
    """

    sections: Mapping[str, tuple[Action, ...]]
    buffers: tuple[int, ...]
    places: Mapping[str, int]
    owners: Mapping[str, str]

    @property
    def actions(self) -> tuple[Action, ...]:
        """The actions of every section."""
        return tuple(action for actions in self.sections.values() for action in actions)


def scheduled(given: Mapping[str, Iterable[Action]], returned: Collection[str] = ()) -> Schedule:
    """Put each variable into a buffer that is free from its first use to its last.

    The memory of those ``returned`` is the caller's.
    """
    sections = _useful({name: tuple(actions) for name, actions in given.items()}, returned)
    actions = [action for section in sections.values() for action in section]
    of = {a.variable.name: a.of for a in actions if isinstance(a, Alias)}

    def owner(name: str) -> str:
        return owner(of[name]) if name in of else name

    names = [(*action.reads, *action.writes) for action in actions]
    owners = {name: owner(name) for names_ in names for name in names_}
    callers = {LOSS, *(owners[name] for name in returned if name in owners)}
    last_use = {owners[name]: at for at, names_ in enumerate(names) for name in names_}
    places: dict[str, int] = {}
    sizes: list[int] = []
    free: set[int] = set()
    for at, action in enumerate(actions):
        for result in action.results if isinstance(action, Call) else ():
            name = owners[result.name]
            if "/" in name or name in places or name in callers:
                continue
            places[name] = _buffer(prod(integers(result.shape)), sizes, free)
        for name in {owners[name] for name in names[at]}:
            if name in places and last_use[name] == at:
                free.add(places[name])
    return Schedule(sections, tuple(sizes), places, owners)


def _useful(
    sections: dict[str, tuple[Action, ...]], returned: Collection[str]
) -> dict[str, tuple[Action, ...]]:
    """Leave out what computes nothing that is read afterwards, or returned."""
    wanted = set(returned)
    kept: dict[str, tuple[Action, ...]] = {}
    for section, actions in reversed(sections.items()):
        found: list[Action] = []
        for action in reversed(actions):
            if wanted & set(action.writes) or any("/" in name for name in action.writes):
                found.append(action)
                wanted |= set(action.reads)
        kept[section] = tuple(reversed(found))
    return dict(reversed(kept.items()))


def _buffer(size: int, sizes: list[int], free: set[int]) -> int:
    """Take the free buffer that fits best, or enlarge the largest, or add one."""
    fitting = [number for number in free if sizes[number] >= size]
    if fitting:
        number = min(fitting, key=lambda n: (sizes[n], n))
    elif free:
        number = max(free, key=lambda n: (sizes[n], -n))
        sizes[number] = size
    else:
        number = len(sizes)
        sizes.append(size)
    free.discard(number)
    return number
