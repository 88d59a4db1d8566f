"""The C target as users meet it: files, a module that calls them, checks, refusals."""

from __future__ import annotations

import ctypes
import itertools
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import symconv
from symconv import Conv, Network, SymconvError, check, generate
from symconv.layers import Layer
from tests.effort import long
from tests.kernel.kernels import LAYERS
from tests.layers.test_network import LENET, RESIDUAL
from tests.shell.command import run
from tests.targets.test_c import COMPILER, needs_compiler

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-O1"]
SANITIZED = ["-fsanitize=address,undefined", "-fno-sanitize-recover"]
STRICTLY: dict[str, Layer] = {
    "conv": LAYERS[1],
    "tiles": Conv((2, 8, 9, 9), 12, 3, padding=1, stride=2),
    "lenet": LENET,
    "residual": RESIDUAL,
}
ARTICLE = ["conv", "--input-shape", "1x1x3x3", "--out-channels", "1", "--kernel-size", "2", "--no-bias"]


@needs_compiler
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_every_layer_passes_its_check_in_c(layer: Layer) -> None:
    report = check(generate(layer, "in_c", order=2, target="c"))
    assert report.passed, report


@needs_compiler
@long
@pytest.mark.parametrize("network", [LENET, RESIDUAL], ids=["lenet", "residual"])
def test_networks_pass_their_check_in_c(network: Network) -> None:
    report = check(generate(network, "network_in_c", order=2, target="c"))
    assert report.passed, report


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("name", STRICTLY)
def test_files_compile_without_a_warning(name: str, compiler: str, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not found: .ci/run installs it")
    path = generate(STRICTLY[name], "strict", order=2, target="c").write(tmp_path)
    assert path.name == "strict.c"
    wider = ("-mavx2", "-mavx512f") if platform.machine() == "x86_64" else ()
    for real, also in itertools.product(("float", "double"), ("-DSTRICT_SCALAR", "-g0", *wider)):
        command = [compiler, *STRICT, f"-DSTRICT_REAL={real}", also, "-c", "strict.c"]
        subprocess.run(command, cwd=tmp_path, check=True)


@long
@pytest.mark.parametrize("name", STRICTLY)
def test_clang_compiles_what_passes_the_check(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("clang") is None:
        pytest.skip("clang is not found: .ci/run installs it")
    monkeypatch.setenv("CC", "clang")
    report = check(generate(STRICTLY[name], "by_clang", target="c"))
    assert report.passed, report


MAIN = """\
#include "digits.h"
#include <stdlib.h>

int main(void)
{
    double *x = calloc(%d, sizeof *x), *y = malloc(%d * sizeof *y);
    double *weight = calloc(%d, sizeof *weight), *bias = malloc(%d * sizeof *bias);
    double *workspace = malloc(DIGITS_WORKSPACE * sizeof *workspace);
    for (int i = 0; i < %d; i++)
        bias[i] = i;
    digits_forward(x, weight, bias, y, workspace);
    const int right = y[0] == 0 && y[%d] == 1;
    free(x), free(y), free(weight), free(bias), free(workspace);
    return right ? 0 : 1;
}
"""


@needs_compiler
def test_a_program_in_c_needs_nothing_else(tmp_path: Path) -> None:
    """Under the sanitizers: not a byte beside the arrays, nor of the workspace, is touched."""
    generate(Conv((1, 3, 6, 5), 2, 3, padding=1), "digits", target="c").write(tmp_path)
    (tmp_path / "main.c").write_text(MAIN % (90, 60, 54, 2, 2, 30))
    command = [
        str(COMPILER),
        "-std=c99",
        "-DDIGITS_REAL=double",
        *SANITIZED,
        "main.c",
        "digits.c",
        "-lm",
    ]
    subprocess.run(command, cwd=tmp_path, check=True)
    subprocess.run(["./a.out"], cwd=tmp_path, check=True)


@needs_compiler
def test_the_module_is_that_of_numpy(tmp_path: Path) -> None:
    layer = Conv((2, 3, 6, 5), 4, 3, padding=1)
    ours, theirs = (generate(layer, "same", target=target).load() for target in ("c", "numpy"))
    rng = np.random.default_rng(0)
    x, weight, bias = (rng.standard_normal(s).astype("f") for s in layer.inputs.values())
    y = ours.forward(x, weight, bias)
    assert np.allclose(y, theirs.forward(x, weight, bias), atol=1e-5)
    for received, wanted in zip(
        ours.backward(y, x, weight, bias), theirs.backward(y, x, weight, bias), strict=True
    ):
        assert np.allclose(received, wanted, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="expected shape"):
        ours.forward(x[:1], weight, bias)


@needs_compiler
@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_steps_in_c_are_those_in_python(kind: str) -> None:
    module = generate(LENET, "steps", target="c").load()
    module.__dict__["DTYPE"] = np.float64
    params, rng = module.init(0), np.random.default_rng(0)
    gradients = {name: rng.standard_normal(a.shape) for name, a in params.items()}
    numbers = (0.1, 0.8, 0.01) if kind == "sgd" else (0.1, 0.8, 0.9, 1e-6, 0.01)
    given = (0.1, 0.8, 0.01) if kind == "sgd" else (0.1, (0.8, 0.9), 1e-6, 0.01)
    ours = {name: array.copy() for name, array in params.items()}
    memory = [{n: np.zeros(a.shape) for n, a in params.items()} for _ in range(1 + (kind == "adam"))]
    step = getattr(module._library("float64"), f"steps_{kind}_step")
    state: dict[str, np.ndarray] = {}
    for number in (1, 2, 3):
        structs = [pointers(arrays) for arrays in (ours, gradients, *memory)]
        count = [ctypes.c_size_t(number)] if kind == "adam" else []
        step(*structs, *count, *map(ctypes.c_double, numbers))
        params, state = getattr(module, f"{kind}_step")(params, gradients, state, *given)
    assert all(np.allclose(ours[name], array, rtol=1e-12) for name, array in params.items())


def pointers(arrays: dict[str, np.ndarray]) -> ctypes.Array[ctypes.c_void_p]:
    """Return what C sees of a struct of arrays."""
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays.values()))


@needs_compiler
def test_the_shell_writes_and_checks_the_files(tmp_path: Path) -> None:
    run("generate", *ARTICLE, "--target", "c", "--name", "article", "-o", ".", cwd=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["article.c", "article.h", "article.py"]
    assert "random numbers modulo 2⁶⁴" in run("check", "article.c", cwd=tmp_path)
    text = (tmp_path / "article.c").read_text("utf-8")
    (tmp_path / "article.c").write_text(text.replace("+=", "=", 1), "utf-8")
    assert "FAILED" in run("check", "article.c", cwd=tmp_path, code=1)


def test_a_configuration_has_targets(tmp_path: Path) -> None:
    (tmp_path / "symconv.toml").write_text(
        '[[module]]\nname = "twice"\ntarget = "c"\n'
        'layer = "Linear"\ninput_shape = [2, 3]\nout_features = 2\n'
    )
    run("generate", "--config", "symconv.toml", cwd=tmp_path)
    run("generate", "--config", "symconv.toml", "--check", cwd=tmp_path)
    (tmp_path / "twice.h").write_text("// Generated by symconv 0\n")
    (tmp_path / "old.c").write_text("// Generated by symconv 0\n")
    found = run("generate", "--config", "symconv.toml", "--check", cwd=tmp_path, code=1)
    assert "twice.h: differs" in found
    assert "old.c: stale" in found


def test_without_a_compiler_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = generate(symconv.Linear((2, 3), 2), "none", target="c")
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path))
    with pytest.raises(SymconvError, match=r"no-such-compiler.*install gcc or clang"):
        check(unit)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "double"}, "must not be a keyword or a header of C"),
        ({"name": "math"}, "module of the standard library"),
        ({"name": "tgmath"}, "must not be a keyword or a header of C"),
        ({"target": "fortran"}, "target = 'fortran'"),
        ({"layer": symconv.Linear((None, 3), 2)}, "must be 'numpy' for a layer of any batch"),
    ],
)
def test_what_c_cannot_be_asked_for(arguments: dict[str, object], said: str) -> None:
    given = {"layer": symconv.Linear((2, 3), 2), "name": "asked", "target": "c", **arguments}
    with pytest.raises(SymconvError, match=said):
        generate(**given)  # type: ignore[arg-type]  # what is wrong is the point


@needs_compiler
@pytest.mark.parametrize(
    ("old", "new", "seen"),
    [
        ("memset(padded, 0, 16 ", "memset(padded, 0, 17 ", "writes outside the 16 numbers"),
        ("gx[0][0][y][x] = sum;", "gx[0][9999999][y][x] = sum;", "ends the process by SIG"),
    ],
)
def test_what_reaches_outside_is_seen(old: str, new: str, seen: str, tmp_path: Path) -> None:
    path = generate(Conv((1, 1, 3, 3), 1, 2, bias=False), "outside", target="c").write(tmp_path)
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    report = check(path)
    assert not report.passed
    assert seen in str(report)


@needs_compiler
def test_files_belong_together(tmp_path: Path) -> None:
    layer = Conv((1, 1, 3, 3), 1, 2, bias=False)
    path = generate(layer, "together", target="c").write(tmp_path)
    generate(Conv((1, 1, 4, 4), 1, 2, bias=False), "together", target="c").write(tmp_path / "other")
    header = path.with_suffix(".h")
    header.write_text((tmp_path / "other" / "together.h").read_text("utf-8"), "utf-8")
    with pytest.raises(SymconvError, match=r"together\.h is of another layer"):
        check(path)
    header.unlink()
    with pytest.raises(SymconvError, match=r"together\.h is missing"):
        check(path)
    generate(layer, "together").write(tmp_path)
    with pytest.raises(SymconvError, match=r"belongs to no module: together\.py is one in NumPy"):
        check(path)


MANY = symconv.Add(input_shapes=((2, 3),) * 13)
BARE = Network(({"layer": "Activation", "function": "relu"},), (2, 4))
NAMED = Network((("conv1", {"layer": "Linear", "out_features": 2}),), (2, 4))
WIDE = Conv((1, 1, 200, 200), 16, 3)  # rows of sums of more than 32 767 numbers
TURNED = symconv.Contraction("O[i,x] = F[7-i,c]*X[c,x]", shapes=(("F", (8, 4)), ("X", (4, 32))))


@needs_compiler
@pytest.mark.parametrize("layer", [MANY, BARE, NAMED, WIDE, TURNED], ids=lambda x: type(x).__name__)
def test_what_once_failed_compiles_and_passes(layer: Layer, tmp_path: Path) -> None:
    unit = generate(layer, "conv1", target="c")
    unit.write(tmp_path)
    subprocess.run([str(COMPILER), *STRICT, "-c", "conv1.c"], cwd=tmp_path, check=True)
    report = check(unit)
    assert report.passed, report


@pytest.mark.parametrize("options", [["--json"], ["--explain"], ["--show", "algorithm"]], ids=str)
def test_the_shell_says_what_is_planned(options: list[str]) -> None:
    assert "the sum itself" in run("generate", *ARTICLE, "--target", "c", "--name", "m", *options)


def test_equal_layers_have_one_function_in_c() -> None:
    relu = {"layer": "Activation", "function": "relu"}
    layers = ({"layer": "Linear", "out_features": 4}, relu, {"layer": "Linear", "out_features": 4}, relu)
    source = generate(Network(layers, (2, 4)), "twice", target="c").source
    assert source.count("static void twice_relu1_input_gradient(") == 1
    assert "twice_relu2_input_gradient" not in source
    assert "// relu1, relu2: ∂E/∂X" in source


def test_a_file_that_is_missing_is_called_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(SymconvError, match=r"missing\.c: cannot be read"):
        check(tmp_path / "missing.c")


def test_one_sample_has_the_tiles_of_many() -> None:
    """Loops that statements share must leave a tile its rows."""

    def tiles(batch: int) -> set[str]:
        layer = Conv((batch, 64, 14, 14), 64, 3, padding=1, stride=2)
        source = generate(layer, "conv", target="c").source
        return set(re.findall(r"vec tile\[(.*?)\]", source))

    assert tiles(1) == tiles(2)
    assert not any(rows.startswith("1 *") for rows in tiles(1))
