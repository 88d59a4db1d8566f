"""What a layer has for any number of samples: what it has in common for several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from symconv.errors import KernelError, SymconvError
from symconv.layers.batch import with_samples
from symconv.layers.layer import Layer
from symconv.notation.family import common

SIZE = "N"  # the number of samples in formulas
MEMBERS = (37, 41, 71, 101)  # sizes that no block divides, and of different numbers of blocks


def family(layer: Layer, of: Callable[[Layer], Any], letter: str = SIZE) -> Any:
    """Return what a function of a layer gives for any number of samples, with a letter for that.

    Raises
    ------
    SymconvError
        If it gives something else for a larger batch, besides numbers.
    """
    members = {samples: layer.with_batch(samples) for samples in MEMBERS}
    for samples, member in members.items():
        if member.output_shape != with_samples(layer.output_shape, samples):
            raise refused(layer, "its output's shape depends on it in another way")
    return in_common({n: of(member) for n, member in members.items()}, layer, letter)


def in_common(members: dict[int, Any], layer: Layer, letter: str) -> Any:
    """Return what values for several numbers of samples have in common, or refuse the layer."""
    try:
        return common(members, letter)
    except KernelError as error:
        raise refused(layer, str(error)) from error


def refused(layer: Layer, why: str) -> SymconvError:
    """Return the error for a layer that cannot take any number of samples."""
    name = next(name for name in ("input_shapes", "input_shape", "shapes") if name in layer.arguments)
    return SymconvError(
        f"{name}: {type(layer).__name__} needs a number of samples instead of any (None): {why}"
    )
