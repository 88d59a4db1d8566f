"""Weights as constants: a program computes with them what the module computes with arrays."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from symconv import Conv, Network, SymconvError, generate
from tests.shell.command import run
from tests.targets.test_c import needs_compiler

NETWORK = Network(
    [
        {"layer": "Conv", "out_channels": 4, "kernel_size": 3},
        {"layer": "BatchNorm"},
        {"layer": "Activation", "function": "gelu"},
        {"layer": "Flatten"},
        {"layer": "Linear", "out_features": 5},
    ],
    (1, 1, 8, 8),
    trainable=("linear1",),
)
PROGRAM = """\
#include <stdio.h>
#include "net_weights.h"
static float x[64], y[5], workspace[NET_WORKSPACE];
int main(void)
{
    for (int k = 0; k < 64; k++)
        x[k] = (float)(k % 7) - 3;
    net_forward(&net_weights, x, y, workspace);
    for (int k = 0; k < 5; k++)
        printf("%.9g\\n", (double)y[k]);
    return 0;
}
"""
STRICT = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]


def drawn() -> dict[str, Any]:
    params: dict[str, Any] = generate(NETWORK, "net").load().init(3)
    params["batch_norm1.running_mean"] += np.float32(1e-20)
    return params


@needs_compiler
def test_a_program_computes_with_constants(tmp_path: Path) -> None:
    params = drawn()
    unit = generate(NETWORK, "net", target="c", params=params)
    path = unit.write(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.c", "net.h", "net.py", "net_weights.h"]
    (tmp_path / "main.c").write_text(PROGRAM, "utf-8")
    files = [str(tmp_path / "main.c"), str(path), "-o", str(tmp_path / "program"), "-lm"]
    subprocess.run(["cc", *STRICT, *files], check=True)
    printed = subprocess.run([tmp_path / "program"], check=True, capture_output=True, text=True).stdout
    x = (np.arange(64) % 7 - 3).astype(np.float32).reshape(1, 1, 8, 8)
    module: Any = generate(NETWORK, "net", target="c").load()
    wanted = module.forward(params, x)
    assert np.allclose([float(line) for line in printed.split()], wanted.ravel(), rtol=1e-5, atol=1e-6)
    assert "static const NET_REAL net_conv1_weight[36] = {" in unit.beside["_weights.h"]


def test_numbers_come_back_as_they_were() -> None:
    layer = Conv((1, 2, 5, 5), 3, 3, bias=False)
    rng = np.random.default_rng(0)
    weight = (rng.standard_normal((3, 2, 3, 3)) * 10.0 ** rng.integers(-30, 30, (3, 2, 3, 3))).astype(
        "f"
    )
    text = generate(layer, "one", target="c", params={"weight": weight}).beside["_weights.h"]
    inside = text.partition("= {")[2].partition(",\n}")[0].replace("f", "")
    assert (np.array(inside.split(","), np.float32) == weight.ravel()).all()
    assert max(map(len, text.splitlines())) <= 100
    assert "struct" not in text


def test_the_shell_writes_them(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", weight=np.ones((1, 1, 2, 2), "f"))
    words = [
        "conv",
        "--input-shape",
        "1x1x3x3",
        "--out-channels",
        "1",
        "--kernel-size",
        "2",
        "--no-bias",
    ]
    words += ["--target", "c", "--name", "article", "-o", "."]
    run("generate", *words, "--params", "p.npz", cwd=tmp_path)
    assert "article_weight[4]" in (tmp_path / "article_weights.h").read_text("utf-8")
    (tmp_path / "p.txt").write_text("no arrays")
    said = run("generate", *words, "--params", "p.txt", cwd=tmp_path, code=2)
    assert "p.txt: must be an .npz file" in said
    assert "none.npz: cannot be read" in run(
        "generate", *words, "--params", "none.npz", cwd=tmp_path, code=2
    )


def test_wrong_parameters_are_refused() -> None:
    def said(**arguments: Any) -> str:
        with pytest.raises(SymconvError) as found:
            generate(NETWORK, "net", **{"target": "c", "params": drawn(), **arguments})
        return str(found.value)

    params = drawn()
    assert "linear1.bias are missing" in said(
        params={name: array for name, array in params.items() if name != "linear1.bias"}
    )
    assert "must have shape (4,), not (3,)" in said(params={**params, "conv1.bias": np.ones(3, "f")})
    assert "not finite" in said(params={**params, "conv1.bias": np.full(4, np.nan, "f")})
    assert "must be numbers of float32" in said(params={**params, "conv1.bias": ["a"] * 4})
    assert "params: are for target = 'c'" in said(target="numpy")
