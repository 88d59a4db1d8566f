"""What a network's module needs of memory, read off its own text: buffers, scratch, temporaries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from symconv.notation.names import POSITIONS, TAPS
from symconv.plan.algorithms import (
    Apply,
    Columns,
    Epilogue,
    Fused,
    Phases,
    Rows,
    Stage,
    WindowPick,
    WindowSelect,
    unfused,
)
from symconv.plan.epilogue import largest_block
from symconv.plan.figures import flops
from symconv.plan.layer import Function
from symconv.plan.network import LayerFunction, NetworkPlan
from symconv.plan.schedule import Call, Schedule
from symconv.render.expressions import common_parts
from symconv.render.functions import body_of

BYTES = {"float32": 4, "float64": 8}
_SCRATCH = re.compile(r'_(?:scratch|zeros)\(\s*"([^"]+)",\s*\(([^()]*)\)')


@dataclass(frozen=True)
class Row:
    """What one layer computes and needs.

    Attributes
    ----------
    name, kind, shape
        The layer's name, its kind and the shape that it gives.
    parameters
        How many numbers are trained.
    forward, backward
        Operations of its output, and of its gradients that are computed.
    peak
        Bytes of values, gradients by values and scratch that are in use while it is computed.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    forward: int
    backward: int
    peak: int


@dataclass(frozen=True)
class Needs:
    """A row for each layer, the bytes that stay allocated between calls, and those of the gradients."""

    rows: tuple[Row, ...]
    kept: int
    gradients: int
    peak: int


def needs(plan: NetworkPlan) -> Needs:
    """Return what computing the loss and all gradients once takes; without a loss, all gradients."""
    schedule, network = plan.training, plan.layer
    size = BYTES[network.dtype]
    functions = {f.name: f for f in plan.functions}
    called: dict[str, list[LayerFunction]] = {node.name: [] for node in network.nodes}
    for action in schedule.actions:
        if isinstance(action, Call):
            called[action.node].append(functions[action.function])
    peaks = _peaks(schedule, functions)
    rows = []
    for node in network.nodes:
        counts = [(f.function.by, flops(f.function.formula)) for f in called[node.name]]
        rows.append(
            Row(
                node.name,
                type(node.layer).__name__,
                node.layer.output_shape,
                sum(map(prod, node.layer.parameters.values())),
                sum(count for by, count in counts if not by),
                sum(count for by, count in counts if by),
                size * peaks.get(node.name, 0),
            )
        )
    used = [functions[a.function] for a in schedule.actions if isinstance(a, Call)]
    scratch: dict[str, int] = {}
    for f in used:
        for name, numbers in scratch_of(f.function, f.name).items():
            scratch[name] = max(numbers, scratch.get(name, 0))
    kept = size * (sum(schedule.buffers) + sum(scratch.values()))
    gradients = size * sum(map(prod, network.parameters.values()))
    passing = size * max((temporaries(f.function) for f in used), default=0)
    return Needs(tuple(rows), kept, gradients, kept + gradients + passing)


def _peaks(schedule: Schedule, functions: Mapping[str, LayerFunction]) -> dict[str, int]:
    """Return, for each layer, the most numbers that are in use while one of its functions runs."""
    sizes = {
        schedule.owners[result.name]: prod(result.shape)
        for action in schedule.actions
        if isinstance(action, Call)
        for result in action.results
        if schedule.owners[result.name] in schedule.places
    }
    used = [
        {schedule.owners[name] for name in (*action.reads, *action.writes)} & set(sizes)
        for action in schedule.actions
    ]
    first = {name: min(at for at, names in enumerate(used) if name in names) for name in sizes}
    last = {name: max(at for at, names in enumerate(used) if name in names) for name in sizes}
    peaks: dict[str, int] = {}
    for at, action in enumerate(schedule.actions):
        if isinstance(action, Call):
            alive = sum(size for name, size in sizes.items() if first[name] <= at <= last[name])
            f = functions[action.function]
            own = sum(scratch_of(f.function, f.name).values()) + temporaries(f.function)
            peaks[action.node] = max(peaks.get(action.node, 0), alive + own)
    return peaks


def scratch_of(function: Function, label: str) -> dict[str, int]:
    """Return the names and sizes of the scratch arrays that a function's own text allocates."""
    most: dict[str, int] = {}
    for stage in map(unfused, function.stages):
        if isinstance(stage, Phases):
            most |= _largest_phase(stage)
        if isinstance(stage, Rows):
            axis = stage.correlation.axes[0]
            most |= {"height": stage.rows, "length": stage.rows + axis.span - axis.positions}
    found: dict[str, int] = {}
    for name, sizes in _SCRATCH.findall(body_of(function, label)):
        factors = [most.get(word) or int(word) for word in re.findall(r"\w+", sizes)]
        found[name] = max(prod(factors), found.get(name, 0))
    return found


def _largest_phase(stage: Phases) -> dict[str, int]:
    """Return the largest values of what differs from phase to phase."""
    rank = len(stage.axes)
    taps = zip(TAPS[rank], stage.axes, strict=True)
    places = zip(POSITIONS[rank], stage.axes, strict=True)
    return {f"taps_{k}": max((p.taps for p in phases), default=1) for k, phases in taps} | {
        f"{x}n": max((p.positions for p in phases), default=1) for x, phases in places
    }


def temporaries(function: Function) -> int:
    """Return the most numbers that a stage computes on the way, beside its scratch."""
    return max(map(_passing, function.stages), default=0)


def _passing(stage: Stage) -> int:
    match stage:
        case Fused(algorithm=algorithm, epilogue=Epilogue(function=function)):
            box = 0 if function is None else largest_block(algorithm)
            parts = 0 if function is None else len(common_parts(function)[0]) + 2
            return max(_passing(algorithm), parts * box)
        case Apply(expression=expression, arrays=arrays):
            box = max((prod(spread.box) for _, spread in arrays), default=0)
            return (len(common_parts(expression)[0]) + 2) * box
        case WindowSelect(axes=axes) | WindowPick(axes=axes):
            return 2 * prod(axis.positions for axis in axes)
        case Columns(correlation=c, images=images) if c.result == "taps":
            return images * c.groups * c.filters * c.channels * prod(a.taps for a in c.axes)
        case Rows(correlation=c, images=images) if c.result == "taps":
            return images * c.groups * c.filters * c.channels * prod(a.taps for a in c.axes[1:])
        case _:
            return 0
