"""An explanation as a document for pdflatex."""

from __future__ import annotations

from collections.abc import Sequence

from symconv.derive.derivation import Derivation
from symconv.explain.documents import command_line
from symconv.explain.figures import Figure
from symconv.layers.layer import Layer
from symconv.notation.text import prose_latex
from symconv.prove.theorems import MEANINGS, Proof
from symconv.templating import fill


def explanation_document(
    derivation: Derivation, proof: Proof, figures: Sequence[Figure], version: str
) -> str:
    """Return a derivation, its figures and a sentence for each theorem as a document in LaTeX."""
    return fill(
        "latex/explanation.tex.j2",
        version=version,
        title=prose_latex(command_line("derive", derivation.layer)),
        figures=[
            {
                "picture": figure.tikz(),
                "title": prose_latex(figure.title),
                "words": prose_latex(figure.words),
            }
            for figure in figures
        ],
        body=derivation.latex().rstrip("\n"),
        theorems=[
            prose_latex(f"{t.name} ({MEANINGS[t.status]}): {t.statement}.") for t in proof.theorems
        ],
    )


def worked_document(layer: Layer, parts: Sequence[str], version: str) -> str:
    """Return worked examples, a page each, as a document in LaTeX."""
    title = f"{type(layer).__name__}, worked out with numbers"
    body = "\n\\newpage\n".join(parts)
    return fill("latex/document.tex.j2", version=version, title=title, body=body)
