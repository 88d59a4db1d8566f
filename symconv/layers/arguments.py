"""Validation of what users pass: every refusal names the argument, its value and what would be valid."""

from __future__ import annotations

import contextlib
import math
import operator
from collections.abc import Sequence
from typing import SupportsIndex, TypeAlias

import numpy as np

from symconv.errors import SymconvError
from symconv.layers.batch import ANY_BATCH, AnyBatch

PerAxis: TypeAlias = int | Sequence[int]
Padding: TypeAlias = str | int | Sequence[int] | Sequence[tuple[int, int]]

DTYPES = ("float32", "float64")
WITH_BATCH = ("input_shape", "input_shapes", "shape")  # whose first size may be any: None
LARGEST = 2**31  # elements of a tensor, and any single number: indices stay in 64 bits


def refuse(argument: str, value: object, valid: str) -> SymconvError:
    """Return the error for an argument that is not valid."""
    shown = repr(value)
    if len(shown) > 80:
        shown = shown[:77] + "..."
    return SymconvError(f"{argument} = {shown}: must be {valid}")


def integer(argument: str, value: object, at_least: int, valid: str, given: object = None) -> int:
    """Return an integer that is at least a bound; ``given`` is the argument that contains it."""
    shown = value if given is None else given
    if isinstance(value, bool | AnyBatch) or not isinstance(value, SupportsIndex):
        raise refuse(argument, shown, valid)
    number = operator.index(value)
    if number >= LARGEST:
        raise refuse(argument, shown, f"{valid}, below {LARGEST}")
    if number < at_least:
        raise refuse(argument, shown, valid)
    return number


def integers(argument: str, value: object) -> tuple[int, ...]:
    """Return integers of any sign, given as one or several."""
    valid = "an int, or several"
    entries = _sequence(value)
    numbers = [value] if entries is None else entries
    return tuple(integer(argument, each, -LARGEST, valid, value) for each in numbers)


def flag(argument: str, value: object) -> bool:
    """Return a boolean."""
    if not isinstance(value, bool):
        raise refuse(argument, value, "True or False")
    return value


def dtype(value: object) -> str:
    """Return the name of a floating-point type, given by its name or as a dtype of NumPy."""
    if not isinstance(value, str) and value is not None:  # which NumPy takes for float64
        with contextlib.suppress(TypeError, ValueError):
            value = np.dtype(value).name  # type: ignore[call-overload]  # others raise
    return choice("dtype", value, DTYPES)


def choice(argument: str, value: object, valid: Sequence[str]) -> str:
    """Return a word that must be one of the valid ones."""
    if not isinstance(value, str) or value not in valid:
        raise refuse(argument, value, "one of " + ", ".join(map(repr, valid)))
    return value


def shape(
    argument: str,
    value: object,
    lengths: Sequence[int],
    valid: str,
    with_batch: Sequence[str] = WITH_BATCH,
) -> tuple[int, ...]:
    """Return a tensor's shape; its number of axes must be one of ``lengths``, its size is bounded.

    The first size may be None (or ``"N"``), any number of samples, where the argument has a batch.
    """
    sizes = _sequence(value)
    if sizes is None or len(sizes) not in lengths:
        raise refuse(argument, value, valid)
    any_batch = argument in with_batch and bool(sizes) and _is_any(sizes[0])
    rest = sizes[1:] if any_batch else sizes
    if any(map(_is_any, rest)):
        raise refuse(argument, value, f"{valid}; only the first size of an input may be None (or N)")
    found = tuple(integer(argument, size, 1, valid, value) for size in rest)
    return bounded(argument, (ANY_BATCH, *found) if any_batch else found)


def _is_any(size: object) -> bool:
    """Whether a size stands for any number of samples: None, or N as in formulas."""
    return size is None or size == "N" or isinstance(size, AnyBatch)


def bounded(tensor: str, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape, which must have at most ``LARGEST`` elements."""
    if math.prod(sizes) > LARGEST:
        raise refuse(tensor, sizes, f"a shape of at most {LARGEST} elements")
    return sizes


def per_axis(argument: str, value: object, rank: int, at_least: int = 1) -> int | tuple[int, ...]:
    """Return an int for all axes, or one per axis."""
    kind = "positive" if at_least == 1 else "non-negative"
    valid = f"a {kind} int, or one per spatial axis ({rank} here)"
    if argument == "padding":
        valid += ", or pairs (lo, hi), where a negative number crops"
    sizes = _sequence(value)
    if sizes is None:
        return integer(argument, value, at_least, valid)
    if len(sizes) != rank:
        raise refuse(argument, value, valid)
    found = tuple(integer(argument, size, at_least, valid, value) for size in sizes)
    return found[0] if len(set(found)) == 1 else found  # one spelling for one layer


def axis(argument: str, value: object, rank: int) -> int:
    """Return an axis counted from 0; a negative axis is counted from the last one."""
    valid = f"an axis of the input, from {-rank} to {rank - 1}"
    number = integer(argument, value, -rank, valid)
    if number >= rank:
        raise refuse(argument, value, valid)
    return number % rank


def axes(argument: str, value: object, rank: int) -> tuple[int, ...]:
    """Return different axes counted from 0, given as one or several."""
    entries = _sequence(value)
    found = tuple(axis(argument, each, rank) for each in ([value] if entries is None else entries))
    if len(set(found)) < len(found) or not found:
        raise refuse(argument, value, "different axes")
    return found


def number(argument: str, value: object, valid: str) -> float:
    """Return a finite real number."""
    real = isinstance(value, int | float | np.floating | np.integer) and not isinstance(value, bool)
    if not real or not math.isfinite(float(value)):  # type: ignore[arg-type]  # it is one of these
        raise refuse(argument, value, valid)
    return float(value)  # type: ignore[arg-type]  # it is one of these


def positive(argument: str, value: object) -> float:
    """Return a positive real number."""
    found = number(argument, value, "a positive number")
    if found <= 0:
        raise refuse(argument, value, "a positive number")
    return found


def padding(value: object, rank: int, words: Sequence[str]) -> Padding:
    """Return padding as a word, an int, one per axis, or pairs (lo, hi) per axis."""
    if isinstance(value, str):
        if not words:
            raise refuse(
                "padding", value, "an int, one per axis, or pairs (lo, hi); this layer takes no words"
            )
        return choice("padding", value, words)
    entries = _sequence(value)
    if entries is None or not any(_sequence(entry) for entry in entries):
        return per_axis("padding", value, rank, at_least=0)
    valid = f"a pair (lo, hi) of ints for each spatial axis ({rank} here)"
    pairs = [_sequence(entry) for entry in entries]
    if len(pairs) != rank or any(pair is None or len(pair) != 2 for pair in pairs):
        raise refuse("padding", value, valid)
    found = [
        (
            integer("padding", lo, -LARGEST, valid, value),
            integer("padding", hi, -LARGEST, valid, value),
        )
        for lo, hi in (pair for pair in pairs if pair is not None)
    ]
    if all(lo == hi >= 0 for lo, hi in found):  # one spelling for one layer
        return per_axis("padding", [lo for lo, _ in found], rank, at_least=0)
    return tuple(found)


def pair(value: Padding, axis: int) -> tuple[int, int]:
    """Return how many elements a padding, given as numbers, adds before and after one axis."""
    entry = value if isinstance(value, int) else value[axis]
    assert not isinstance(entry, str)  # a word is its layer's own
    return (entry, entry) if isinstance(entry, int) else entry


def spread(value: PerAxis, rank: int) -> tuple[int, ...]:
    """Return one number per axis."""
    return (value,) * rank if isinstance(value, int) else tuple(value)


def _sequence(value: object) -> Sequence[object] | None:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return value if isinstance(value, tuple | list) else None
