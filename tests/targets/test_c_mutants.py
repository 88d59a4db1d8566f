"""Errors planted in generated C: the check of the very file finds each of them."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from symconv import BatchNorm, Conv, MaxPool, generate
from symconv.layers import Layer
from tests.effort import long
from tests.targets.test_c import needs_compiler

COUNT = 20  # mutants of each layer
LAYERS: dict[str, Layer] = {
    "tiles": Conv((2, 8, 6, 5), 8, 3, padding=1),
    "filters": Conv((1, 16, 10, 10), 16, 5, bias=False),
    "phases": Conv((2, 3, 9, 9), 17, 3, stride=2, padding=1, bias=False),
    "planes": Conv((1, 3, 7, 6), 3, 3, padding=1, groups=3, bias=False),
    "disjoint pool": MaxPool((1, 2, 7, 6), 2),
    "norm": BatchNorm((3, 2, 6, 70)),
    "pool": MaxPool((1, 2, 6, 6), 3, stride=2, padding=1),
}
CHANGES: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
    (r"(?<=[\]m]) \+= (?=[a-zA-Z(])", " = "),  # what is not added
    (r"\baccumulate\(&", "store(&"),
    (
        r"(?<=[^q] < )(\d+)(?=; [^q]\w*\+\+)",
        lambda found: str(int(found[1]) - 1),
    ),  # a loop that ends early
    (r"(?<=[a-z] \+ )(\d+)(?=\])", lambda found: str(int(found[1]) + 1)),  # a place that is moved
    (r"(?<=\[)(\d+)(?= \* [a-z])", lambda found: str(int(found[1]) + 1)),  # a stride
    (r"(?<=\], )(\d+)(?=, tile)", lambda found: str(int(found[1]) - 1)),  # a row of sums
    (r"\b(\d) - (?=[ij2]\b)", lambda found: f"{found[1]} + "),  # a filter that is not rotated
    (r"memset\([^;]*;", ""),  # a border that is not cleared
    (r"clear\(tile[^;]*;", ""),
]


def mutants(source: str) -> list[str]:
    """Return the texts with one change each, in the layer's own functions."""
    start = source.rindex("#endif") if "#endif" in source else 0
    start = source.index("\nvoid ", start)
    found = []
    for pattern, change in CHANGES:
        for match in re.finditer(pattern, source):
            line = source[source.rindex("\n", 0, match.start()) : source.index("\n", match.start())]
            # No number shows what is_nan is for, or that a share is added to 0.
            untold = "is_nan" in line or "+= (first" in line
            if match.start() > start and not untold:
                changed = change if isinstance(change, str) else change(match)
                found.append(source[: match.start()] + changed + source[match.end() :])
    return found


@needs_compiler
@long
@pytest.mark.parametrize("name", LAYERS)
def test_the_check_kills_mutants(name: str, tmp_path: Path) -> None:
    path = generate(LAYERS[name], "mutant", target="c").write(tmp_path)
    source = path.read_text("utf-8")
    assert checked(path, tmp_path) == 0
    every = mutants(source)
    chosen = random.Random(0).sample(every, min(COUNT, len(every)))
    for mutant in chosen:
        path.write_text(mutant, "utf-8")
        if checked(path, tmp_path) == 0:
            pairs = zip(source.splitlines(), mutant.splitlines(), strict=False)
            survivor = next((old, new) for old, new in pairs if old != new)
            pytest.fail(f"nobody saw {survivor}")


def checked(path: Path, cache: Path) -> int:
    """Check a file in a process of its own, which may crash."""
    done = subprocess.run(
        [sys.executable, "-m", "symconv", "check", os.fspath(path)],
        capture_output=True,
        check=False,
        env={**os.environ, "XDG_CACHE_HOME": os.fspath(cache), "CFLAGS": "-O0"},
        timeout=300,
    )
    return done.returncode
