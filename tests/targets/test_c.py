"""Kernels in C: the compiled text computes what the kernel means."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy
from numpy.typing import NDArray

from symconv.errors import KernelError
from symconv.kernel.language import Blocks, Buffer, Do, Kernel, Loop, Span, walk
from symconv.kernel.run import run
from symconv.kernel.simplify import simplified
from symconv.layers import Activation, BatchNorm, Contraction, Conv, Layer, Linear
from symconv.lower.layer_plan import Function
from symconv.notation.arrays import run_arrays
from symconv.notation.contraction import Contraction as Contraction_
from symconv.notation.contraction import Tensor, index
from symconv.notation.graph import Elementwise
from symconv.targets.c.file import MATHEMATICS, mathematics
from symconv.targets.c.routine import routine
from symconv.targets.numpy.plan import plan_layer
from symconv.templating import environment, fill
from tests.kernel.kernels import LAYERS, drawn

Array = NDArray[Any]
COMPILER = shutil.which("cc")
FLAGS = [
    *("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"),
    "-Wno-unused-function",  # of HELPERS
    *("-O1", "-fsanitize=undefined", "-fno-sanitize-recover", "-shared", "-fPIC", "-lm"),
]
HEAD = """\
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
typedef {real} real;
{functions}
"""
REALS = {np.float64: "double", np.uint64: "uint64_t"}
(FUNCTIONS,) = mathematics(" ".join(f"{name}(" for name in (*MATHEMATICS, "pow")))
FUNCTIONS += fill("c/threads.c.j2")
FUNCTIONS += fill("c/checks.c.j2", prefix="KERNELS")
HELPERS = environment().get_template("c/helpers.c.j2").module
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler: install gcc or clang")


def compiled(texts: Sequence[str], dtype: Any, path: Path) -> ctypes.CDLL:
    """Compile functions, with every warning an error, and load them."""
    source, library = path / "kernels.c", path / "kernels.so"
    helpers = [str(getattr(HELPERS, name)()) for name in ("is_nan", "larger", "square", "sign")]
    source.write_text("\n".join([HEAD.format(real=REALS[dtype], functions=FUNCTIONS), *helpers, *texts]))
    subprocess.run([str(COMPILER), source, "-o", library, *FLAGS], check=True)
    return ctypes.CDLL(str(library))


def called(
    library: ctypes.CDLL, function: Function, inputs: Mapping[str, Array], dtype: Any
) -> dict[str, Array]:
    """Call a function; what it must not read is full of other numbers, and has guards around it."""
    kernel, size = function.kernel, routine(function.kernel, function.name).workspace
    given = [np.ascontiguousarray(inputs[b.tensor.name], dtype) for b in kernel.inputs]
    found = {b.tensor.name: np.full(b.tensor.sizes, 77, dtype) for b in kernel.outputs}
    workspace = [np.full(size + 16, 99, dtype)] if size else []
    arrays = (*given, *found.values(), *workspace)
    getattr(library, function.name)(*(ctypes.c_void_p(array.ctypes.data) for array in arrays))
    if any((array[-16:] != 99).any() for array in workspace):
        raise MemoryError(f"{function.name} writes behind its workspace")
    return found


@needs_compiler
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_c_computes_what_a_kernel_means(layer: Layer, tmp_path: Path) -> None:
    _check(layer, tmp_path)


def test_sums_outside_all_loops_have_names_of_their_own() -> None:
    layer = BatchNorm((2, 1, 3, 70))  # one channel: no loop goes over it
    text = routine(plan_layer(layer).functions[0].kernel, "forward").text()
    names = re.findall(r"^    real (\w+)\[35\]", text, re.MULTILINE)
    assert len(names) == len(set(names)) > 1


@needs_compiler
def test_several_sums_at_once(tmp_path: Path) -> None:
    layer = BatchNorm((2, 2, 3, 70))  # a row is two stretches of 35
    texts = [routine(f.kernel, f.name).text() for f in plan_layer(layer).functions]
    assert "real sums[35] = {0};" in texts[0]
    _check(layer, tmp_path)


def _check(layer: Layer, tmp_path: Path) -> None:
    functions = plan_layer(layer).functions
    library = compiled([routine(f.kernel, f.name).text() for f in functions], np.float64, tmp_path)
    for function in functions:
        inputs = drawn(function.kernel, layer)
        expected = run(function.kernel, inputs)
        for name, array in called(library, function, inputs, np.float64).items():
            wanted = expected[name].astype(float)
            assert np.allclose(array, wanted, rtol=1e-12, atol=1e-12), (function.name, name)


@needs_compiler
def test_integers_are_exact_modulo_2_to_the_64(tmp_path: Path) -> None:
    layer = Conv((2, 4, 5, 6), 6, (3, 2), groups=2, padding=((0, 1), (2, 0)), stride=(1, 2))
    functions = plan_layer(layer).functions
    library = compiled([routine(f.kernel, f.name).text() for f in functions], np.uint64, tmp_path)
    for function in functions:
        inputs = _words(function)
        expected = run(function.kernel, {n: a.astype(object) for n, a in inputs.items()})
        for name, array in called(library, function, inputs, np.uint64).items():
            assert (array == expected[name] % 2**64).all(), function.name


def _words(function: Function) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    buffers = [b.tensor for b in function.kernel.inputs]
    return {b.name: rng.integers(0, 2**64, b.sizes, np.uint64, endpoint=False) for b in buffers}


@needs_compiler
def test_the_last_block_is_shorter(tmp_path: Path) -> None:
    function = plan_layer(Conv((4, 16, 58, 56), 16, 3, padding=1)).forward
    loops = [s for s in walk(simplified(function.kernel).body) if isinstance(s, Loop)]
    assert any(isinstance(s.rows, Blocks) and 58 % s.rows.size for s in loops)
    library = compiled([routine(function.kernel, "forward").text()], np.float64, tmp_path)
    rng = np.random.default_rng(0)
    inputs: dict[str, Array] = {
        b.tensor.name: rng.integers(-9, 9, b.tensor.sizes).astype(float) for b in function.kernel.inputs
    }
    graph, names = function.source.graph, function.source.names
    expected = run_arrays(graph, {tensor: inputs[names[tensor]] for tensor in graph.inputs})
    found = called(library, function, inputs, np.float64)
    assert (found["y"] == expected[graph.output.name]).all()


NAMES = [
    ("O[i] = double[i+k]*F[k]", (("double", (6,)), ("F", (3,)))),
    ("O[i] = X[i+sum]*F[sum]", (("X", (6,)), ("F", (3,)))),
    ("O[i] = workspace[i+k]*real[k]", (("workspace", (6,)), ("real", (3,)))),
    ("O[do] max= X[do+largest]*F[largest]", (("X", (6,)), ("F", (3,)))),
]


@needs_compiler
@pytest.mark.parametrize(("formula", "shapes"), NAMES)
def test_names_that_mean_something_in_c(formula: str, shapes: Any, tmp_path: Path) -> None:
    _check(Contraction(formula, shapes=shapes), tmp_path)


@needs_compiler
@pytest.mark.parametrize("function", ["abs(x)", "erf(x)", "x^3", "log(1 + exp(x))", "10^30*x"])
def test_functions_of_expressions(function: str, tmp_path: Path) -> None:
    _check(Activation((2, 3), function=function), tmp_path)


MUTANTS = {
    "a product is not added": ("sum += ", "sum = "),
    "a sum does not begin at 0": ("real sum = 0;", "real sum = 1;"),
    "a loop ends early": ("c < 2;", "c < 1;"),
    "a subscript is shifted": ("[i + yy]", "[yy]"),
    "a border is not cleared": ("memset(padded, 0, 48 * sizeof(real));", ""),
    "an array lies too far back in the workspace": ("(workspace + 384)", "(workspace + 400)"),
    "a bias is of the first group": ("bias[3 * g + o]", "bias[o]"),
}


@needs_compiler
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_planted_error_is_found(mutant: str, tmp_path: Path) -> None:
    layer = Conv((2, 4, 5, 6), 6, (3, 2), groups=2, padding=((0, 1), (2, 0)))
    function = plan_layer(layer).forward
    text, (old, new) = routine(function.kernel, "forward").text(), MUTANTS[mutant]
    assert old in text
    library = compiled([text.replace(old, new)], np.uint64, tmp_path)
    inputs = _words(function)
    expected = run(function.kernel, {n: a.astype(object) for n, a in inputs.items()})
    try:
        found = called(library, function, inputs, np.uint64)
    except MemoryError:
        return
    assert (found["y"] != expected["y"] % 2**64).any()


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_lines_are_short_and_the_text_is_the_same_again(layer: Layer) -> None:
    for function in plan_layer(layer, 2).functions:
        found = routine(function.kernel, function.name)
        assert max(map(len, found.text().splitlines())) <= 100
        assert found == routine(function.kernel, function.name)


def test_what_c_cannot_do_is_refused() -> None:
    plan = plan_layer(Conv((1, 1, 64, 64), 1, 31), accuracy="fast")
    with pytest.raises(KernelError, match="C has no Fourier transforms"):
        routine(plan.forward.kernel, "forward")
    with pytest.raises(KernelError, match=r"C needs numbers for its shape \(samples, 3\)"):
        routine(plan_layer(Linear((None, 3), 2)).forward.kernel, "forward")
    x = Tensor("x", (3,))
    y = Tensor("y", (3,))
    buffers = (Buffer(x, "input"), Buffer(y, "output"))
    i = index("i")
    copy = Do(Contraction_(y[index("do")], (x[index("do")],), ()))
    with pytest.raises(KernelError, match="another meaning for a letter"):
        routine(Kernel("letters", buffers, (Loop(("do",), Span(3), (copy,)),)), "letters")
    gamma = Elementwise(y[i], sympy.gamma(sympy.Symbol("a")), (("a", x[i]),), (("i", 3),))
    with pytest.raises(KernelError, match="C has no function gamma"):
        routine(Kernel("functions", buffers, (Do(gamma),)), "functions")
