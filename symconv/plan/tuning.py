"""Choosing by what was measured on a machine instead of by the cost model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from symconv.errors import SymconvError
from symconv.plan.algorithms import Algorithm, Candidate, Rows, Stage
from symconv.plan.layer import Function, Plan

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
    """

    machine: str
    layer: Mapping[str, object]
    accuracy: str
    functions: Mapping[str, Sequence[Measured]]


def label(algorithm: Algorithm) -> str:
    """Name an algorithm with the sizes of its blocks, or tiles: ``rows, images 1, rows 32``."""
    words = [type(algorithm).__name__.lower()]
    for field in dataclasses.fields(algorithm):
        value = getattr(algorithm, field.name)
        if isinstance(value, int) and not isinstance(value, bool):
            words.append(f"{field.name} {value}")
        elif field.name == "filtering":
            words.append("tiles " + "x".join(str(f.outputs) for f in value))
    return ", ".join(words)


def variants(choice: Sequence[Candidate]) -> list[Algorithm]:
    """Return the algorithms of a choice, and rows in bands of half and twice the length."""
    found: dict[str, Algorithm] = {}
    for candidate in choice:
        for algorithm in (candidate.algorithm, *_bands(candidate.algorithm)):
            found.setdefault(label(algorithm), algorithm)
    return list(found.values())


def _bands(algorithm: Algorithm) -> Iterator[Algorithm]:
    if isinstance(algorithm, Rows) and algorithm.images == 1:
        count = algorithm.correlation.axes[0].positions
        fitting = [rows for rows in range(1, count + 1) if count % rows == 0]
        for wanted in (algorithm.rows / 2, algorithm.rows * 2, count):
            yield replace(algorithm, rows=min(fitting, key=lambda rows: abs(rows - wanted)))


def with_algorithm(function: Function, at: int, algorithm: Algorithm) -> Function:
    """Return a function that computes one of its correlations by another algorithm."""
    old = function.choices[at][0].algorithm
    stages = tuple(_put(stage, old, algorithm) for stage in function.stages)
    return replace(function, stages=stages)


def _put(stage: Stage, old: Algorithm, new: Algorithm) -> Stage:
    return new if stage is old else stage


def tuned(plan: Plan, tuning: Tuning) -> Plan:
    """Return a plan that uses for each correlation what was measured to be fastest.

    Raises
    ------
    SymconvError
        If the tuning is another layer's, or names what cannot be chosen.
    """
    if dict(tuning.layer) != plan.layer.as_dict() or tuning.accuracy != plan.accuracy:
        raise SymconvError("tuning: was measured for another layer, or another accuracy")
    chosen = [_chosen(f, tuning.functions.get(f.name, ())) for f in plan.functions]
    return replace(with_functions(plan, chosen), tuned=True)


def with_functions(plan: Plan, functions: Sequence[Function]) -> Plan:
    """Return a plan in which some functions are replaced, by their names."""
    new = {f.name: f for f in plan.functions} | {f.name: f for f in functions}
    return replace(
        plan,
        forward=new[plan.forward.name],
        gradients=tuple(new[f.name] for f in plan.gradients),
        backward=plan.backward and new[plan.backward.name],
        second=tuple(new[f.name] for f in plan.second),
    )


def _chosen(function: Function, measured: Sequence[Measured]) -> Function:
    if not measured:
        return function
    if len(measured) != len(function.choices):
        raise SymconvError(f"tuning: {function.name} has {len(function.choices)} correlations")
    choices = []
    for at, (choice, times) in enumerate(zip(function.choices, measured, strict=True)):
        known = {label(algorithm): algorithm for algorithm in variants(choice)}
        if not times or any(name not in known for name in times):
            raise SymconvError(f"tuning: {function.name} has the algorithms {'; '.join(known)}")
        ranked = sorted(times, key=lambda name: times[name])
        function = with_algorithm(function, at, known[ranked[0]])
        choices.append(tuple(Candidate(known[name], times[name], measured=True) for name in ranked))
    return replace(function, choices=tuple(choices))
