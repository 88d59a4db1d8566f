"""One layer, in every library: times and errors, and how near the machine's limits they are."""

from __future__ import annotations

import platform
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.bench.peers import Call, Data, Peer, draw, peers
from symconv.bench.timing import Time, race
from symconv.layers.conv import Conv
from symconv.notation.arrays import evaluate_arrays
from symconv.plan.figures import flops

OURS = "symconv"
WRONG = 1e-2  # relative error with which nobody takes part
SWEEPS = ("forward", "backward")


@dataclass(frozen=True)
class Run:
    """What one library took for one sweep, and its largest error relative to the largest number."""

    time: Time
    error: float


@dataclass(frozen=True)
class Row:
    """A layer's runs.

    Attributes
    ----------
    name
        The module's name.
    layer
        Plain data.
    flops
        Operations of the forward sweep, and of both gradients.
    runs
        By sweep and library.
    memory
        Bytes that the module holds beyond its results at each sweep's peak, scratch arrays included.
    wrong
        Libraries that were left out, since what they returned was wrong.
    """

    name: str
    layer: dict[str, object]
    flops: dict[str, int]
    runs: dict[str, dict[str, Run]]
    memory: dict[str, int]
    wrong: tuple[str, ...]

    def ratio(self, sweep: str, peer: str) -> float | None:
        """Return our time over a peer's; None if it has none."""
        runs = self.runs[sweep]
        if peer not in runs or OURS not in runs:
            return None
        return runs[OURS].time.median / runs[peer].time.median


def measure(name: str, layer: Conv, module: ModuleType, seconds: float) -> Row:
    """Time a module and every peer in turn, each sweep for so many seconds."""
    data = draw(layer)
    exact = _exact(layer, data)
    ours = Peer(
        lambda: module.forward(data.x, data.weight),
        lambda: module.backward(data.grad, data.x, data.weight),
    )
    everyone = {OURS: ours, **dict(peers(layer, data))}
    runs: dict[str, dict[str, Run]] = {}
    memory: dict[str, int] = {}
    wrong: list[str] = []
    for sweep in SWEEPS:
        module.release()
        memory[sweep] = extra_memory(getattr(ours, sweep))
        calls = {n: call for n, peer in everyone.items() if (call := getattr(peer, sweep)) is not None}
        errors = {n: _error(call, exact[sweep]) for n, call in calls.items()}
        wrong += [f"{n} ({sweep})" for n, error in errors.items() if not error <= WRONG]
        right: dict[str, Call] = {n: call for n, call in calls.items() if errors[n] <= WRONG}
        times = race(right, budget=seconds)
        runs[sweep] = {n: Run(found, errors[n]) for n, found in times.items()}
    counts = {
        "forward": flops(layer.graph),
        "backward": sum(flops(layer.gradient(n)) for n in layer.differentiable),
    }
    return Row(name, layer.as_dict(), counts, runs, memory, tuple(wrong))


def _exact(layer: Conv, data: Data) -> dict[str, list[NDArray[np.float64]]]:
    """Compute both sweeps in float64, from the layer's own sums."""
    tensors = {"X": data.x.astype(float), "F": data.weight.astype(float), "G": data.grad.astype(float)}
    gradients = [evaluate_arrays(layer.gradient(name), tensors) for name in ("x", "weight")]
    return {"forward": [evaluate_arrays(layer.graph, tensors)], "backward": gradients}


def _error(call: Call, exact: Sequence[NDArray[np.float64]]) -> float:
    """Return the largest error of a call's results, relative to each one's largest number."""
    errors = [
        float(np.abs(np.asarray(array, dtype=float) - wanted).max() / np.abs(wanted).max())
        for array, wanted in zip(_arrays(call()), exact, strict=True)
    ]
    return max(errors)


def extra_memory(call: Call) -> int:
    """Return the most bytes that a call of NumPy's functions holds at once, beyond its results."""
    tracemalloc.start()
    try:
        results = _arrays(call())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak - sum(int(array.nbytes) for array in results)


def _arrays(received: Any) -> tuple[Any, ...]:
    return received if isinstance(received, tuple) else (received,)


@dataclass(frozen=True)
class Limits:
    """What this machine's core can do: a matrix product's operations, and a copy's bytes, a second."""

    sgemm: float
    copy_far: float
    copy_near: float


def limits() -> Limits:
    """Measure the largest of several: a product of 1024² matrices, copies of 64 MB and of 256 kB."""
    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal((1024, 1024), dtype=np.float32) for _ in range(3))
    far, near = (np.ones(size // 4, np.float32) for size in (64 << 20, 256 << 10))
    other_far, other_near = far.copy(), near.copy()
    return Limits(
        2 * 1024**3 / _least(lambda: np.matmul(a, b, out=c), 8),
        2 * far.nbytes / _least(lambda: np.copyto(other_far, far), 8),
        2 * near.nbytes / _least(lambda: np.copyto(other_near, near), 400),
    )


def _least(call: Callable[[], object], count: int) -> float:
    """Return the shortest of some calls, in seconds."""
    call()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
