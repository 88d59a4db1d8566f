"""NumPy's syntax for the numbers of a plan: slices, shapes, loops, views."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

from symconv.notation.correlation import Axis, Correlation
from symconv.notation.names import TAPS

WIDTH = 96  # of a module's lines, indented
JOINER = "\0"  # stands for a space at which a line is not folded


def shape(sizes: Iterable[int | str]) -> str:
    """Write a tuple: ``(2, 3)``, ``(2,)``."""
    words = [str(size) for size in sizes]
    if not words:
        return "()"
    return f"({words[0]},)" if len(words) == 1 else f"({', '.join(words)})"


def group(c: Correlation) -> tuple[int, ...]:
    """Return the group's axis: none if there is one group."""
    return (c.groups,) if c.groups > 1 else ()


def block_loop(name: str, size: int, step: int) -> str:
    """Write the loop over blocks, or nothing if there is one."""
    if step == size:
        return ""
    return f"for {name} in range({size}):" if step == 1 else f"for {name} in range(0, {size}, {step}):"


def block_slice(name: str, size: int, step: int) -> str:
    """Write the slice of a block: ``n : n + 2``, or ``:`` if there is one."""
    return f"{name} : {name} + {step}" if step < size else ":"


def progression(start: int, step: int, count: int, size: int) -> str:
    """Write the slice of ``start + step·k`` for k < count in an axis of some size."""
    if step == 1:
        return ":" if (start, count) == (0, size) else f"{start}:{start + count}"
    if step == -1 and (start, count) == (size - 1, size):
        return "::-1"
    stop = start + step * (count - 1) + (1 if step > 0 else -1)
    return f"{start}:{stop if stop >= 0 else ''}:{step}"


def ellipsis_slices(slices: Sequence[str], leading: int) -> str:
    """Write a subscript of the last axes: ``[..., 1 : 3]``; nothing if every axis is whole."""
    if all(s == ":" for s in slices):
        return ""
    return f"[{', '.join([':'] * leading + list(slices))}]"


def shifted(variable: str, axis: Axis, start: int, band: int = 0) -> str:
    """Write the slice that one tap reads at every position: ``2 * i : 2 * i + 55 : 2``.

    With a band, only at so many positions from ``top`` on.
    """
    tap = variable if axis.dilation == 1 else f"{axis.dilation} * {variable}"
    if band:
        tap = f"{'' if axis.stride == 1 else f'{axis.stride} * '}top + {tap}"
    first = _sum(tap, start)
    length = axis.stride * ((band or axis.positions) - 1) + 1
    last = _sum(tap, start + length)
    return f"{first} : {last}" + (f" : {axis.stride}" if axis.stride > 1 else "")


def _sum(term: str, constant: int) -> str:
    return term if not constant else f"{term} + {constant}"


def tap_loop(axes: Sequence[Axis], names: Sequence[str]) -> str:
    """Write the loop over the taps of some axes."""
    ranges = [f"range({axis.taps})" for axis in axes]
    over = ranges[0] if len(ranges) == 1 else f"product({', '.join(ranges)})"
    return f"for {', '.join(names)} in {over}:"


def tap_names(c: Correlation) -> tuple[str, ...]:
    """Return the names of the tap indices."""
    return TAPS[len(c.axes)]


def taps_view(c: Correlation, array: str) -> str:
    """Write the taps in the order that the correlation counts them: a rotated filter is ``[::-1]``."""
    slices = [progression(a.tap_start, a.tap_step, a.taps, a.taps) for a in c.axes]
    return array + ellipsis_slices(slices, 2)


def matrix(c: Correlation) -> str:
    """Write the taps as one matrix a group: filters by (channel, tap)."""
    taps = prod(a.taps for a in c.axes)
    view = taps_view(c, c.taps)
    result = (*group(c), c.filters, c.channels * taps)
    if not c.taps_transposed:
        return f"{view}.reshape{shape(result)}"
    if c.channels == 1 or (c.filters == 1 and taps == 1):
        return f"{view}.reshape{shape(result)}"
    stored = (*group(c), c.channels, c.filters, taps)
    if taps == 1:
        return f"{view}.reshape{shape(stored[:-1])}.swapaxes(-1, -2)"
    return f"{view}.reshape{shape(stored)}.swapaxes(-2, -3).reshape{shape(result)}"


def grouped(array: str, images: int, c: Correlation, sizes: Sequence[int], index: str) -> str:
    """Write a block of images of the cells or positions, the group an axis of its own."""
    block = f"{array}[{index}]" if index != ":" else array
    return f"{block}.reshape{shape((images, c.groups, *sizes))}" if c.groups > 1 else block
