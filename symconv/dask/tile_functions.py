"""The functions of tiles' modules, which travel to workers as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

from symconv.errors import SymconvError
from symconv.files import compiler, kept_files, load_file, load_source
from symconv.layers.layer import Layer
from symconv.lower.layer_plan import Plan
from symconv.verbs import generate

NAME = "tile"


@dataclass(frozen=True)
class Texts:
    """The files of a module, as pairs of a name and a text, so that workers know them again."""

    files: tuple[tuple[str, str], ...]

    def module(self) -> ModuleType:
        """Return the module, loaded once on each worker."""
        return _loaded(self.files)


@cache
def _loaded(files: tuple[tuple[str, str], ...]) -> ModuleType:
    texts = dict(files)
    if len(texts) == 1:
        return load_source(NAME, texts[f"{NAME}.py"])
    return load_file(kept_files(NAME, {Path(name): text for name, text in texts.items()}))


def run(texts: Texts, function: str, *arrays: Any) -> Any:
    """Call a function of a module on whole arrays."""
    return getattr(texts.module(), function)(*arrays)


@cache
def texts_of(layer: Layer, target: str | None) -> tuple[Texts, Mapping[str, int]]:
    """Return the module of a tile, and how many numbers each of its functions needs at once.

    These are its arguments, its results, and the workspace.
    """
    chosen = target or ("c" if compiler() else "numpy")
    unit = generate(layer, NAME, target=chosen)
    files = tuple((path.name, text) for path, text in unit.texts("").items())
    if not isinstance(unit.plan, Plan):
        raise SymconvError("layer: must be a single layer")
    return Texts(files), {f.name: _numbers(f) for f in unit.plan.functions}


def _numbers(function: Any) -> int:
    """Return how many numbers a function's arguments, results and buffers have."""
    return sum(prod(buffer.tensor.sizes) for buffer in function.kernel.buffers)
