"""What every generated module promises besides right numbers, tried on its public functions.

Results are fresh, ``out=`` is written to and must not overlap an input; any strides, byte order and
read-only arrays are accepted, other shapes and dtypes are refused in words; inputs stay as they are;
threads do not disturb each other; ``release()`` frees the workspace.
"""

from __future__ import annotations

import itertools
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Barrier
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.check.interface import positional, public_functions
from symconv.check.report import Result
from symconv.layers.layer import Layer
from symconv.layers.network import Network
from symconv.layers.random_labels import labels_of

Array = NDArray[Any]
Arguments = dict[str, Any]  # arrays, or dicts of arrays, by the names of a function's parameters

THREADS = 4
ELEMENTS = 2_000_000  # that each thread is given
CALLS = 40  # of each thread, at most


@dataclass(frozen=True)
class Case:
    """A function of a module, and what draws its arguments."""

    name: str
    function: FunctionType
    draw: Callable[[int], Arguments]

    def call(self, arguments: Arguments, **options: object) -> tuple[Array, ...]:
        """Return every array that the function returns."""
        with np.errstate(all="ignore"):  # a thread has its own
            return tuple(arrays_in(self.function(*arguments.values(), **options)))

    @property
    def takes_out(self) -> bool:
        """Whether results can be written into arrays that are given."""
        return "out" in (self.function.__kwdefaults__ or {})


def check_promises(layer: Layer, module: ModuleType) -> tuple[Result, ...]:
    """Try what a generated module promises, in its own dtype.

    Parameters
    ----------
    layer
        The layer that the module says it computes.
    module
        The module, as it is.
    """
    functions = list(cases(layer, module))
    results = []
    for name, promise in _PROMISES.items():
        broken = [f"{case.name}: {text}" for case in functions if (text := _tried(promise, case))]
        detail = "; ".join(broken) or ", ".join(case.name for case in functions)
        results.append(Result(name, "contract", not broken, detail))
    results.append(_released(module, functions))
    return tuple(results)


def _tried(promise: Callable[[Case], str], case: Case) -> str:
    try:
        return promise(case)
    except Exception as error:  # whatever the code under check raises is its answer
        return f"raises {type(error).__name__}: {' '.join(str(error).split())}"


def cases(layer: Layer, module: ModuleType) -> Iterator[Case]:
    """Visit the public functions with what draws their arguments by name."""
    draw = (
        partial(_network_arguments, layer.network) if layer.network else partial(_layer_arguments, layer)
    )
    for name, function in public_functions(module).items():
        names = positional(function)

        def drawn(seed: int, names: tuple[str, ...] = names) -> Arguments:
            return draw(names, np.random.default_rng(seed))

        yield Case(name, function, drawn)


def _numbers(layer: Layer, name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    if name in layer.classes:
        return labels_of(layer, name, rng)
    numbers = np.asarray(rng.standard_normal(shape))
    positive = name.endswith("running_var")
    return np.asarray(np.abs(numbers) + 0.5 if positive else numbers).astype(layer.dtype)


def _layer_arguments(layer: Layer, names: tuple[str, ...], rng: np.random.Generator) -> Arguments:
    """Draw what a layer's function takes: inputs, grad_output, and changes of either order."""
    shapes = dict(layer.inputs) | {"grad_output": layer.output_shape}
    changes = [name for name in names if name not in shapes]
    shapes |= dict(zip(changes, (layer.inputs[n] for n in layer.differentiable), strict=False))
    return {name: _numbers(layer, name, shapes[name], rng) for name in names}


def _network_arguments(layer: Network, names: tuple[str, ...], rng: np.random.Generator) -> Arguments:
    """Draw what a network's function takes: dicts of parameters and their changes, and arrays."""
    upstream = {"grad_output": next(iter(layer.returned.values()))}
    upstream |= {f"grad_{name}": shape for name, shape in layer.returned.items()}
    ways = {f"{way}{name}": shape for name, shape in layer.values.items() for way in ("t", "gg")}
    shapes = layer.values | layer.labels | upstream | ways

    def by_name(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
        return {name: _numbers(layer, name, shape, rng) for name, shape in shapes.items()}

    drawn: Arguments = {}
    for name in names:
        if name == "params":
            drawn[name] = by_name(layer.held)
        elif name == "v":
            drawn[name] = by_name(layer.trained)
        elif name == "masks":
            drawn[name] = by_name(layer.mask_shapes)
        else:
            drawn[name] = _numbers(layer, name, shapes[name], rng)
    return drawn


def flat(value: object) -> list[Array]:
    """Return every array in what a function takes or returns."""
    return list(arrays_in(value))


def arrays_in(value: object) -> Iterator[Array]:
    """Visit every array in what a function takes or returns."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from arrays_in(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from arrays_in(part)
    else:
        yield np.asarray(value)


def _changed(arguments: Arguments, change: Callable[[Array], Array]) -> Arguments:
    return {
        name: {key: change(array) for key, array in value.items()}
        if isinstance(value, Mapping)
        else change(value)
        for name, value in arguments.items()
    }


def same(one: tuple[Array, ...], other: tuple[Array, ...]) -> bool:
    """Whether two calls returned the same arrays."""
    return len(one) == len(other) and all(
        np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True)
    )


def _is_fresh(case: Case) -> str:
    """Say if results share memory with each other, an earlier call's or an input."""
    arguments = case.draw(0)
    first = case.call(arguments)
    kept = [array.copy() for array in first]
    second = case.call(case.draw(1))
    if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, kept, strict=True)):
        return "another call changes an earlier result"
    every = [*first, *second]
    for at, array in enumerate(every):
        if any(np.shares_memory(array, other) for other in every[at + 1 :]):
            return "results share memory"
        if any(np.shares_memory(array, given) for given in arrays_in(tuple(arguments.values()))):
            return "a result shares memory with an input"
    return ""


def _keeps_inputs(case: Case) -> str:
    """Say if an input is written to."""
    arguments = case.draw(0)
    before = [array.copy() for array in arrays_in(tuple(arguments.values()))]
    case.call(arguments)
    after = list(arrays_in(tuple(arguments.values())))
    same = all(np.array_equal(a, b, equal_nan=True) for a, b in zip(before, after, strict=True))
    return "" if same else "writes to an input"


def _writes_out(case: Case) -> str:
    """Say if ``out=`` is not what is returned, has other numbers, or may overlap an input."""
    if not case.takes_out:
        return ""
    arguments = case.draw(0)
    wanted = case.call(arguments)
    with np.errstate(all="ignore"):
        several = isinstance(case.function(*arguments.values()), tuple)
    outs = tuple(np.full_like(array, 7) for array in wanted)
    received = case.call(arguments, out=outs if several else outs[0])
    if not all(a is b or np.shares_memory(a, b) for a, b in zip(received, outs, strict=True)):
        return "out= is not written to"
    if not same(outs, wanted):
        return "out= gets other numbers"
    for name, value in arguments.items():
        if not isinstance(value, np.ndarray):
            continue
        for at, out in enumerate(outs):
            if value.dtype != out.dtype or not min(value.size, out.size):
                continue
            memory = np.empty(max(value.size, out.size), out.dtype)
            memory[: value.size] = value.ravel()
            given = {**arguments, name: memory[: value.size].reshape(value.shape)}
            shared = memory[: out.size].reshape(out.shape)
            others = (*outs[:at], shared, *outs[at + 1 :])
            if not refuses(case, given, out=others if several else shared):
                return f"out= may overlap {name}"
    for one, other in itertools.combinations(range(len(outs)), 2):
        if outs[one].dtype != outs[other].dtype or not min(outs[one].size, outs[other].size):
            continue
        memory = np.empty(max(outs[one].size, outs[other].size), outs[one].dtype)
        views = {at: memory[: outs[at].size].reshape(outs[at].shape) for at in (one, other)}
        if not refuses(case, arguments, out=tuple(views.get(at, out) for at, out in enumerate(outs))):
            return "two arrays of out= may overlap"
    wrong = np.zeros((*outs[0].shape, 2), outs[0].dtype)
    if not refuses(case, arguments, out=(wrong, *outs[1:]) if several else wrong):
        return "out= of another shape is not refused"
    return ""


def refuses(case: Case, arguments: Arguments, **options: object) -> str:
    """Return the words with which a call is refused; nothing if it is not."""
    try:
        case.call(arguments, **options)
    except (ValueError, TypeError) as error:
        return str(error)
    return ""


def _takes_any_layout(case: Case) -> str:
    """Say if strides, byte order or read-only arrays change the result."""

    def eighths(array: Array) -> Array:
        """Round, so that NumPy's sums are exact in every order in which it adds."""
        return np.asarray(np.round(8 * array) / 8, array.dtype) if array.dtype.kind == "f" else array

    arguments = _changed(case.draw(0), eighths)
    wanted = case.call(arguments)

    def strided(array: Array) -> Array:
        wide = np.zeros((*array.shape, 2), array.dtype)[..., 0]
        wide[...] = array
        return wide

    def swapped(array: Array) -> Array:
        return array.astype(array.dtype.newbyteorder())

    def read_only(array: Array) -> Array:
        array = array.copy()
        array.flags.writeable = False
        return array

    for words, change in (
        ("strided arrays", strided),
        ("the other byte order", swapped),
        ("read-only arrays", read_only),
    ):
        received = case.call(_changed(arguments, change))
        close = len(received) == len(wanted) and all(
            np.allclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True)
            for a, b in zip(received, wanted, strict=True)
        )
        if not close:
            return f"{words} give other numbers"
    return ""


def _refuses_others(case: Case) -> str:
    """Say if another shape or dtype is accepted, or refused without both in the text."""
    arguments = case.draw(0)
    for name, value in arguments.items():
        if not isinstance(value, np.ndarray):
            continue
        larger = np.zeros((*value.shape, 2), value.dtype)
        said = refuses(case, {**arguments, name: larger})
        if not said:
            return f"{name} of another shape is accepted"
        if str(larger.shape) not in said or str(value.shape) not in said:
            return f"{name} of another shape is refused without both shapes in the text: {said}"
        if value.dtype.kind != "f":
            continue
        for other in ("float64" if value.dtype == np.float32 else "float32", "int64"):
            said = refuses(case, {**arguments, name: value.astype(other)})
            if not said:
                return f"{name} of dtype {other} is accepted"
            if other not in said or str(value.dtype) not in said:
                return f"{name} of dtype {other} is refused without both dtypes in the text: {said}"
    return ""


def _is_safe_in_threads(case: Case) -> str:
    """Say if calls from several threads at once give other results than one after the other."""
    given = [case.draw(seed) for seed in range(THREADS)]
    wanted = [case.call(arguments) for arguments in given]

    start = Barrier(THREADS)
    size = sum(array.size for array in arrays_in(tuple(given[0].values())))
    calls = max(2, min(CALLS, ELEMENTS // max(size, 1)))

    def work(at: int) -> bool:
        start.wait()
        return all(same(case.call(given[at]), wanted[at]) for _ in range(calls))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads take turns within a call
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            right = list(pool.map(work, range(THREADS)))
    finally:
        sys.setswitchinterval(interval)
    return "" if all(right) else "threads disturb each other"


_PROMISES: dict[str, Callable[[Case], str]] = {
    "fresh results": _is_fresh,
    "inputs unchanged": _keeps_inputs,
    "out=": _writes_out,
    "strides, byte order, read-only": _takes_any_layout,
    "other shapes and dtypes refused": _refuses_others,
    "threads": _is_safe_in_threads,
}


def _released(module: ModuleType, functions: list[Case]) -> Result:
    """Check that ``release()`` is there, and that functions work after it as before."""
    try:
        for case in functions:
            arguments = case.draw(0)
            before = case.call(arguments)
            module.release()
            if not same(case.call(arguments), before):
                return Result("release()", "contract", False, f"{case.name}: other numbers after it")
            with ThreadPoolExecutor(1) as pool:  # a new thread has no workspace yet
                held, left = pool.submit(_memory, module, case, arguments).result()
            if held and left >= held:
                text = f"{case.name}: all {held} bytes of the workspace are kept"
                return Result("release()", "contract", False, text)
    except Exception as error:  # whatever the code under check raises is its answer
        return Result("release()", "contract", False, f"raises {type(error).__name__}: {error}")
    return Result("release()", "contract", True, "frees the workspace; the next call allocates its own")


def _memory(module: ModuleType, case: Case, arguments: Arguments) -> tuple[int, int]:
    """Return how many bytes of arrays are held after a call, and how many of them after release()."""

    def held() -> int:
        arrays = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
        traces = tracemalloc.take_snapshot().filter_traces([arrays]).traces
        return sum(trace.size for trace in traces)

    tracemalloc.start()
    try:
        case.call(arguments)
        before = held()
        module.release()
        return before, held()
    finally:
        tracemalloc.stop()
