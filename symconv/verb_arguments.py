"""What the verbs accept beside layers: names, orders, accuracies and times."""

from __future__ import annotations

import keyword
import math
import re
import sys

from symconv.errors import SymconvError
from symconv.layers.arguments import choice
from symconv.targets.c.dialect import HEADERS, KEYWORDS


def check_name(name: object) -> str:
    """Return the name, if a module can have it."""
    if (
        not isinstance(name, str)
        or not re.fullmatch("[A-Za-z_][A-Za-z0-9_]{0,99}", name)
        or keyword.iskeyword(name)
        or name in sys.stdlib_module_names | {"numpy", "symconv"}
    ):
        raise SymconvError(
            f"name = {name!r}: must be a Python identifier of at most 100 ASCII characters, and not a "
            "keyword, numpy, symconv or a module of the standard library"
        )
    return name


def check_target(target: object, name: str) -> str:
    """Return the target, if it is ``"numpy"`` or ``"c"`` and a file of it can have the name."""
    found = choice("target", target, ("numpy", "c"))
    if found == "c" and (name in {*KEYWORDS, *HEADERS} or name.startswith("_")):
        raise SymconvError(f"name = {name!r}: must not be a keyword or a header of C, nor begin with _")
    return found


def check_seconds(seconds: float) -> float:
    """Return the number of seconds, if it is positive and finite."""
    real = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not real or not 0 < seconds < math.inf:
        raise SymconvError(f"seconds = {seconds!r}: must be a positive number")
    return seconds


def check_order(order: object) -> int:
    """Return the order of derivatives, if it is 1 or 2."""
    if isinstance(order, bool) or order not in (1, 2):
        raise SymconvError(f"order = {order!r}: must be 1 or 2")
    return 2 if order == 2 else 1


def check_accuracy(accuracy: object) -> str:
    """Return the accuracy, if it is ``"direct"`` or ``"fast"``."""
    return choice("accuracy", accuracy, ("direct", "fast"))
