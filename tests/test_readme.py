"""What README shows is what happens: its Python runs, its commands print what it says."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import runpy
import shlex
from pathlib import Path

import pytest

from symconv import cli
from symconv.prove.survey import survey, table
from tests.effort import long

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
MATCHES = doctest.OutputChecker().check_output


def shown(wanted: str, got: str) -> bool:
    """Whether an output is the one shown, where ``...`` stands for anything."""
    return MATCHES(wanted, got, doctest.ELLIPSIS)


def test_python_prints_what_is_shown(tmp_path: Path) -> None:
    """The blocks share their names, as a reader would type them one after the other."""
    names: dict[str, object] = {}
    printed = ""
    for language, text in BLOCKS:
        if language == "python":
            script = tmp_path / "block.py"
            script.write_text(text, "utf-8")
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                names |= runpy.run_path(str(script), names)
            printed = output.getvalue()
        elif language == "text":
            assert shown(text, printed), printed


@pytest.mark.every
@pytest.mark.parametrize("text", [t for language, t in BLOCKS if language == "console"])
def test_commands_print_what_is_shown(text: str, tmp_path: Path) -> None:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, wanted = part.partition("\n")
        program, *words = shlex.split(command)
        assert program == "symconv"
        output = io.StringIO()
        with contextlib.chdir(tmp_path), contextlib.redirect_stdout(output):
            assert cli.run(words) == 0
        assert shown(wanted, output.getvalue()), output.getvalue()


def test_a_wrong_output_would_be_seen() -> None:
    assert shown("a\n...\nb\n", "a\nx\ny\nb\n")
    assert not shown("a\n...\nb\n", "a\nx\ny\nc\n")


@long
def test_the_table_of_what_is_proven_is_the_commands() -> None:
    assert table(survey()) in README
