"""One layer, in every library: times and errors, and how near the machine's limits they are."""

from __future__ import annotations

import platform
import time
import tracemalloc
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.bench.peers import PEERS, Call, Data, Peer, draw, peers
from symconv.bench.timing import Time, race
from symconv.layers.conv import Conv
from symconv.lower.flops import flops
from symconv.notation.arrays import evaluate_arrays

OURS, FAST = "symconv", "symconv fast"  # with accuracy="fast", where that is another algorithm
IN_C, FAST_IN_C = "symconv C", "symconv C fast"  # with target="c", called from Python
DEFAULTS = {FAST: OURS, FAST_IN_C: IN_C}
FASTEST = ("PyTorch", "ONNX Runtime", "JAX")  # compiled libraries
BEST = "the fastest of these three"
WRONG = 1e-2  # relative error with which nobody takes part
SWEEPS = ("forward", "backward")


@dataclass(frozen=True)
class Run:
    """What one library took for one sweep, and its largest error relative to the largest number.

    ``memory``: bytes that a module of ours holds beyond its results at the sweep's peak, scratch
    arrays included; None for others.
    """

    time: Time
    error: float
    memory: int | None = None


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
    wrong
        Libraries that were left out, since what they returned was wrong.
    """

    name: str
    layer: dict[str, object]
    flops: dict[str, int]
    runs: dict[str, dict[str, Run]]
    wrong: tuple[str, ...]

    def ours(self, sweep: str, accuracy: str = OURS) -> Run | None:
        """Return our run; without another algorithm for it, accuracy="fast" is the default."""
        return self.runs[sweep].get(accuracy, self.runs[sweep].get(DEFAULTS.get(accuracy, OURS)))

    def ratio(self, sweep: str, peer: str, accuracy: str = OURS) -> float | None:
        """Return our time over a peer's; None if there is none."""
        own = self.ours(sweep, accuracy)
        names = FASTEST if peer == BEST else (peer,)
        others = [run.time.median for n in names if (run := self.runs[sweep].get(n)) is not None]
        return own.time.median / min(others) if own and others else None


def measure(
    name: str,
    layer: Conv,
    modules: Mapping[str, ModuleType],
    seconds: float,
    against: Collection[str] | None = None,
) -> Row:
    """Time our modules and every peer, or some, in turn, each sweep for so many seconds."""
    data = draw(layer)
    exact = _exact(layer, data)
    ours = {accuracy: _calls(module, data) for accuracy, module in modules.items()}
    everyone = {**ours, **dict(peers(layer, data, PEERS if against is None else against))}
    runs: dict[str, dict[str, Run]] = {}
    wrong: list[str] = []
    for sweep in SWEEPS:
        memory: dict[str, int] = {}
        for accuracy, module in modules.items():
            if accuracy in (IN_C, FAST_IN_C):  # whose functions take what the caller gives
                continue
            module.release()
            memory[accuracy] = extra_memory(getattr(ours[accuracy], sweep))
        calls = {n: call for n, peer in everyone.items() if (call := getattr(peer, sweep)) is not None}
        errors = {n: _error(call, exact[sweep]) for n, call in calls.items()}
        wrong += [f"{n} ({sweep})" for n, error in errors.items() if not error <= WRONG]
        right: dict[str, Call] = {n: call for n, call in calls.items() if errors[n] <= WRONG}
        times = race(right, budget=seconds)
        runs[sweep] = {n: Run(found, errors[n], memory.get(n)) for n, found in times.items()}
    counts = {
        "forward": flops(layer.graph),
        "backward": sum(flops(layer.gradient(n)) for n in layer.differentiable),
    }
    return Row(name, layer.as_dict(), counts, runs, tuple(wrong))


def _calls(module: ModuleType, data: Data) -> Peer:
    return Peer(
        lambda: module.forward(data.x, data.weight),
        lambda: module.backward(data.grad, data.x, data.weight),
    )


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
    return float(np.max(errors))  # NaN, if one is


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
