"""What is generated: texts in a target language, that can be written, loaded and checked."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from symconv.files import kept_files, load_file, load_source, tuning_text, write_files
from symconv.lower.layer_plan import Plan
from symconv.lower.network_plan import NetworkPlan
from symconv.lower.tuning import Tuning
from symconv.version import __version__


@dataclass(frozen=True, repr=False)
class Unit:
    """A generated module.

    Attributes
    ----------
    name
        The module's name.
    source
        The module's source text.
    plan
        The algorithms chosen for its layer.
    tuning
        The measurements that the choice is based on, if there are any.
    target
        The language of the source: ``"numpy"`` or ``"c"``.
    beside
        The texts of the files that belong to it, by what follows the name: in C, the header (``.h``),
        the Python module and, if they are given, the weights (``_weights.h``).
    """

    name: str
    source: str
    plan: Plan | NetworkPlan
    tuning: Tuning | None = None
    target: str = "numpy"
    beside: Mapping[str, str] = field(default_factory=dict)

    def write(self, folder: str | os.PathLike[str], force: bool = False) -> Path:
        """Write ``folder/name.py``, in C also ``name.c`` and ``name.h``; return the path of the source.

        If there is a tuning, ``name.tuning.json`` is written beside it.

        Raises
        ------
        SymconvError
            If a file exists that symconv did not generate and ``force`` is not set, or if a file cannot
            be written.
        """
        path = self.path(folder)
        texts = self.texts(folder)
        if self.tuning is not None:
            texts[path.with_suffix(".tuning.json")] = tuning_text(self.tuning, __version__)
        write_files(texts, force)
        return path

    def texts(self, folder: str | os.PathLike[str]) -> dict[Path, str]:
        """Return the texts of all files, by their paths in a folder."""
        path = self.path(folder)
        beside = {path.with_name(self.name + end): text for end, text in self.beside.items()}
        return {path: self.source} | beside

    def __repr__(self) -> str:
        lines = self.source.count("\n")
        return f"Unit({self.name!r}: a module for {type(self.plan.layer).__name__}, {lines} lines)"

    def _repr_html_(self) -> str:
        """Show a notebook the module's text, folded away."""
        return f"<details><summary>{self!r}</summary><pre>{html.escape(self.source)}</pre></details>"

    def path(self, folder: str | os.PathLike[str]) -> Path:
        """Return the path of the source in a folder."""
        return Path(folder) / f"{self.name}.{'c' if self.target == 'c' else 'py'}"

    def load(self) -> ModuleType:
        """Return the module, after running its source; C is compiled when a function is first called.

        A compiled file is kept in the user's cache.

        Raises
        ------
        SymconvError
            If the files in C cannot be written to the cache.
        """
        if self.target == "c":
            return load_file(kept_files(self.name, self.texts("")))
        return load_source(self.name, self.source)
