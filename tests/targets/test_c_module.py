"""The Python module beside a C file: written as by hand, quick to call, compiled once for all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from symconv import Conv, SoftmaxCrossEntropy, generate
from symconv.layers import Layer
from tests.layers.test_network import RESIDUAL
from tests.targets.test_c import needs_compiler

ARTICLE = Conv((1, 1, 3, 3), 1, 2, bias=False)
CHECKS = [
    ["ruff", "check", "--isolated", "--select", "F,W,I,UP,B", "--line-length", "100"],
    ["ruff", "format", "--isolated", "--line-length", "100", "--check"],
    ["mypy", "--strict", "--no-error-summary"],
]


@pytest.mark.parametrize("layer", [ARTICLE, SoftmaxCrossEntropy((3, 4)), RESIDUAL], ids=str)
def test_the_module_is_written_as_by_hand(layer: Layer, tmp_path: Path) -> None:
    generate(layer, "by_hand", order=2, target="c").write(tmp_path)
    for check in CHECKS:
        command = [sys.executable, "-m", *check, str(tmp_path / "by_hand.py")]
        subprocess.run(command, check=True, capture_output=True)


@needs_compiler
def test_processes_compile_one_file(tmp_path: Path) -> None:
    """Several at once: each finds a whole library, and none is left half written."""
    generate(ARTICLE, "shared", target="c").write(tmp_path)
    program = (
        "import numpy as np, shared; x = np.ones((1, 1, 3, 3), 'f'); weight = x[..., 1:, 1:]; "
        "print(shared.forward(x, weight).sum())"
    )
    home = tmp_path / "cache"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env={**os.environ, "XDG_CACHE_HOME": os.fspath(home)},
            stdout=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    assert [process.communicate()[0] for process in started] == [b"16.0\n"] * 4
    names = sorted(path.name.partition("-")[0] for path in (home / "symconv").iterdir())
    assert names == ["shared", "symconv_call"]


@needs_compiler
def test_without_pythons_headers_ctypes_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = generate(ARTICLE, "plain", target="c").load()
    x, weight = (np.ones(shape, np.float32) for shape in ARTICLE.inputs.values())
    wanted = module.forward(x, weight)
    module = generate(ARTICLE, "plain", target="c").load()
    monkeypatch.setattr(module.sysconfig, "get_path", lambda name: os.fspath(tmp_path))
    assert module._caller() is module._through_ctypes
    assert (module.forward(x, weight) == wanted).all()


@needs_compiler
def test_a_file_that_does_not_compile_says_so(tmp_path: Path) -> None:
    path = generate(ARTICLE, "broken", target="c").write(tmp_path)
    path.write_text(path.read_text("utf-8").replace("size_t", "sized_t"), "utf-8")
    program = "import broken; broken._library('float32')"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "does not compile broken" in done.stderr
