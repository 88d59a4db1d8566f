"""The one template environment: undefined holes are errors, tags leave no blank lines."""

from __future__ import annotations

import textwrap
from functools import cache
from pathlib import Path

import jinja2


def _under(body: str, header: str) -> str:
    """Indent a block under a loop's header; without a header leave it as it is."""
    body = body.rstrip("\n") + "\n"
    return f"{header}\n{textwrap.indent(body, '    ')}" if header else body


def _folded(text: str) -> str:
    """Fold a paragraph of a docstring, its lines behind the first one indented by four."""
    indent = " " * 4
    return textwrap.fill(
        text, 100, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    ).lstrip()


def _is_html(name: str | None) -> bool:
    return bool(name and name.endswith(".html.j2"))


@cache
def environment() -> jinja2.Environment:
    """Return the environment; a checkout's ``templates/`` comes before an installed copy."""
    package = Path(__file__).resolve().parent
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader([package.parent / "templates", package / "templates"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=_is_html,  # else it is source code, and no user text reaches it unchecked
    )
    env.filters["under"] = _under
    env.filters["folded"] = _folded
    return env


def template_text(name: str) -> str:
    """Return a file among the templates as it is."""
    environment_ = environment()
    assert environment_.loader
    return environment_.loader.get_source(environment_, name)[0]


def fill(template: str, **holes: object) -> str:
    """Return a template with its holes filled."""
    return environment().get_template(template).render(holes)
