"""Threads share loops: whose turns are apart, and the same bytes for any number of threads."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from symconv import Activation, Conv, generate
from symconv.layers import Layer
from symconv.notation.contraction import Access, Tensor, index
from symconv.notation.polynomial import Polynomial
from symconv.targets.c.threads import shared
from tests.targets.test_c import COMPILER, needs_compiler

N, P, K = map(index, "npk")
SIZES = (("p", 300), ("k", 3), ("n", 100))


@pytest.mark.parametrize(
    ("subscripts", "found"),
    [
        ((N, 3 * P + K), ["SHARED(2)"]),
        ((N, P + 300 * K), ["SHARED(2)"]),
        ((N, 2 * P + K), ["SHARED(1)"]),  # 2·0 + 2 = 2·1 + 0
        ((K, 2 * P + N), []),
        ((P,), []),
    ],
)
def test_only_turns_that_are_apart_are_shared(
    subscripts: tuple[Polynomial, ...], found: list[str]
) -> None:
    target = Tensor("y", (1000,) * len(subscripts))[subscripts]
    assert shared(target, (), ["n", "p", "k"], SIZES) == found


def test_what_is_read_at_another_place_is_not_shared() -> None:
    y = Tensor("y", (1000, 1000))
    sources: list[Access] = [y[N, P + 1]]
    assert shared(y[N, P], sources, ["n", "p"], SIZES) == []
    assert shared(y[N, P], [y[N, P]], ["n", "p"], SIZES) == ["SHARED(1)"]


LAYERS: dict[str, Layer] = {
    "tiles": Conv((2, 16, 24, 24), 16, 3, padding=1),
    "filters": Conv((2, 32, 14, 14), 64, 3, padding=1),
    "phases": Conv((2, 16, 25, 25), 16, 3, stride=2, padding=1),
    "gelu": Activation((64, 512), "gelu"),
}
PROGRAM = """
import json, sys, zlib, numpy as np, shared_out
rng = np.random.default_rng(0)
inputs, output = json.loads(sys.argv[1])
x, *others, grad = [rng.standard_normal(shape, dtype=np.float32) for shape in (*inputs, output)]
found = (shared_out.forward(x, *others), *shared_out.backward(grad, x, *others))
print([zlib.crc32(array.tobytes()) for array in found])
"""


def printed(layer: Layer, folder: Path, threads: int, flags: str = "-fopenmp") -> str:
    """Return what numbers a program prints for the results' bytes, with so many threads."""
    shapes = json.dumps([list(layer.inputs.values()), layer.output_shape])
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "CFLAGS": flags}
    environment["XDG_CACHE_HOME"] = os.fspath(folder / "cache")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, shapes],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@needs_compiler
@pytest.mark.parametrize("accuracy", ["direct", "fast"])
@pytest.mark.parametrize("name", LAYERS)
def test_any_number_of_threads_gives_the_same_bytes(name: str, accuracy: str, tmp_path: Path) -> None:
    path = generate(LAYERS[name], "shared_out", target="c", accuracy=accuracy).write(tmp_path)
    assert re.search(r"^ +SHARED\(", path.read_text("utf-8"), re.MULTILINE)
    alone = printed(LAYERS[name], tmp_path, 1, "")
    for threads in (1, 2, 3):
        assert printed(LAYERS[name], tmp_path, threads) == alone


@needs_compiler
def test_a_result_that_depends_on_the_threads_is_seen(tmp_path: Path) -> None:
    path = generate(LAYERS["gelu"], "shared_out", target="c").write(tmp_path)
    text = path.read_text("utf-8").replace(
        "#include <stddef.h>", "#include <omp.h>\n#include <stddef.h>"
    )
    wrong = text.replace("    SHARED(", "    y_data[0] = (real)omp_get_max_threads();\n    SHARED(", 1)
    path.write_text(wrong.replace("size_t n = 0", "size_t n = 1", 1), "utf-8")
    layer = LAYERS["gelu"]
    assert printed(layer, tmp_path, 3) != printed(layer, tmp_path, 1)


@needs_compiler
def test_the_pragmas_raise_no_warning(tmp_path: Path) -> None:
    path = generate(LAYERS["tiles"], "shared_out", target="c").write(tmp_path)
    flags = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-c", "-o", os.devnull]
    for more in ([], ["-fopenmp"]):
        subprocess.run([str(COMPILER), *flags, *more, path], check=True)
