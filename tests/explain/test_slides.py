"""Figures for slides and papers: what is highlighted, and that LaTeX and browsers take them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from symconv import Conv, ConvTranspose, MaxPool, SymconvError, explain
from symconv.explain.figures import Figure, figures
from symconv.figure_files import write_figures
from tests.effort import long
from tests.shell.command import run

LAYER = Conv((1, 1, 4, 4), 1, 3, bias=False)
WORDS = ["conv", "--input-shape", "1x1x4x4", "--out-channels", "1", "--kernel-size", "3", "--no-bias"]
SVG = "{http://www.w3.org/2000/svg}"


def figure(name: str) -> Figure:
    (found,) = (each for each in figures(LAYER) if each.name == name)
    return found


def test_each_position_lights_a_window_and_an_element() -> None:
    found = figure("input-gradient")
    assert len(found.positions) == 16
    for number, position in enumerate(found.positions):
        *window, result = (cell.label for cell in position.lit)
        assert result == f"∂E/∂X{number // 4 + 1}{number % 4 + 1}"
        assert len(window) == 9
        assert sorted(note.text for note in position.notes) == [f"F{i}{j}" for i in "123" for j in "123"]
    corner = {
        c.label: n.text for c, n in zip(found.positions[0].lit, found.positions[0].notes, strict=False)
    }
    assert corner["G11"] == "F11"


def test_an_svg_shows_one_position_or_all() -> None:
    found = figure("output")
    for text, count in ((found.svg(), 1), (found.svg(0), 1), (found.svg(animated=True), 4)):
        root = ElementTree.fromstring(text)
        groups = root.findall(f"{SVG}g")
        assert len(groups) == count
        assert all(len(group.findall(f"{SVG}rect")) == 10 for group in groups)
        assert root.find(f"{SVG}title") is not None
        assert ("prefers-reduced-motion" in text) == (count > 1)


def test_a_slide_has_room_for_a_3x3_filter_on_a_4x4_input() -> None:
    assert min(each.unit for each in figures(LAYER)) > 6


def test_pools_and_transposed_convolutions_have_figures_and_others_none() -> None:
    assert [each.name for each in figures(MaxPool((1, 1, 4, 4), 2))] == ["output"]
    layer = ConvTranspose((1, 1, 2, 2), 1, 3, stride=2)
    assert {each.name for each in figures(layer)} == {"output", "weight-gradient", "input-gradient"}
    words = ["linear", "--input-shape", "2x3", "--out-features", "4", "--format", "svg"]
    assert "only convolutions and pools" in run("explain", *words, code=2)


def test_the_shell_writes_a_file_for_each(tmp_path: Path) -> None:
    written = run("explain", *WORDS, "--format", "svg", "-o", "f", cwd=tmp_path).splitlines()
    assert len(written) == 8
    assert all((tmp_path / name).read_text("utf-8").startswith("<!-- Generated") for name in written)
    assert len(run("explain", *WORDS, "--format", "beamer", "-o", "f", cwd=tmp_path).splitlines()) == 4
    assert "must be a folder" in run(
        "explain", *WORDS, "--format", "svg", "-o", "f.svg", cwd=tmp_path, code=2
    )


def compiled(text: str, folder: Path) -> str:
    """Compile a document twice; return what was said that a reader would not want to see."""
    (folder / "document.tex").write_text(text, "utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    for _ in range(2):  # the second time with what the first has noted
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", check=False
        )
    assert done.returncode == 0, done.stdout[-2000:]
    return "\n".join(re.findall(r"^.*(?:Warning|Overfull|Underfull).*$", done.stdout, re.MULTILINE))


@long
@pytest.mark.needs("tikz")
def test_the_document_compiles_without_a_warning(tmp_path: Path) -> None:
    assert compiled(explain(LAYER).latex(), tmp_path) == ""


@long
@pytest.mark.needs("tikz")
def test_frames_compile_without_a_warning(tmp_path: Path) -> None:
    frames = "\n".join(each.beamer() for each in figures(LAYER))
    text = rf"\documentclass{{beamer}}\usepackage{{tikz}}\begin{{document}}{frames}\end{{document}}"
    assert compiled(text, tmp_path) == ""


@pytest.mark.needs("resvg_py")
def test_images_are_written_once(tmp_path: Path) -> None:
    (path, *_) = write_figures([figure("output")], "png", tmp_path, force=False)
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SymconvError, match="only force"):
        write_figures([figure("output")], "png", tmp_path, force=False)
    (path,) = write_figures([figure("output")], "gif", tmp_path, force=False)
    from PIL import Image

    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == 4
