"""Generated C on small processors, in an emulator: what the host computes, without a heap."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from symconv import Conv, Network, generate
from symconv.layers import Layer
from tests.effort import long
from tests.shell.command import ROOT
from tests.targets.test_c import COMPILER

Array = NDArray[Any]


@dataclass(frozen=True)
class Device:
    """A compiler for another processor, its flags, what a program needs besides, and what runs it."""

    compiler: str
    flags: tuple[str, ...]
    program: tuple[str, ...]
    emulator: tuple[str, ...]


BOARD = ROOT / "examples" / "microcontroller"
M4 = ("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard")
PROGRAM = ("--specs=rdimon.specs", f"-T{BOARD / 'board.ld'}", str(BOARD / "start.c"))
EMULATOR = ("qemu-system-arm", "-M", "mps2-an386", "-nographic", "-semihosting", "-kernel")
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover")
DEVICES = {
    "cortex-m4": Device("arm-none-eabi-gcc", M4, PROGRAM, EMULATOR),
    "sanitized": Device("gcc", ("-march=native", "-ffp-contract=off", *SANITIZED), (), ()),
    "aarch64": Device("aarch64-linux-gnu-gcc", (), ("-static",), ("qemu-aarch64",)),
}
FLAGS = ("-std=c99", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror")
DIGITS = Network(
    (
        {"layer": "Conv", "out_channels": 16, "kernel_size": 3, "padding": 1},
        {"layer": "Activation", "function": "relu"},
        {"layer": "Conv", "out_channels": 32, "kernel_size": 3, "padding": 1},
        {"layer": "Activation", "function": "relu"},
        {"layer": "MaxPool", "kernel_size": 2},
        {"layer": "Flatten"},
        {"layer": "Linear", "out_features": 64},
        {"layer": "Activation", "function": "relu"},
        {"layer": "Linear", "out_features": 10},
        {"layer": "SoftmaxCrossEntropy"},
    ),
    input_shape=(1, 1, 8, 8),
)
LAYERS: dict[str, Layer] = {
    "article": Conv((1, 1, 3, 3), 1, 2, bias=False),
    "lenet1": Conv((1, 1, 28, 28), 6, 5, padding=2, bias=False),
    "digits": DIGITS,
}
PRINT = """\
#include <stdio.h>
#include "{name}.h"

static void print(const float *array, unsigned count)
{{
    for (unsigned i = 0; i < count; i++) {{
        union {{ float number; unsigned bits; }} is;
        is.number = array[i];
        printf("%08x\\n", is.bits);
    }}
}}

{arrays}

int main(void)
{{
{body}
    return 0;
}}
"""


def listed(name: str, array: Array) -> str:
    """Write an array in C."""
    numbers = ", ".join(float(value).hex() + "f" for value in array.flat)
    return f"static float {name}[{array.size}] = {{{numbers}}};"


def program(layer: Layer, name: str, header: str) -> str:
    """Write a program that computes everything once and prints its bits."""
    rng = np.random.default_rng(0)
    if isinstance(layer, Network):
        return _training(layer, name, rng)
    given = {n: rng.standard_normal(shape) for n, shape in layer.inputs.items()}
    given["g"] = rng.standard_normal(layer.output_shape)
    written = {"y": np.zeros(layer.output_shape), "gx": 0 * given["x"], "gw": 0 * given["weight"]}
    arrays = [listed(n, array.astype("f")) for n, array in (given | written).items()]
    arrays.append(f"static float workspace[{name.upper()}_WORKSPACE];")
    body = []
    for function, taken in (("forward", "x, weight, y"), ("backward", "g, x, weight, gx, gw")):
        needs = re.search(rf"{name}_{function}\([^;]*workspace", header)
        body.append(f"    {name}_{function}({taken}{', workspace' if needs else ''});")
    body += [f"    print({n}, {array.size});" for n, array in written.items()]
    return PRINT.format(name=name, arrays="\n".join(arrays), body="\n".join(body))


def _training(network: Network, name: str, rng: np.random.Generator) -> str:
    params: Mapping[str, Array] = generate(network, name).load().init(0)
    arrays = [listed(n.replace(".", "_"), a) for n, a in params.items()]
    for kind in "gv":
        arrays += [listed(f"{kind}_{n.replace('.', '_')}", 0 * a) for n, a in params.items()]
    arrays.append(listed("x", rng.standard_normal((1, 1, 8, 8)).astype("f")))
    arrays.append(listed("labels", np.array([3])))
    arrays.append(f"static float workspace[{name.upper()}_WORKSPACE];")
    names = [n.replace(".", "_") for n in params]
    body = [
        f"    const struct {name}_parameters p = {{{', '.join(f'.{n} = {n}' for n in names)}}};",
        f"    const struct {name}_arrays g = {{{', '.join(f'.{n} = g_{n}' for n in names)}}};",
        f"    const struct {name}_arrays v = {{{', '.join(f'.{n} = v_{n}' for n in names)}}};",
        f"    const struct {name}_arrays own = {{{', '.join(f'.{n} = {n}' for n in names)}}};",
        "    float loss[1];",
        f"    {name}_loss_and_gradients(&p, x, labels, loss, &g, workspace);",
        "    print(loss, 1);",
        *(f"    print(g_{n}, {params[key].size});" for n, key in zip(names, params, strict=True)),
        f"    {name}_sgd_step(&own, &g, &v, 0.1f, 0, 0);",
        f"    {name}_loss_and_gradients(&p, x, labels, loss, &g, workspace);",
        "    print(loss, 1);",
    ]
    return PRINT.format(name=name, arrays="\n".join(arrays), body="\n".join(body))


def numbers(text: str) -> Array:
    """Return the numbers whose bits a program printed."""
    return np.array([int(line, 16) for line in text.split()], np.uint32).view(np.float32)


@long
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", LAYERS)
def test_a_device_computes_what_the_host_does(name: str, device: str, tmp_path: Path) -> None:
    target = DEVICES[device]
    for tool in (target.compiler, *target.emulator[:1]):
        if COMPILER is None or shutil.which(tool) is None:
            pytest.skip(f"{tool} is not found: .ci/run installs it")
    path = generate(LAYERS[name], name, target="c").write(tmp_path)
    header = path.with_suffix(".h").read_text("utf-8")
    (tmp_path / "main.c").write_text(program(LAYERS[name], name, header), "utf-8")
    scalar = (f"-D{name.upper()}_SCALAR",) if device == "cortex-m4" else ()  # which has no vectors
    host = run_there(Device(str(COMPILER), scalar, (), ()), name, tmp_path)
    there = run_there(target, name, tmp_path)
    assert len(host) > 10
    if name == "digits":
        assert there[-1] < there[0]  # it has learned
    assert np.isfinite(host).all()
    if name == "digits" or device == "sanitized":  # exponentials, or vectors of another width
        assert np.allclose(there, host, rtol=1e-5, atol=1e-4)
    else:
        assert (there == host).all()
    if device != "sanitized":  # which has its own
        keeps_nothing(target, name, tmp_path)


@long
def test_a_network_goes_on_learning_on_the_device(tmp_path: Path) -> None:
    """The example: digits that stand upside down are read after 60 of them."""
    for tool in ("make", DEVICES["cortex-m4"].compiler, EMULATOR[0]):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not found: .ci/run installs it")
    shutil.copytree(BOARD, tmp_path / "example", ignore=shutil.ignore_patterns("build"))
    command = ["make", "-s", "run", "size", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, cwd=tmp_path / "example", capture_output=True, text=True, check=True)
    before, after = (int(n) for n in re.findall(r"(?:before|after): (\d+) of 60", done.stdout))
    assert before < 30 < 50 < after
    (code, data, bss) = re.findall(r"^ +(\d+)\t +(\d+)\t +(\d+)", done.stdout, re.MULTILINE)[0]
    assert (int(data), int(bss)) == (0, 0)
    assert int(code) < 8000
    assert max(int(n) for n in re.findall(r"\t(\d+)\tstatic", done.stdout)) < 500  # bytes of stack


def run_there(device: Device, name: str, folder: Path) -> Array:
    """Compile the program for a device, run it, and return the numbers that it prints."""
    files = [*device.program, "main.c", f"{name}.c", "-o", "program", "-lm"]
    subprocess.run([device.compiler, *FLAGS, *device.flags, *files], cwd=folder, check=True)
    program_ = [*device.emulator, "./program"]
    done = subprocess.run(program_, cwd=folder, check=True, capture_output=True, text=True)
    return numbers(done.stdout)


def keeps_nothing(device: Device, name: str, folder: Path) -> None:
    """Refuse an object file with memory that changes, or one that allocates or prints."""
    command = [device.compiler, *FLAGS, *device.flags, "-c", f"{name}.c", "-o", "own.o"]
    subprocess.run(command, cwd=folder, check=True)
    names = [device.compiler.removesuffix("gcc") + "nm", "own.o"]
    found = subprocess.run(names, cwd=folder, capture_output=True, text=True, check=True).stdout
    assert f"T {name}_" in found
    assert not re.search(r" [bBdDC] ", found)
    assert not re.search(r"alloc|free|print", found)
