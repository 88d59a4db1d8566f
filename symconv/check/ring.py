"""Code in C on random numbers modulo 2⁶⁴: what it computes as a polynomial."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.check.exact_range import degree_of, divisor_of
from symconv.check.expected import compare_functions, expected_of, graphs_of, tensors_of
from symconv.check.report import Result
from symconv.layers.layer import Layer
from symconv.notation.arrays import evaluate_arrays
from symconv.notation.graph import Constant

Array = NDArray[Any]
GUARD, GUARDED = 4096, 77  # numbers before and behind the workspace, and what they are


def check_in_ring(layer: Layer, module: ModuleType) -> tuple[Result, ...]:
    """Run the code on random numbers modulo 2⁶⁴, whose sums and products are exact."""
    has_second = hasattr(module, "jvp")
    graphs = graphs_of(layer, has_second)
    degree = max(2, *map(degree_of, graphs))
    chance = math.comb(63 + degree, degree - 1) / 2**64  # that the power of 2 in a value reaches 64
    rng = np.random.default_rng(0)
    tensors = tensors_of(layer, has_second)
    least, most = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    values: dict[str, Array] = {
        name: rng.integers(least, most, tensor.sizes, np.int64, endpoint=True)
        for name, tensor in tensors.items()
    }
    arrays = {tensor.name: values[name] for name, tensor in tensors.items()}
    whole = [evaluate_arrays(graph, arrays).astype(np.int64) for graph in graphs]  # one may be all 0
    expected = expected_of(layer, whole)
    detail = (
        "random numbers modulo 2⁶⁴, {} elements, with vectors and without: code of another polynomial "
        f"of degree {degree}, a coefficient of which is wrong by an odd number, passes with probability "
        f"below {chance:.0e}"
    )
    results = compare_functions(layer, module, values, expected, detail)
    with _compiled_with(module, f"-D{module.NAME.upper()}_SCALAR"):
        plain = compare_functions(layer, module, values, expected, detail)
    return tuple(
        replace(other, name=f"{other.name}, without vectors")
        if result.passed and not other.passed
        else result
        for result, other in zip(results, plain, strict=True)
    )


@contextmanager
def spoilt_workspace(module: ModuleType) -> Iterator[ModuleType]:
    """Give a module in C, before each call, a workspace whose numbers no function may read.

    It is as large as the header says, with guards around it.

    Raises
    ------
    MemoryError
        If a guard is written over.
    """
    own = getattr(module, "_workspace", None)
    if own is None:  # no function needs one
        yield module
        return
    header = Path(str(module.__file__)).with_suffix(".h").read_text("utf-8")
    found = re.search(rf"^#define {module.NAME.upper()}_WORKSPACE (\d+)$", header, re.MULTILINE)
    size = int(found[1]) if found else 0
    dtype = np.dtype(module.DTYPE)
    spoilt = np.iinfo(np.int64).max // 3 if dtype == np.int64 else np.nan
    whole: Array = np.full(size + 2 * GUARD, GUARDED, dtype)

    def workspace() -> Array:
        whole[GUARD : GUARD + size] = spoilt
        return whole[GUARD : GUARD + size]

    module.__dict__["_workspace"] = workspace
    try:
        yield module
    finally:
        module.__dict__["_workspace"] = own
    if (whole[:GUARD] != GUARDED).any() or (whole[-GUARD:] != GUARDED).any():
        raise MemoryError(f"a function writes outside the {size} numbers of its workspace")


@contextmanager
def _compiled_with(module: ModuleType, flag: str) -> Iterator[None]:
    """Compile a module's file with one more flag."""
    own = module.FLAGS
    try:
        _compile_anew(module, (*own, flag))
        yield
    finally:
        _compile_anew(module, own)


def _compile_anew(module: ModuleType, flags: tuple[str, ...]) -> None:
    module.__dict__["FLAGS"] = flags
    module._library.cache_clear()
    module._FUNCTIONS.clear()


def has_whole_numbers(layer: Layer) -> bool:
    """Whether a layer only adds products of its inputs, a whole number of times."""
    graphs = graphs_of(layer, has_second=False)
    constants = any(isinstance(step, Constant) for graph in graphs for step in graph.steps)
    return not constants and all(divisor_of(graph) == 1 for graph in graphs)
