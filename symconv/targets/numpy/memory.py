"""What a network's module needs of memory, counted on its kernels: buffers, scratch, temporaries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from symconv.kernel.language import Buffer, Call, Do, Kernel, at, largest_letters, walk
from symconv.kernel.liveness import lifetimes, placed
from symconv.kernel.simplify import simplified
from symconv.lower.any_batch import CHOSEN_FOR, LETTER
from symconv.lower.flops import flops
from symconv.lower.layer_plan import Function
from symconv.lower.network_plan import NetworkPlan, network_plan
from symconv.lower.network_steps import LayerFunction
from symconv.notation.contraction import integers
from symconv.notation.graph import Elementwise
from symconv.targets.numpy.expressions import common_parts
from symconv.targets.numpy.fresh import fresh_buffers
from symconv.targets.numpy.legal import legalised
from symconv.targets.numpy.plan import options

BYTES = {"float32": 4, "float64": 8}


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
    """Return what computing the loss and all gradients once takes; without a loss, all gradients.

    A plan for any number of samples is counted for as many as its algorithms are chosen for.
    """
    if plan.layer.any_batch:
        network = plan.layer.with_batch(CHOSEN_FOR)
        return needs(network_plan(network, plan.order, options(plan.accuracy)))
    kernel, network = plan.training, plan.layer
    size = BYTES[network.dtype]
    functions = {f.function.kernel: f for f in plan.functions}
    used = [functions[call.kernel] for call in _calls(kernel)]
    peaks = _peaks(kernel, functions)
    rows = []
    for node in network.nodes:
        own = [f.function for f in used if f.node == node]
        counts = [(function.by, flops(function.formula)) for function in own]
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
    scratch: dict[str, int] = {}
    for f in used:
        for name, numbers in scratch_of(f.function, f.name).items():
            scratch[name] = max(numbers, scratch.get(name, 0))
    buffers = placed(kernel).with_role("scratch")
    kept = size * (sum(map(_numbers, buffers)) + sum(scratch.values()))
    gradients = size * sum(map(prod, network.trained.values()))
    passing = size * max((temporaries(f.function) for f in used), default=0)
    return Needs(tuple(rows), kept, gradients, kept + gradients + passing)


def _calls(kernel: Kernel) -> list[Call]:
    return [statement for statement in kernel.body if isinstance(statement, Call)]


def _numbers(buffer: Buffer) -> int:
    """Return how many numbers a buffer has, whose shape has no letters."""
    return prod(integers(buffer.tensor.shape))


def _peaks(kernel: Kernel, functions: Mapping[Kernel, LayerFunction]) -> dict[str, int]:
    """Return, for each layer, the most numbers that are in use while one of its functions runs."""
    lives = lifetimes(kernel)
    peaks: dict[str, int] = {}
    for step, statement in enumerate(kernel.body):
        if isinstance(statement, Call):
            alive = sum(_numbers(kernel.buffer(name)) for name in lives.at(step))
            f = functions[statement.kernel]
            own = sum(scratch_of(f.function, f.name).values()) + temporaries(f.function)
            peaks[f.node.name] = max(peaks.get(f.node.name, 0), alive + own)
    return peaks


def scratch_of(function: Function, label: str) -> dict[str, int]:
    """Return the names and sizes of the scratch arrays that a function allocates."""
    kernel = legalised(simplified(function.kernel))
    letters, fresh = largest_letters(kernel.body), fresh_buffers(kernel)
    found: dict[str, int] = {}
    for buffer in kernel.with_role("scratch", "zeroed"):
        name = buffer.tensor.name
        if name not in fresh and buffer.kind == "real":
            key = f"{label} {name}" if buffer.role == "zeroed" else name
            free = {LETTER: CHOSEN_FOR, **letters}
            found[key] = prod(int(at(size, free)) for size in buffer.tensor.shape)
    return found


def temporaries(function: Function) -> int:
    """Return the most numbers that are allocated anew while a function runs, beside its scratch."""
    kernel = legalised(simplified(function.kernel))
    letters, fresh = largest_letters(kernel.body), fresh_buffers(kernel)
    held = sum(
        prod(int(at(size, letters)) for size in buffer.tensor.shape)
        for buffer in kernel.buffers
        if buffer.tensor.name in fresh or buffer.kind != "real"
    )
    dos = (statement for statement in walk(kernel.body) if isinstance(statement, Do))
    return held + max((_passing(do, letters) for do in dos), default=0)


def _passing(do: Do, letters: Mapping[str, int]) -> int:
    """Return how many numbers an expression computes on the way."""
    if not isinstance(do.meaning, Elementwise):
        return 0
    box = prod(int(at(size, letters)) for _, size in do.meaning.extents)
    return (len(common_parts(do.meaning.expression)[0]) + 2) * box
