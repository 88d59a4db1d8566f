"""Functions in float without branches: how far they are from the exact values."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special

from symconv.targets.c.file import mathematics
from tests.targets.test_c import COMPILER, needs_compiler

Array = NDArray[Any]
STEP = 1511  # every so many bit patterns: some three million floats of every size, NaN and infinity
EXACT: dict[str, tuple[Callable[[Array], Array], float]] = {
    "exp": (np.exp, 2),
    "expm1": (np.expm1, 2),
    "tanh": (np.tanh, 2),
    "erfc": (special.erfc, 6),
    "erf": (special.erf, 3),
}
HEAD = """
#include <math.h>
#include <stdint.h>
#include <string.h>
typedef float real;
"""
LOOP = """
void all(const float *x, float *y, int n)
{{
    for (int i = 0; i < n; i++)
        y[i] = {}(x[i]);
}}
"""
FLAGS = [
    "-std=c99",
    "-O2",
    "-ftree-vectorize",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wconversion",
    "-Werror",
]
WAYS = [["-march=native", "-ffp-contract=fast"], ["-ffp-contract=off"]]


def error(text: str, name: str, flags: list[str], folder: Path) -> float:
    """Return the largest error in units in the last place; infinite where a special value is wrong."""
    source, library = folder / "near.c", folder / "near.so"
    source.write_text(f"{HEAD}{text}\n{LOOP.format(name)}\n", "utf-8")
    files = [str(source), "-shared", "-fPIC", "-o", str(library), "-lm"]
    subprocess.run([str(COMPILER), *FLAGS, *flags, *files], check=True)
    x = np.arange(0, 2**32, STEP, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = np.append(x, np.array([0, -0.0, 1, -1, np.inf, -np.inf, np.nan], np.float32))
    y = np.empty_like(x)
    pointers = (ctypes.c_void_p(array.ctypes.data) for array in (x, y))
    ctypes.CDLL(str(library)).all(*pointers, len(x))
    with np.errstate(all="ignore"):
        exact = EXACT[name][0](x.astype(float))
        near = exact.astype(np.float32)
    special_ones = ~np.isfinite(near)
    if not np.array_equal(y[special_ones], near[special_ones], equal_nan=True):
        return np.inf
    unit = np.spacing(np.maximum(np.abs(near[~special_ones]), np.finfo(np.float32).tiny))
    return float((np.abs(y[~special_ones] - exact[~special_ones]) / unit).max())


@needs_compiler
@pytest.mark.parametrize("flags", WAYS, ids=["native", "plain"])
@pytest.mark.parametrize("name", EXACT)
def test_functions_are_as_near_as_they_say(name: str, flags: list[str], tmp_path: Path) -> None:
    (text,) = mathematics(f"{name}(")
    assert f"To {EXACT[name][1]} units" in text or f"to {EXACT[name][1]} units" in text
    assert error(text, name, flags, tmp_path) <= EXACT[name][1]


@needs_compiler
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("exp", "0.1666666691f", "0.1666566691f"),
        ("exp", "return or_nan(value, x);", "return value;"),
        ("tanh", "a < 0.625f", "a < 0.825f"),
        ("erfc", "0xFFFFF000u", "0xFFFFFFFFu"),
    ],
)
def test_a_wrong_number_is_seen(name: str, old: str, new: str, tmp_path: Path) -> None:
    (text,) = mathematics(f"{name}(")
    assert old in text
    assert error(text.replace(old, new), name, WAYS[0], tmp_path) > EXACT[name][1]
