"""A model of any number of samples: what its readings for two numbers have in common."""

from __future__ import annotations

from typing import Any

from symconv.building import NotSupportedError
from symconv.layers.layer import rebuild
from symconv.layers.network import Network

ANY = "any"
FEW = (2, 3)  # numbers of samples, of which a file is read


def of_any_batch(two: Network, three: Network) -> Network:
    """Return the network for any number of samples, from those for two and for three.

    Raises
    ------
    NotSupportedError
        If they differ in more than the first size of shapes, or a layer needs a number.
    """
    found: Any = rebuild(_common(two.as_dict(), three.as_dict(), "network"))
    return found  # type: ignore[no-any-return]  # a network's arguments make a network


def _common(one: Any, other: Any, where: str) -> Any:
    if isinstance(one, dict) and one.keys() == other.keys():
        return {key: _common(one[key], other[key], _place(one, key, where)) for key in one}
    if isinstance(one, tuple | list) and len(one) == len(other):
        if (*one[:1], *other[:1]) == FEW and one[1:] == other[1:]:
            return (None, *one[1:])
        return tuple(_common(a, b, where) for a, b in zip(one, other, strict=True))
    if one != other:
        raise NotSupportedError(f"batch = {ANY!r}: {where} depends on the number of samples")
    return one


def _place(entry: dict[str, Any], key: str, where: str) -> str:
    return f"{key} of {entry['name']}" if "name" in entry else where
