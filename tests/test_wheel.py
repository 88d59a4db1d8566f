"""The wheel, built and installed elsewhere, works without the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

from tests.effort import FULL, long

ROOT = Path(__file__).resolve().parents[1]


@long
def test_the_wheel_works_elsewhere(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "symconv/templates/numpy/module.py.j2" in names
    assert not any(name.startswith(("tests", "generated", "templates")) for name in names)

    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"PYTHONIOENCODING": "utf-8"}
    python = Path(sys.executable)
    if FULL:  # in an environment of its own, with what it needs from the index
        venv.create(tmp_path / "env", with_pip=True)
        python = tmp_path / "env" / "bin" / "python"
        subprocess.run(
            [python, "-m", "pip", "install", "-q", wheel], check=True, cwd=tmp_path, env=clean
        )
    else:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(tmp_path / "unpacked")
        clean["PYTHONPATH"] = str(tmp_path / "unpacked")
    done = subprocess.run(
        [python, "-m", "symconv", "demo"],
        cwd=tmp_path,
        env=clean,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "∂E/∂X22 = F11·G22 + F12·G21 + F21·G12 + F22·G11" in done.stdout
    where = subprocess.run(
        [python, "-c", "import symconv; print(symconv.__file__)"],
        cwd=tmp_path,
        env=clean,
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(tmp_path) in where.stdout
