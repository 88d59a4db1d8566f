"""Choosing by what was measured on a machine instead of by the cost model."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from symconv.errors import SymconvError
from symconv.lower.algorithms import Algorithm, Candidate
from symconv.lower.joined import Joined
from symconv.lower.joined_taps import JoinedTaps
from symconv.lower.joined_winograd import JoinedWinograd
from symconv.lower.layer_plan import Function, Plan, planned
from symconv.lower.options import Cost
from symconv.lower.rows import Rows
from symconv.lower.runs import VECTORS, rounded_up

MOST_BLOCKED = 1.25  # times the filters that are computed, for a block's size to be tried

Measured = Mapping[str, float]  # microseconds, by label


@dataclass(frozen=True)
class Tuning:
    """What each algorithm took.

    Parameters
    ----------
    machine
        The processor.
    layer, accuracy
        What was tuned: plain data, and ``"direct"`` or ``"fast"``.
    functions
        By function, for each of its correlations in turn, microseconds by algorithm.
    target
        The language of the code that was timed.

    Raises
    ------
    SymconvError
        If a time is no positive number, or there is none.
    """

    machine: str
    layer: Mapping[str, object]
    accuracy: str
    functions: Mapping[str, Sequence[Measured]]
    target: str = "numpy"

    def __post_init__(self) -> None:
        for name, correlations in self.functions.items():
            for times in correlations:
                if not times or not all(0 < time < math.inf for time in times.values()):
                    raise SymconvError(f"tuning: {name}: must have times above 0, in microseconds")


def label(algorithm: Algorithm) -> str:
    """Name an algorithm with the sizes of its blocks, or tiles: ``rows, images 1, rows 32``."""
    words = [type(algorithm).__name__.lower()]
    for field in dataclasses.fields(algorithm):
        value = getattr(algorithm, field.name)
        if isinstance(value, int) and not isinstance(value, bool):
            words.append(f"{field.name} {value}")
        elif field.name == "lengths":
            words.append("lengths " + "x".join(map(str, value)))
        elif field.name == "filtering":
            words.append("tiles " + "x".join(str(f.outputs) for f in value))
    return ", ".join(words)


def variants(choice: Sequence[Candidate], cost: Cost) -> dict[str, Candidate]:
    """Return a choice by labels, with blocks of other sizes: rows in a band, images, filters."""
    found: dict[str, Candidate] = {}
    for candidate in choice:
        for algorithm in (candidate.algorithm, *_blocked(candidate.algorithm)):
            found.setdefault(label(algorithm), Candidate(algorithm, cost(algorithm.lower())))
    return found


def _blocked(algorithm: Algorithm) -> Iterator[Algorithm]:
    """Visit an algorithm with bands or blocks of other sizes."""
    c = algorithm.correlation
    if isinstance(algorithm, Rows) and algorithm.images == 1:
        count = c.axes[0].positions
        fitting = [rows for rows in range(1, count + 1) if count % rows == 0]
        for wanted in (algorithm.rows / 2, algorithm.rows * 2, count):
            yield replace(algorithm, rows=min(fitting, key=lambda rows: abs(rows - wanted)))
    if isinstance(algorithm, Joined | JoinedTaps | JoinedWinograd):
        for images in {1, algorithm.images // 2, algorithm.images * 2}:
            if images > 0 and c.batch % images == 0:
                yield replace(algorithm, images=images)
    if isinstance(algorithm, Joined):
        for block in VECTORS:
            if MOST_BLOCKED * c.filters >= rounded_up(c.filters, block):
                yield replace(algorithm, block=block)


def with_choice(function: Function, at: int, choice: Sequence[Candidate]) -> Function:
    """Return a function that computes one of its correlations by the first of a new choice."""
    choices = [*function.choices]
    choices[at] = tuple(choice)
    f = function
    return planned(f.name, f.inputs, f.results, f.by, f.source, lambda number, _: choices[number])


def with_functions(plan: Plan, functions: Sequence[Function]) -> Plan:
    """Return a plan in which some functions are replaced, by their names."""
    new = {f.name: f for f in (*plan.functions, *functions)}
    return replace(
        plan,
        forward=new[plan.forward.name],
        gradients=tuple(new[f.name] for f in plan.gradients),
        backward=plan.backward and new[plan.backward.name],
        second=tuple(new[f.name] for f in plan.second),
    )


def tuned(plan: Plan, tuning: Tuning, target: str) -> Plan:
    """Return a plan that uses for each correlation what was measured to be fastest.

    Raises
    ------
    SymconvError
        If the tuning is of another layer, accuracy or target, has other functions, or names an algorithm
        that does not apply.
    """
    if tuning.target != target:
        raise SymconvError(f"tuning: was measured for target = {tuning.target!r}: tune for {target!r}")
    if (dict(tuning.layer), tuning.accuracy) != (plan.layer.as_dict(), plan.accuracy):
        raise SymconvError("tuning: was measured for another layer, or another accuracy: tune this one")
    own = {f.name for f in plan.functions if f.choices}
    if own != set(tuning.functions):
        names = ", ".join(sorted(own ^ set(tuning.functions)))
        raise SymconvError(f"tuning: has other functions than the module, see {names}: tune it again")
    chosen = [_chosen(f, tuning.functions[f.name]) for f in plan.functions if f.choices]
    return replace(with_functions(plan, chosen), tuned=True)


def _chosen(function: Function, measured: Sequence[Measured]) -> Function:
    if len(measured) != len(function.choices):
        raise SymconvError(
            f"tuning: {function.name} has {len(function.choices)} correlations, not {len(measured)}"
        )
    for at, times in enumerate(measured):
        known = variants(function.choices[at], function.source.options.cost)
        for name in times:
            if name not in known:
                valid = "; ".join(known)
                raise SymconvError(
                    f"tuning: {function.name}: {name!r} is none of its algorithms: {valid}"
                )
        ranked = sorted(times.items(), key=lambda pair: pair[1])
        choice = [Candidate(known[name].algorithm, time, measured=True) for name, time in ranked]
        function = with_choice(function, at, choice)
    return function
