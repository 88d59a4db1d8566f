"""Run symconv as a user does."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

from symconv import cli

ROOT = Path(__file__).resolve().parents[2]
ARTICLE = ["conv", "--input-shape", "1x1x3x3", "--out-channels", "1", "--kernel-size", "2"]


def run(*words: str, cwd: Path = ROOT, code: int = 0) -> str:
    """Run a command as in a pipe; return what it prints."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        found = cli.run([*words])
    printed, said = out.getvalue(), err.getvalue()
    assert found == code, printed + said
    if code == 2:
        assert len(said.splitlines()) == 1, said
        return said
    assert said == ""
    return printed


def started(*words: str, code: int = 0) -> str:
    """Run a command as a process of its own; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "symconv", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr
