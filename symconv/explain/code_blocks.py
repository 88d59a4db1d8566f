"""Generated code as blocks to read beside the formulas that they compute: in NumPy, and in C."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import CLexer, PythonLexer


@dataclass(frozen=True)
class Block:
    """A part of a module: what it is called, the formulas it computes, and its lines as HTML.

    ``codes`` has them by the language, Python's first.
    """

    name: str
    formulas: tuple[str, ...]
    codes: Mapping[str, Markup]


def blocks(
    source: str, formulas: Mapping[str, tuple[str, ...]], in_c: str = "", prefix: str = ""
) -> tuple[Block, ...]:
    """Split a module into what comes before its functions, its public functions, and the rest.

    Parameters
    ----------
    source
        The module's text.
    formulas
        What each function computes, by its name.
    in_c
        The text of the same module in C, if there is one.
    prefix
        What the names of its functions begin with.
    """
    written = _functions_in_c(in_c, prefix)
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
        codes = {"Python": _highlighted(text, PythonLexer(stripnl=False))}
        if names[at] in written:
            codes["C"] = _highlighted(written[names[at]], CLexer(stripnl=False))
        found.append(Block(names[at], formulas.get(names[at], ()), codes))
    return tuple(found)


def _first_line(node: ast.FunctionDef, lines: list[str]) -> int:
    """Return the line where a function starts, with the comments and decorators above it."""
    start = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    while lines[start - 2].startswith("#"):
        start -= 1
    return start


def _functions_in_c(source: str, prefix: str) -> dict[str, str]:
    """Return the public functions of a C file, with their comments, by the rest of their names."""
    head = re.compile(rf"^((?://.*\n)*)void {re.escape(prefix)}(\w+)\(", re.MULTILINE)
    return {
        found[2]: source[found.start() : source.index("\n}\n", found.end()) + 2]
        for found in head.finditer(source)
    }


def _highlighted(text: str, lexer: Lexer) -> Markup:
    formatter = HtmlFormatter(nowrap=True)
    return Markup(highlight(text, lexer, formatter).rstrip("\n"))
