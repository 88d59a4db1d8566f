"""A batch of any size, and the same layer for a batch of a given size."""

from __future__ import annotations

import dataclasses
from typing import Any, Final, TypeAlias

Shape: TypeAlias = tuple[Any, ...]  # of ints; the first is None where any number of samples is taken


class AnyBatch(int):
    """The number of samples where any is possible: an int, so that shapes stay shapes of ints.

    What needs a number takes it for 2, so that a sum over the batch is seen to be one: it is ordered
    and computed with as 2, and only adding 0 or multiplying by 1 keeps it. It equals no number but
    itself. It is written ``None`` in arguments and ``N`` in formulas.
    """

    def __new__(cls) -> AnyBatch:
        """Return the nominal number of samples."""
        return super().__new__(cls, 2)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnyBatch)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(AnyBatch)

    def __add__(self, other: int) -> int:
        return self if other == 0 else int(self) + other

    def __mul__(self, other: int) -> int:
        return self if other == 1 else int(self) * other

    __radd__, __rmul__ = __add__, __mul__

    def __repr__(self) -> str:
        return "None"

    def __str__(self) -> str:
        return "N"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __reduce__(self) -> tuple[type[AnyBatch], tuple[()]]:
        return AnyBatch, ()


ANY_BATCH: Final = AnyBatch()


def is_any_batch(value: object) -> bool:
    """Whether a size of any number of samples is somewhere in an argument."""
    if isinstance(value, AnyBatch):
        return True
    if isinstance(value, tuple):
        return any(map(is_any_batch, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return any(is_any_batch(getattr(value, field.name)) for field in dataclasses.fields(value))
    return False


def with_samples(value: Any, samples: int | None) -> Any:
    """Return an argument with a number of samples, or None, in the place of any number of them."""
    if isinstance(value, AnyBatch):
        return samples
    if isinstance(value, tuple | list):
        return tuple(with_samples(each, samples) for each in value)
    if isinstance(value, dict):
        return {key: with_samples(each, samples) for key, each in value.items()}
    return value
