"""Figures as files: text formats, and images that an extra renders."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from symconv.errors import SymconvError
from symconv.explain.figures import SECONDS, Figure
from symconv.files import write_files

FIGURES = ("svg", "tikz", "beamer", "png", "gif")  # formats
SCALE = 2  # pixels of an image for each unit of an SVG


def write_figures(figures: Sequence[Figure], form: str, folder: Path, force: bool) -> list[Path]:
    """Write a file for each figure to a folder; of SVG an animated one, too. Return their paths.

    Raises
    ------
    SymconvError
        If there is no figure, an image's library is not installed, or the disk refuses.
    """
    if not figures:
        raise SymconvError("figures: only convolutions and pools have any; --format html has all layers")
    if folder.suffix:
        raise SymconvError(f"{folder}: must be a folder, in which each figure is a file")
    if form in ("png", "gif"):
        made = {folder / f"{f.name}.{form}": (_png if form == "png" else _gif)(f) for f in figures}
        write_files(made, force)
        return list(made)
    texts: dict[Path, str] = {}
    for figure in figures:
        if form == "svg":
            texts[folder / f"{figure.name}.svg"] = figure.svg()
            texts[folder / f"{figure.name}-animated.svg"] = figure.svg(animated=True)
        else:
            text = figure.tikz() if form == "tikz" else figure.beamer()
            texts[folder / f"{figure.name}{'-frame' * (form == 'beamer')}.tex"] = text
    write_files(texts, force)
    return list(texts)


def _png(figure: Figure, position: int | None = None) -> bytes:
    try:
        import resvg_py
    except ImportError:
        raise SymconvError("PNG and GIF need an extra: pip install 'symconv[images]'") from None
    return bytes(resvg_py.svg_to_bytes(svg_string=figure.svg(position), background="white", zoom=SCALE))


def _gif(figure: Figure) -> bytes:
    frames = [_png(figure, at) for at in range(len(figure.positions))]
    from PIL import Image

    images = [Image.open(io.BytesIO(frame)).convert("P") for frame in frames]
    file = io.BytesIO()
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=1000 * SECONDS, loop=0)
    return file.getvalue()
