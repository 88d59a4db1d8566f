"""Calling a function that somebody else wrote: what it returns, raises and changes."""

from __future__ import annotations

import inspect
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Function = Callable[..., object]


@dataclass(frozen=True)
class Answer:
    """What came of one call.

    Parameters
    ----------
    arrays
        What was returned, as arrays.
    changed
        The names of the arguments that the function wrote to.
    error
        Why there are no arrays, if the function raised or returned something else; empty otherwise.
    raised
        Whether it raised.
    """

    arrays: tuple[Array, ...] = ()
    changed: tuple[str, ...] = ()
    error: str = ""
    raised: bool = False


def call(function: Function, arguments: Mapping[str, Array], expected: int) -> Answer:
    """Call a function with copies of arrays; nothing that it does raises here.

    Parameters
    ----------
    function
        Anybody's.
    arguments
        Its arguments by name, in order.
    expected
        How many arrays it should return: a list of so many is taken for several results.
    """
    given = {name: array.copy() for name, array in arguments.items()}
    try:
        with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
            returned = function(*given.values())
    except (Exception, SystemExit) as error:
        return Answer(error=_raised(function, error, tuple(given)), raised=True)
    changed = tuple(
        name
        for name, array in given.items()
        if not np.array_equal(array, arguments[name], equal_nan=True)
    )
    if returned is None or isinstance(returned, Mapping | Iterator):
        kind = "None" if returned is None else f"a {type(returned).__name__}"
        wanted = "an array" if expected == 1 else f"a tuple of {expected} arrays"
        return Answer(changed=changed, error=f"returns {kind}, expected {wanted}.")
    several = _several(returned, expected)
    try:
        return Answer(
            tuple(np.array(as_array(value)) for value in several), changed
        )  # it may write there
    except _NotAnArrayError as error:
        return Answer(changed=changed, error=str(error))


def takes_one(function: Function) -> bool:
    """Whether a function can be called with one argument, and with no more."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a function of another language may have none
        return False
    kinds = [p.kind for p in signature.parameters.values()]
    positional = [inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD]
    return sum(k in positional for k in kinds) == 1 and inspect.Parameter.VAR_POSITIONAL not in kinds


def _raised(function: Function, error: BaseException, names: tuple[str, ...]) -> str:
    """Say what was raised, and in which line of the function's own file."""
    text = f"raises {type(error).__name__}: {' '.join(str(error).split())}"
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first is the call above
    own = [frame for frame in frames if not _is_library(frame.filename)] or frames
    called = f" It was called with {', '.join(names)}."
    if not own:
        backward = names[0] == "grad_output" and len(names) > 1 and takes_one(function)
        hint = " If it takes grad_output alone, give forward as well." if backward else ""
        return f"{text}.{called}{hint}"
    line = f", `{own[-1].line}`" if own[-1].line else ""
    where = f"{Path(own[-1].filename).name}, line {own[-1].lineno}, in {own[-1].name}{line}"
    return f"{text} ({where}).{called}"


def _is_library(file: str) -> bool:
    """Whether a file is installed, or Python's own: the line that is sought is the user's."""
    return "site-packages" in file or file.startswith(("<", sysconfig.get_path("stdlib")))


class _NotAnArrayError(Exception):
    """A returned value is not an array of numbers."""


def _several(returned: object, expected: int) -> list[object]:
    """Return several results, or the only one; a list of numbers is one array."""
    if isinstance(returned, tuple):
        return list(returned)
    if isinstance(returned, list):
        arrays = bool(returned) and all(hasattr(value, "shape") for value in returned)
        if arrays or (expected > 1 and len(returned) == expected):
            return list(returned)
    return [returned]


def as_array(value: Any) -> Array:
    """Return a NumPy array of a result: of PyTorch's or JAX's array, or of a list of numbers."""
    if value is None:
        return np.asarray(None, dtype=object)
    try:
        if callable(getattr(value, "detach", None)):  # PyTorch's, which may require grad
            value = value.detach().cpu()
        return np.asarray(value)
    except Exception as error:  # whatever another library says
        kind = type(value).__name__
        said = " ".join(str(error).split())
        raise _NotAnArrayError(f"returns a {kind}, which NumPy cannot read: {said}.") from error
