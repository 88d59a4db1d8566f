"""The examples run as a user runs them, and say what README says of them."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from symconv.configuration import read_config
from tests.effort import FULL

ROOT = Path(__file__).resolve().parents[1]


def run(name: str, folder: Path, *options: str) -> str:
    """Run an example in a folder of its own and return what it prints."""
    command = [sys.executable, str(ROOT / "examples" / name), *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_digits_are_learnt_by_generated_code(tmp_path: Path) -> None:
    """The last line is the median accuracy: at least 98 %, after two epochs of one seed 80 %."""
    last = run("digits.py", tmp_path, *([] if FULL else ["--seeds", "1", "--epochs", "2"])).splitlines()[
        -1
    ]
    accuracy = re.fullmatch(r"(\d\d\.\d\d) %", last)
    assert accuracy, last
    assert float(accuracy[1]) >= (98 if FULL else 80)
    assert "<svg" in (tmp_path / "digits.svg").read_text("utf-8")


def test_the_gallery_has_the_same_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples")
    network = importlib.import_module("digits").NETWORK
    assert read_config(ROOT / "generated" / "symconv.toml")["digits_network"].layer == network
