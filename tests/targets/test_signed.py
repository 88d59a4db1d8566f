"""Generated code that a person would sign: measured over the gallery and over random layers."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symconv import BatchNorm, Conv, ConvTranspose, Linear, generate
from symconv.kernel.share import LEAST
from symconv.layers import Layer
from tests.effort import long, many
from tests.layers.test_network import LENET
from tests.strategies import layers, real_layers

ROOT = Path(__file__).resolve().parents[2]
GALLERY = sorted((ROOT / "generated").glob("*.py"))
LONGEST = {"res56": 165}  # lines of a module
STEPS = "\n".join(["    {0} = {1} + 1", *["    {0} = {0} * 2"] * 5, "    return {0}"])
SAME = f"def a(x):\n{STEPS.format('y', 'x')}\n\n\ndef b(v):\n{STEPS.format('w', 'v')}"
RUFF = [sys.executable, "-m", "ruff"]


def faults(source: str) -> list[str]:
    """Say what a person would not have written."""
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return [*_long_lines(source), *_equal_bodies(functions), *_idle(tree), *_undocumented(functions)]


def _long_lines(source: str) -> Iterator[str]:
    for number, line in enumerate(source.splitlines(), 1):
        if len(line) > 100 and number != 2:  # the command that regenerates the file
            yield f"line {number} has {len(line)} characters"


def _works(statement: ast.stmt) -> bool:
    """Whether a statement computes something: it neither checks an argument nor returns a result."""
    called = re.match(r"\w+ = _(result|checked|samples|labels|named)\(", ast.unparse(statement))
    return not called and not isinstance(statement, ast.Return)


def _equal_bodies(functions: list[ast.FunctionDef]) -> Iterator[str]:
    """Find functions that do the same, up to the names of what they take and what they call it."""
    seen: dict[str, str] = {}
    for function in functions:
        body = function.body[1:] if ast.get_docstring(function) else function.body
        if sum(map(_works, body)) < LEAST:  # beside what goes in and out
            continue
        own = {a.arg for a in function.args.args} | {
            node.id
            for node in ast.walk(function)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        key = _without_names("\n".join(map(ast.unparse, body)), own)
        if key in seen:
            yield f"{function.name} does what {seen[key]} does"
        seen[key] = function.name


def _without_names(text: str, own: set[str]) -> str:
    """Return a text with numbers in place of a function's own names."""
    names: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        return names.setdefault(found[0], f"v{len(names)}") if found[0] in own else found[0]

    return re.sub(r"(?<![\w.])\w+", number, text)


def _idle(tree: ast.AST) -> Iterator[str]:
    """Find statements without effect: a value that nothing takes, a name for itself, += 0."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Call | ast.Constant):
            yield f"{ast.unparse(node)} has no effect"
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == ast.unparse(node.value):
            yield f"{ast.unparse(node)} has no effect"
        if isinstance(node, ast.AugAssign) and ast.unparse(node.value) in ("0", "1"):
            yield f"{ast.unparse(node)} has no effect"
        if isinstance(node, ast.Call) and re.fullmatch(
            r"(\w+)\.reshape\(\1\.shape\)", ast.unparse(node)
        ):
            yield f"{ast.unparse(node)} has no effect"


def _undocumented(functions: list[ast.FunctionDef]) -> Iterator[str]:
    for function in functions:
        text = ast.get_docstring(function) or ""
        public = not function.name.startswith("_") and function.name != "release"
        arrays = any(a.annotation and ast.unparse(a.annotation) == "Array" for a in function.args.args)
        if public and arrays and not re.search(r"\((\d|samples)|\(\)|out", text):
            yield f"{function.name} does not say which shapes it takes"


@pytest.mark.every
@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_the_gallery_is_signed(path: Path) -> None:
    source = path.read_text("utf-8")
    assert not faults(source)
    assert source.count("\n") <= LONGEST.get(path.stem, 700)


@settings(max_examples=many(200))
@given(layers() | real_layers(), st.integers(1, 2))
def test_random_layers_are_signed(layer: Conv | ConvTranspose, order: int) -> None:
    assert not faults(generate(layer, "m", order=order).source)


@pytest.mark.every
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("layer", [BatchNorm((4, 3, 5)), Linear((4, 5), 3), LENET], ids=repr)
def test_layers_with_many_inputs_are_signed(layer: Layer, order: int) -> None:
    assert not faults(generate(layer, "m", order=order).source)


def test_the_formatter_leaves_the_gallery_as_it_is() -> None:
    formatting = [*RUFF, "format", "--isolated", "--line-length", "100", "--check", "generated"]
    done = subprocess.run(formatting, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@long
def test_the_formatter_leaves_random_modules_as_they_are(tmp_path: Path) -> None:
    written: list[Path] = []

    @settings(max_examples=many(200))
    @given(layers() | real_layers())
    def write(layer: Conv | ConvTranspose) -> None:
        written.append(generate(layer, f"m{len(written)}", order=1 + len(written) % 2).write(tmp_path))

    write()
    formatting = [*RUFF, "format", "--isolated", "--line-length", "100", "--diff", str(tmp_path)]
    done = subprocess.run(formatting, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    checking = [*RUFF, "check", "--isolated", str(tmp_path)]
    found = subprocess.run(checking, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("x = x", "no effect"),
        ("y += 0", "no effect"),
        ("x.T", "no effect"),
        ("x.reshape(x.shape)", "no effect"),
        (f"x = {'y' * 100}", "characters"),
        ("def forward(x: Array) -> Array:\n    return x", "shapes"),
        (SAME, "does what a does"),
    ],
)
def test_what_nobody_would_write_is_seen(line: str, fault: str) -> None:
    assert any(fault in found for found in faults(f"x = y = 1\n\n{line}\n"))
