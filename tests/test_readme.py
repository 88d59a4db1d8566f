"""What README, the site and the tutorial show is what happens: Python runs, commands print it."""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import pytest

from symconv import Conv, cli
from symconv.explain.figures import figures
from symconv.prove.survey import survey, table
from tests.effort import FULL, long

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = {
    path.relative_to(ROOT).as_posix(): path for path in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
}
TEXTS = {name: path.read_text("utf-8") for name, path in PAGES.items()}
BLOCKS = {
    name: re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for name, text in TEXTS.items()
}
RUN = {name: blocks for name, blocks in BLOCKS.items() if FULL or name == "README.md"}
WITH_PYTHON = [name for name, blocks in RUN.items() if any(kind == "python" for kind, _ in blocks)]
COMMANDS = [
    pytest.param(text, id=f"{name} {number}")
    for name, blocks in RUN.items()
    for number, (kind, text) in enumerate(blocks)
    if kind == "console"
]
MATCHES = doctest.OutputChecker().check_output


def shown(wanted: str, got: str) -> bool:
    """Whether an output is the one shown, where ``...`` stands for anything."""
    return MATCHES(wanted, got, doctest.ELLIPSIS)


def printed(text: str, folder: Path, names: dict[str, Any]) -> str:
    """Run a text as a reader would type it after those before; return what it prints."""
    script = folder / "block.py"
    script.write_text(text, "utf-8")
    output = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(output):
        names |= runpy.run_path(str(script), names)
    return output.getvalue()


@pytest.mark.every
@pytest.mark.parametrize("page", WITH_PYTHON)
def test_python_prints_what_is_shown(page: str, tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    output = ""
    for language, text in BLOCKS[page]:
        if language == "python":
            output = printed(text, tmp_path, names)
        elif language == "text":
            assert shown(text, output), output


@pytest.mark.every
@pytest.mark.parametrize("text", COMMANDS)
def test_commands_print_what_is_shown(text: str, tmp_path: Path) -> None:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, wanted = part.partition("\n")
        program, *words = shlex.split(command)
        assert program == "symconv"
        output = io.StringIO()
        with contextlib.chdir(tmp_path), contextlib.redirect_stdout(output):
            assert cli.run(words) == 0
        assert shown(wanted, output.getvalue()), output.getvalue()


def test_the_tutorial_runs_from_top_to_bottom(tmp_path: Path) -> None:
    cells = json.loads((DOCS / "tutorial.ipynb").read_text("utf-8"))["cells"]
    names: dict[str, Any] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            printed("".join(cell["source"]), tmp_path, names)
    assert names["proof"].holds
    assert not names["report"]


def test_links_lead_somewhere() -> None:
    for name, text in TEXTS.items():
        for link in re.findall(r"\]\((?!http)([^)#]+)", text):
            target = PAGES[name].parent / link
            assert target.exists() or "gallery/" in link, f"{name}: {link}"
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8")
    for path in PAGES.values():
        if path.is_relative_to(DOCS):
            assert path.relative_to(DOCS).as_posix() in navigation


def test_the_moving_picture_is_what_symconv_draws() -> None:
    layer = Conv((1, 1, 4, 4), 1, 3, bias=False)
    (figure,) = (each for each in figures(layer) if each.name == "input-gradient")
    drawn = (DOCS / "pictures" / "input-gradient-animated.svg").read_text("utf-8")
    assert drawn == figure.svg(animated=True)


def test_readme_is_short() -> None:
    assert len(TEXTS["README.md"].splitlines()) <= 200


def test_a_wrong_output_would_be_seen() -> None:
    assert shown("a\n...\nb\n", "a\nx\ny\nb\n")
    assert not shown("a\n...\nb\n", "a\nx\ny\nc\n")


@long
def test_the_table_of_what_is_proven_is_the_commands() -> None:
    assert table(survey()) in TEXTS["docs/explanation/theorems.md"]
