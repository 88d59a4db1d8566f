"""The configuration file: modules by name, and how a folder's files differ from what it says."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from symconv.errors import SymconvError
from symconv.files import is_generated, read_data, read_tuning, reason_of
from symconv.layers.arguments import refuse
from symconv.layers.layer import Layer, rebuild
from symconv.lower.tuning import Tuning
from symconv.unit import Unit
from symconv.verb_arguments import check_accuracy, check_name, check_order, check_target
from symconv.verbs import generate


@dataclass(frozen=True)
class Difference:
    """A file of a configuration's folder that is not what the configuration says.

    ``kind`` is ``"differs"``, ``"missing"`` or ``"stale"`` (no module has its name any more).
    """

    path: Path
    kind: str
    diff: str


OPTIONS = {
    "order": 1,
    "accuracy": "direct",
    "tuning": "",
    "target": "numpy",
}  # of generate, in a configuration


@dataclass(frozen=True)
class Request:
    """What a configuration says of a module: its layer, and what :func:`generate` takes besides."""

    layer: Layer
    order: int
    accuracy: str
    tuning: Tuning | None
    target: str

    def generate(self, name: str) -> Unit:
        """Generate the module."""
        return generate(
            self.layer,
            name,
            order=self.order,
            accuracy=self.accuracy,
            tuning=self.tuning,
            target=self.target,
        )


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
            order, accuracy, file, target = (entry.get(key, default) for key, default in OPTIONS.items())
            if file not in ("", f"{name}.tuning.json"):  # the module's first lines name it
                raise refuse("tuning", file, f"'{name}.tuning.json', beside the configuration")
            tuning = read_tuning(Path(path).parent / str(file)) if file else None
            requests[name] = Request(
                rebuild(arguments),
                check_order(order),
                check_accuracy(accuracy),
                tuning,
                check_target(target, name),
            )
    return requests


@contextmanager
def said_of(path: str | os.PathLike[str], module: int) -> Iterator[None]:
    """Say of an error in which file, and of which module, it is."""
    try:
        yield
    except SymconvError as error:
        raise SymconvError(f"{path}: module {module}: {error}") from error


def stale_files(folder: Path, units: Iterable[Unit]) -> list[Path]:
    """Return the generated files of a folder that belong to none of its units."""
    kept = {path for unit in units for path in unit.texts(folder)}
    found = sorted(path for path in folder.iterdir() if path.suffix in (".py", ".c", ".h"))
    return [path for path in found if path not in kept and is_generated(path)]


def differences(unit: Unit, folder: Path) -> list[Difference]:
    """Return how a unit's files in a folder differ from their texts."""
    found = (_difference(path, text) for path, text in unit.texts(folder).items())
    return [difference for difference in found if difference]


def _difference(path: Path, wanted: str) -> Difference | None:
    if not path.exists():
        return Difference(path, "missing", "")
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise SymconvError(f"{path}: cannot be read: {reason_of(error)}") from error
    if text == wanted:
        return None
    lines = difflib.unified_diff(
        text.splitlines(True), wanted.splitlines(True), str(path), "generated now"
    )
    return Difference(path, "differs", "".join(lines))
