"""An explanation: what the verbs found about a layer, as a page."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from symconv.check.report import Report
from symconv.derive.derivation import Derivation
from symconv.errors import SymconvError
from symconv.explain.code_blocks import blocks
from symconv.explain.figures import Figure, figures
from symconv.explain.page import page
from symconv.explain.paper import explanation_document
from symconv.files import write_files
from symconv.layers.layer import Layer
from symconv.prove.theorems import Proof
from symconv.version import __version__

NAME = "layer"  # of the module that is shown


@dataclass(frozen=True, repr=False)
class Explanation:
    """A layer's pictures, derivation, theorems, module and check, for a browser or a notebook.

    Attributes
    ----------
    layer
        The layer.
    derivation, proof
        Its derivation and its proof.
    source
        The source text of its generated module.
    in_c
        That of the same module in C; empty for any batch.
    formulas
        What each of the module's functions computes, by its name.
    report
        The check of the module, or of the module of the smaller layer that is drawn.
    """

    layer: Layer
    derivation: Derivation
    proof: Proof
    source: str
    in_c: str
    formulas: Mapping[str, tuple[str, ...]]
    report: Report

    def html(self) -> str:
        """Return the page as HTML that needs no other file and no internet connection."""
        return self._page

    @cached_property
    def _page(self) -> str:
        code = blocks(self.source, self.formulas, self.in_c, f"{NAME}_")
        return page(self.layer, self.derivation, self.proof, code, self.report, __version__)

    @cached_property
    def figures(self) -> tuple[Figure, ...]:
        """The pictures of sliding windows, to print or to project; layers without windows have none."""
        return figures(self.layer)

    def latex(self) -> str:
        """Return a document with the derivation, the figures and the theorems, for pdflatex."""
        return explanation_document(self.derivation, self.proof, self.figures, __version__)

    def write(self, path: str | os.PathLike[str], force: bool = False) -> Path:
        """Write the page to a ``.html`` file, or the document to a ``.tex`` file; return its path.

        Raises
        ------
        SymconvError
            If the name has another suffix, if a file exists that symconv did not generate and
            ``force`` is not set, or if the file cannot be written.
        """
        file = Path(path)
        made = {".html": self.html, ".tex": self.latex}.get(file.suffix)
        if made is None:
            raise SymconvError(f"{file}: must end in .html or .tex")
        write_files({file: made()}, force)
        return file

    def __repr__(self) -> str:
        return f"Explanation({type(self.layer).__name__}: a page; .write(path) writes it)"

    def _repr_html_(self) -> str:
        """Show the page in a frame of its own, so that its style stays in it."""
        frame = 'width="100%" height="900" style="border: 0" title="An explanation of the layer"'
        return f'<iframe {frame} srcdoc="{html.escape(self.html())}"></iframe>'
