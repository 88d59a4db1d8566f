"""Formulas for a browser: LaTeX as MathML."""

from __future__ import annotations

from latex2mathml.converter import convert


def rows_mathml(latex: str) -> str:
    """Return the rows of an ``aligned`` environment as MathML, for a paragraph of their own."""
    grouped = latex.replace(r"\begin{bmatrix}", r"{\begin{bmatrix}")  # its brackets are as high as it
    grouped = grouped.replace(r"\end{bmatrix}", r"\end{bmatrix}}")
    return convert(rf"\begin{{align*}}{grouped}\end{{align*}}", display="block")
