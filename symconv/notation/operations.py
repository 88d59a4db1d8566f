"""Operations on elements that SymPy has no word for, as functions in its expressions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy

ATTAINS = sympy.Function("attaining")  # element, greatest: whether it attains it
FIRST = sympy.Function(
    "first_attaining"
)  # waiting, element, greatest: whether it is the first that attains it
STILL = sympy.Function("still_waiting")  # waiting, first: whether none has attained it yet
WHERE = sympy.Function("where_true")  # condition, value: the value where the condition holds, else 0

MEANING: dict[str, Callable[..., Any]] = {
    "attaining": lambda element, greatest: element == greatest,
    "first_attaining": lambda waiting, element, greatest: bool(waiting) and element == greatest,
    "still_waiting": lambda waiting, first: bool(waiting) and not first,
    "where_true": lambda condition, value: value if condition else 0 * value,
}
