"""The gallery is what its configuration says, and a difference is found."""

from __future__ import annotations

import importlib
import math
import os
import shutil
import subprocess
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest

from symconv.configuration import read_config
from symconv.layers.conv import Conv
from symconv.layers.network import Network
from symconv.verbs import check
from tests.effort import FULL
from tests.shell.command import ROOT, run
from tests.targets.test_c import needs_compiler

GALLERY = ROOT / "generated"
LAYERS = {name: r.layer for name, r in read_config(GALLERY / "symconv.toml").items()}
IN_C = read_config(GALLERY / "c" / "symconv.toml")
FLAGS = ["-std=c99", "-O2", "-ftree-vectorize", "-march=native", "-Wall", "-Wextra", "-Werror"]
MOST_BYTES = 300_000  # of a file in C
LARGE = 4_000  # elements: larger modules are checked in the full run


@pytest.mark.parametrize("folder", ["generated", "generated/c"])
def test_the_gallery_is_up_to_date(folder: str) -> None:
    assert run("generate", "--config", f"{folder}/symconv.toml", "--check") == "no file differs\n"


def test_a_file_that_differs_is_missing_or_stale_is_found(tmp_path: Path) -> None:
    shutil.copytree(GALLERY, tmp_path / "g", ignore=shutil.ignore_patterns("__pycache__"))
    words = ["generate", "--config", "g/symconv.toml", "--check"]
    assert run(*words, cwd=tmp_path) == "no file differs\n"
    article = tmp_path / "g" / "article.py"
    text = article.read_text("utf-8")
    assert "padded[1:3, 1:3]" in text
    article.write_text(text.replace("padded[1:3, 1:3]", "padded[:2, :2]"), "utf-8")
    (tmp_path / "g" / "res56.py").unlink()
    shutil.copy(GALLERY / "pw56.py", tmp_path / "g" / "left_over.py")
    (tmp_path / "g" / "own.py").write_text("mine = 1\n")
    answer = run(*words, cwd=tmp_path, code=1)
    assert "g/article.py: differs" in answer
    assert "\n+" in answer
    assert "\n-" in answer
    assert "g/res56.py: missing" in answer
    assert "g/left_over.py: stale" in answer
    assert "own.py" not in answer


def test_every_row_of_the_suite_is_there() -> None:
    rows = tomllib.loads((ROOT / "benchmarks" / "suite.toml").read_text("utf-8"))
    for name, arguments in rows.items():
        assert LAYERS[name] == IN_C[name].layer == Conv(**{**arguments, "bias": False})


@pytest.mark.every
@pytest.mark.parametrize("name", sorted(LAYERS))
def test_modules_are_importable_and_right(name: str) -> None:
    module = importlib.import_module(f"generated.{name}")
    layer = LAYERS[name].few
    if isinstance(layer, Network):
        logits = module.forward(module.init(0), np.ones(layer.input_shape, layer.dtype))
        assert logits.shape == layer.body[-1].layer.output_shape
    else:
        inputs = [
            np.ones(shape, "int64" if name in layer.classes else layer.dtype)
            for name, shape in layer.inputs.items()
        ]
        received = module.forward(*inputs)
        assert (received[0] if layer.updates else received).shape == layer.output_shape
    if FULL or max(map(math.prod, (*layer.inputs.values(), layer.output_shape))) < LARGE:
        assert check(GALLERY / f"{name}.py").passed


@needs_compiler
@pytest.mark.every
@pytest.mark.parametrize("name", sorted(IN_C))
def test_files_in_c_compile_and_are_right(name: str) -> None:
    path = GALLERY / "c" / f"{name}.c"
    assert path.stat().st_size < MOST_BYTES
    layer = IN_C[name].layer
    if FULL or max(map(math.prod, (*layer.inputs.values(), layer.output_shape))) < LARGE:
        assert check(path).passed
    else:
        begun = time.monotonic()
        subprocess.run(["cc", *FLAGS, "-c", str(path), "-o", os.devnull], check=True)
        print(f"{name}: {time.monotonic() - begun:.1f} s to compile, {path.stat().st_size} bytes")


def test_generated_files_are_marked() -> None:
    assert "linguist-generated" in (ROOT / ".gitattributes").read_text()
