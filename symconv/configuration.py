"""The configuration file: modules by name, and how a folder's files differ from what it says."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from symconv.errors import SymconvError
from symconv.files import is_generated, read_data, read_tuning, reason_of
from symconv.layers.arguments import refuse
from symconv.layers.layer import Layer, rebuild
from symconv.lower.tuning import Tuning
from symconv.verb_arguments import check_accuracy, check_name, check_order
from symconv.verbs import Unit, generate


@dataclass(frozen=True)
class Difference:
    """A file of a configuration's folder that is not what the configuration says.

    ``kind`` is ``"differs"``, ``"missing"`` or ``"stale"`` (no module has its name any more).
    """

    path: Path
    kind: str
    diff: str


OPTIONS = {"order": 1, "accuracy": "direct", "tuning": ""}  # of generate, in a configuration


@dataclass(frozen=True)
class Request:
    """What a configuration says of a module: its layer, and what :func:`generate` takes besides."""

    layer: Layer
    order: int
    accuracy: str
    tuning: Tuning | None

    def generate(self, name: str) -> Unit:
        """Generate the module."""
        return generate(self.layer, name, order=self.order, accuracy=self.accuracy, tuning=self.tuning)


def read_config(path: str | os.PathLike[str]) -> dict[str, Request]:
    """Return what a configuration lists, by module name.

    Raises
    ------
    SymconvError
        If the file cannot be read, or an entry is not valid.
    """
    data = read_data(path)
    modules = data.pop("module", None) if isinstance(data, dict) else None
    if data or not isinstance(modules, list):
        raise SymconvError(f"{path}: must consist of [[module]] tables with name, layer and arguments")
    requests: dict[str, Request] = {}
    for entry in modules:
        with said_of(path, len(requests) + 1):
            if not isinstance(entry, Mapping):
                raise SymconvError("must be a table")
            if "name" not in entry:
                raise SymconvError("name: missing, every module needs one")
            name = check_name(entry["name"])
            if name in requests:
                raise SymconvError(f"name = {name!r}: must be the name of one module only")
            arguments = {key: value for key, value in entry.items() if key not in ("name", *OPTIONS)}
            order, accuracy, file = (entry.get(key, default) for key, default in OPTIONS.items())
            if file not in ("", f"{name}.tuning.json"):  # the module's first lines name it
                raise refuse("tuning", file, f"'{name}.tuning.json', beside the configuration")
            tuning = read_tuning(Path(path).parent / str(file)) if file else None
            requests[name] = Request(
                rebuild(arguments), check_order(order), check_accuracy(accuracy), tuning
            )
    return requests


@contextmanager
def said_of(path: str | os.PathLike[str], module: int) -> Iterator[None]:
    """Say of an error in which file, and of which module, it is."""
    try:
        yield
    except SymconvError as error:
        raise SymconvError(f"{path}: module {module}: {error}") from error


def stale_files(folder: Path, names: Mapping[str, object]) -> list[Path]:
    """Return the generated files of a folder that no name stands for."""
    found = sorted(path for path in folder.glob("*.py") if path.is_file())
    return [path for path in found if path.stem not in names and is_generated(path)]


def difference(unit: Unit, folder: Path) -> Difference | None:
    """Return how a unit's file in a folder differs from its text; None if it does not."""
    path = unit.path(folder)
    if not path.exists():
        return Difference(path, "missing", "")
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise SymconvError(f"{path}: cannot be read: {reason_of(error)}") from error
    if text == unit.source:
        return None
    lines = difflib.unified_diff(
        text.splitlines(True), unit.source.splitlines(True), str(path), "generated now"
    )
    return Difference(path, "differs", "".join(lines))
