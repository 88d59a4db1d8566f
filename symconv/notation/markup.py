"""Tables for a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


def html_table(heading: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table with a heading as HTML; every text is escaped."""

    def cells(tag: str, texts: Iterable[object]) -> str:
        return "".join(f"<{tag}>{html.escape(str(text))}</{tag}>" for text in texts)

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    caption = f"<caption>{html.escape(heading)}</caption>"
    return f"<table>{caption}<thead><tr>{cells('th', head)}</tr></thead><tbody>{body}</tbody></table>"
