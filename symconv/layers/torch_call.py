"""Calls that make a layer in PyTorch, as its users write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

DEFAULTS = {
    "stride": 1,
    "padding": 0,
    "dilation": 1,
    "groups": 1,
    "bias": True,
    "padding_mode": "zeros",
    "output_padding": 0,
    "ceil_mode": False,
    "count_include_pad": True,
    "eps": 1e-5,
    "momentum": 0.1,
    "affine": True,
    "elementwise_affine": True,
}


def torch_call(name: str, arguments: Sequence[object], options: dict[str, Any]) -> str:
    """Write a call; options at their defaults are left out."""
    given = [repr(argument) for argument in arguments]
    given += [f"{key}={value!r}" for key, value in options.items() if value != DEFAULTS[key]]
    return f"{name}({', '.join(given)})"


def as_one(numbers: Sequence[int]) -> int | tuple[int, ...]:
    """Return one number for all axes where they are equal, else one per axis."""
    return numbers[0] if len(set(numbers)) == 1 else tuple(numbers)
