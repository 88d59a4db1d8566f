"""Matrices of symbols on paper: padded, stuffed, correlated, and written as text and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence

import sympy

CORNER = 8  # rows and columns of a matrix that are shown


def as_rows(elements: Sequence[sympy.Expr], shape: Sequence[int]) -> list[list[str]]:
    """Return a plane's elements as text, row by row."""
    width = shape[-1]
    names = [str(e) for e in elements]
    return [names[at : at + width] for at in range(0, len(names), width)]


def pad(rows: list[list[str]], pads: Sequence[tuple[int, int]]) -> list[list[str]]:
    """Surround a matrix by zeros; negative padding crops. One axis is one row."""
    *above, across = pads
    down = above[0] if above else (0, 0)
    return [
        [
            rows[i][j] if 0 <= i < len(rows) and 0 <= j < len(rows[0]) else "0"
            for j in range(-across[0], len(rows[0]) + across[1])
        ]
        for i in range(-down[0], len(rows) + down[1])
    ]


def correlate(
    cells: list[list[str]],
    other: list[list[str]],
    strides: Sequence[int],
    dilations: Sequence[int],
    sizes: Sequence[int],
) -> list[sympy.Expr]:
    """Correlate two matrices as they are printed; the first elements, of which there are ``sizes``."""
    (s, t), (d, e) = (([1, *pair][-2:]) for pair in (strides, dilations))
    height, width = [1, *sizes][-2:]
    left = [[sympy.Symbol(c) if c != "0" else sympy.Integer(0) for c in row] for row in cells]
    right = [[sympy.Symbol(c) if c != "0" else sympy.Integer(0) for c in row] for row in other]
    return [
        sympy.Add(
            *(
                left[s * i + d * p][t * j + e * q] * right[p][q]
                for p in range(len(right))
                for q in range(len(right[0]))
            )
        )
        for i in range(height)
        for j in range(width)
    ]


def stuff(rows: list[list[str]], steps: Sequence[int]) -> list[list[str]]:
    """Put zeros between the cells of a matrix."""
    *first, across = steps
    down = first[0] if first else 1
    width, height = across * (len(rows[0]) - 1) + 1, down * (len(rows) - 1) + 1
    result = [["0"] * width for _ in range(height)]
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            result[i * down][j * across] = cell
    return result


def _corner(rows: list[list[str]], dots: tuple[str, str, str]) -> list[list[str]]:
    """Return a matrix's corner, the rest as ellipses (across, down, both)."""
    across, down, both = dots
    wide, high = bool(rows) and len(rows[0]) > CORNER, len(rows) > CORNER
    shown = [[*row[: CORNER - 1], across] if wide else row for row in rows]
    if high:
        shown = [*shown[: CORNER - 1], [down] * (len(shown[0]) - wide) + [both] * wide]
    return shown


def grid(rows: list[list[str]]) -> list[str]:
    """Write a matrix's corner as lines."""
    shown = _corner(rows, ("…", "⋮", "⋱"))
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = [
        " ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in shown
    ]
    return [f"[{line}]" for line in lines]


def matrix_latex(rows: list[list[str]]) -> str:
    """Write a matrix's corner in LaTeX."""
    shown = _corner(rows, (r"\cdots", r"\vdots", r"\ddots"))
    body = r" \\ ".join(" & ".join(map(_cell_latex, row)) for row in shown)
    return rf"\begin{{bmatrix}} {body} \end{{bmatrix}}"


def _cell_latex(cell: str) -> str:
    return cell if cell[:1] in "0\\" else sympy.latex(sympy.Symbol(cell))
