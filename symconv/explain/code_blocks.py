"""A generated module as blocks to read beside the formulas that they compute."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer


@dataclass(frozen=True)
class Block:
    """A part of a module: what it is called, the formulas it computes, and its lines as HTML."""

    name: str
    formulas: tuple[str, ...]
    code: Markup


def blocks(source: str, formulas: Mapping[str, tuple[str, ...]]) -> tuple[Block, ...]:
    """Split a module into what comes before its functions, its public functions, and the rest.

    ``formulas`` are what each function computes, by its name.
    """
    lines, tree = source.splitlines(), ast.parse(source)
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    public = [node for node in functions if not node.name.startswith("_")]
    starts = [1, *(_first_line(node, lines) for node in functions if node in public)]
    helpers = next((f for f in functions if f not in public), None)
    if helpers:
        starts.append(_first_line(helpers, lines))
    found = []
    names = ["constants", *(node.name for node in public), "helpers"]
    starts = sorted(starts)
    for at, start in enumerate(starts):
        stop = starts[at + 1] if at + 1 < len(starts) else len(lines) + 1
        text = "\n".join(lines[start - 1 : stop - 1]).strip("\n")
        found.append(Block(names[at], formulas.get(names[at], ()), _highlighted(text)))
    return tuple(found)


def _first_line(node: ast.FunctionDef, lines: list[str]) -> int:
    """Return the line where a function starts, with the comments and decorators above it."""
    start = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    while lines[start - 2].startswith("#"):
        start -= 1
    return start


def _highlighted(text: str) -> Markup:
    formatter = HtmlFormatter(nowrap=True)
    return Markup(highlight(text, PythonLexer(stripnl=False), formatter).rstrip("\n"))
