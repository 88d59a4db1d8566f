"""What a program in C gives the functions: arrays that are missing or too small, and first values."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from symconv import Conv, Network, generate
from symconv.layers import Layer
from tests.targets.test_c import needs_compiler

LAYER = Conv((1, 1, 8, 8), 8, 3, padding=1)
NETWORK = Network(
    [
        {"layer": "Conv", "out_channels": 16, "kernel_size": 3},
        {"layer": "BatchNorm"},
        {"layer": "Flatten"},
        {"layer": "Linear", "out_features": 30},
    ],
    (2, 1, 12, 12),
)
STRICT = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
CALL = """\
#include "given.h"
float x[65], weight[72], bias[8], y[512], workspace[GIVEN_WORKSPACE];
float *volatile missing;
int main(void)
{{
    given_forward({arguments});
    return 0;
}}
"""
RIGHT = "x, weight, bias, y, workspace"
WRONG = {"missing": (", y,", ", missing,"), "not aligned": ("x,", "(float *)(void *)((char *)x + 1),")}


def program(layer: Layer, text: str, folder: Path, compiler: str = "cc", *flags: str) -> Path:
    """Compile a program with a layer's functions, every warning an error."""
    path = generate(layer, "given", target="c").write(folder)
    (folder / "main.c").write_text(text, "utf-8")
    built = folder / "program"
    files = [str(folder / "main.c"), str(path), "-o", str(built), "-lm"]
    subprocess.run([compiler, *STRICT, *flags, *files], check=True, capture_output=True, text=True)
    return built


def call(old: str = "", new: str = "") -> str:
    """Return a program with one call, right but for a replacement."""
    return CALL.format(arguments=RIGHT.replace(old, new))


@needs_compiler
@pytest.mark.parametrize("compiler", ["cc", "clang"])
@pytest.mark.parametrize("wrong", WRONG)
def test_checked_functions_stop(wrong: str, compiler: str, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not found: .ci/run installs it")
    flag = "-DGIVEN_CHECK"
    built = program(LAYER, call(), tmp_path, compiler, flag)
    assert subprocess.run([built], check=False).returncode == 0
    old, new = WRONG[wrong]
    built = program(LAYER, call(old, new), tmp_path, compiler, flag)
    done = subprocess.run([built], check=False, capture_output=True)
    assert done.returncode < 0
    assert b"given" in done.stderr
    program(LAYER, call(old, new), tmp_path, compiler, flag, "-DNDEBUG")  # without a warning


@needs_compiler
@pytest.mark.parametrize("compiler", ["cc", "clang"])
@pytest.mark.parametrize("small", ["workspace[GIVEN_WORKSPACE]", "weight[72]"])
def test_compilers_see_an_array_that_is_too_small(compiler: str, small: str, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not found: .ci/run installs it")
    name = small.partition("[")[0]
    program(LAYER, call(), tmp_path, compiler)
    with pytest.raises(subprocess.CalledProcessError) as found:
        program(LAYER, call().replace(small, f"{name}[3]"), tmp_path, compiler)
    assert name in found.value.stderr


FIRST = """\
#include <stdio.h>
#include "given.h"
static float a[144], b[16], c[16], d[16], e[48000], f[30], g[16], h[16];
int main(void)
{
    const struct given_arrays p = {a, b, c, d, e, f};
    const struct given_statistics s = {g, h};
    given_init(&p, &s, 7);
    double sum = 0, squares = 0;
    for (int k = 0; k < 48000; k++) {
        sum += e[k];
        squares += e[k] * (double)e[k];
    }
    printf("%g %g %g %g %g %g %g\\n", b[3], c[3], d[3], f[29], g[15], h[15], a[143]);
    printf("%g %g\\n", sum / 48000, squares / 48000 * 1600 / 2);
    return 0;
}
"""


@needs_compiler
def test_first_values(tmp_path: Path) -> None:
    built = program(NETWORK, FIRST, tmp_path)
    printed = [subprocess.run([built], check=True, capture_output=True).stdout for _ in range(2)]
    assert printed[0] == printed[1]
    first, moments = printed[0].decode().splitlines()
    assert first.split()[:6] == ["0", "1", "0", "0", "0", "1"]
    assert 0 < abs(float(first.split()[6])) < 3
    mean, variance = map(float, moments.split())
    assert abs(mean) < 1e-3
    assert abs(variance - 1) < 0.03


@needs_compiler
def test_a_wrong_first_value_is_seen(tmp_path: Path) -> None:
    program(NETWORK, FIRST, tmp_path)
    path = tmp_path / "given.c"
    path.write_text(path.read_text("utf-8").replace("filled(16, s->batch_norm1_running_var, 1)", ""))
    files = [str(tmp_path / "main.c"), str(path), "-o", str(tmp_path / "program"), "-lm"]
    subprocess.run(["cc", *STRICT, *files], check=True)
    done = subprocess.run([tmp_path / "program"], check=True, capture_output=True)
    assert done.stdout.split()[5] == b"0"
