"""What users read has the field's words: README, the site, help texts, derivations, proofs, modules."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from symconv import Conv, ConvTranspose, MaxPool, Softmax, derive, generate, prove
from symconv.cli import symconv
from symconv.layers import Layer
from tests.shell.command import run

ROOT = Path(__file__).resolve().parents[2]
AVOIDED = {  # and what to say instead
    r"\b(?:gradients?|derivatives?) by (?!name\b|\d)": "with respect to",
    r"\bstuff": "zeros inserted, zero-upsampled",
    r"\bgreatest\b": "largest, maximum",
    r"\bcells?\b": "element, pixel, output position",
    r"\bnumber of taps\b": "kernel size",
    r"\bknown numbers\b": "known coefficients",
    r"\bmet by\b": "uses, requires",
    r"\bis none\b": "is not one",
    r"\bfirst of equals\b": "the first maximum",
}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LAYERS: list[Layer] = [
    Conv((1, 1, 3, 3), 1, 2),
    Conv((2, 4, 9, 9), 4, 3, stride=2, padding=1, groups=2, padding_mode="reflect"),
    ConvTranspose((1, 2, 4, 4), 2, 3, stride=2),
    MaxPool((1, 2, 6, 6), 2),
    Softmax((2, 3)),
]


def found(text: str) -> list[str]:
    """Return the words to be avoided that a text has, each with what to say instead."""
    prose = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
    return [
        f"{m[0]!r}: {instead}" for word, instead in AVOIDED.items() for m in re.finditer(word, prose)
    ]


@pytest.mark.every
@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_pages(path: Path) -> None:
    assert found(path.read_text("utf-8")) == []


def test_help_texts() -> None:
    for verb, command in symconv.commands.items():
        assert found(run(verb, "--help")) == [], verb
        for kind in getattr(command, "commands", {}):
            assert found(run(verb, kind, "--help")) == [], (verb, kind)


@pytest.mark.every
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_derivations_and_proofs(layer: Layer) -> None:
    for step in derive(layer).steps:
        assert found(f"{step.name}. {step.reason}. {step.check.compared}") == []
    for theorem in prove(layer).theorems:
        assert found(theorem.statement) == []


def test_generated_docstrings() -> None:
    for layer in LAYERS:
        tree = ast.parse(generate(layer, "module").source)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                assert found(ast.get_docstring(node) or "") == [], node.name


def test_a_word_to_be_avoided_is_found() -> None:
    assert found("the gradient by the filter") == ["'gradient by ': with respect to"]
    assert found("`cells` in code") == []
