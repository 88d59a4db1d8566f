"""Size arithmetic of a window sliding along one axis."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic, TypeVar, cast

from symconv.layers.arguments import Padding, pair
from symconv.notation.contraction import Size

S = TypeVar("S", bound=Size, covariant=True)  # a number, or letters that stand for any


@dataclass(frozen=True)
class Window(Generic[S]):
    """A window of ``kernel`` elements, ``dilation`` apart, moved by ``stride`` along a padded axis.

    Parameters
    ----------
    size
        Number of elements of the axis, without padding.
    kernel, stride, dilation
        The kernel size, the distance between positions, and the distance between filter elements.
    lo, hi
        Number of elements added before and after; a negative number crops.
    outputs
        Number of positions. A convolution has all that fit.
    """

    size: S
    kernel: S
    stride: S
    dilation: S
    lo: S
    hi: S
    outputs: S

    @property
    def reach(self) -> S:
        """Distance from the first element of a window to its last: d(K - 1)."""
        return cast(S, self.dilation * (self.kernel - 1))

    @property
    def remainder(self) -> S:
        """Number of elements of the padded axis after the last window, which the stride leaves over."""
        lo: Size = self.lo
        padded = lo + self.size + self.hi
        return cast(S, padded - self.reach - 1 - self.stride * (self.outputs - 1))

    def taps_within(self: Window[int], start: int, stop: int) -> list[int]:
        """Return, for each position, how many window elements lie from ``start`` to ``stop - 1``."""
        return [
            sum(
                start <= self.stride * p + self.dilation * k - self.lo < stop for k in range(self.kernel)
            )
            for p in range(self.outputs)
        ]

    @property
    def met(self: Window[int]) -> list[int]:
        """How many elements of the axis, without padding, the window at each position has."""
        return self.taps_within(0, self.size)


def fitting(size: int, kernel: int, stride: int, dilation: int, lo: int, hi: int) -> int:
    """Return how many windows fit into a padded axis; less than 1 if none does."""
    return (size + lo + hi - dilation * (kernel - 1) - 1) // stride + 1


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> int:
    """Return the total padding that makes ⌈size/stride⌉ windows fit (ONNX's SAME, TensorFlow's)."""
    outputs = -(-size // stride)
    return max(stride * (outputs - 1) + dilation * (kernel - 1) + 1 - size, 0)


def pooling(
    size: int, kernel: int, stride: int, dilation: int, pads: tuple[int, int], ceil_mode: bool
) -> Window[int]:
    """Return the window of a pool; ``ceil_mode`` adds a position if elements are left over.

    The added window must begin before the padding at the end. This padding then grows so that the
    window fits. PyTorch has the same rule.
    """
    lo, hi = pads
    outputs = fitting(size, kernel, stride, dilation, lo, hi)
    window = Window(size, kernel, stride, dilation, lo, hi, outputs)
    if ceil_mode and window.remainder > 0 and stride * outputs < lo + size:
        short = stride - window.remainder
        window = replace(window, hi=hi + short, outputs=outputs + 1)
    return window


PADDINGS = ("valid", "full", "same", "same_lower")  # words for padding


def padded(
    padding: Padding, axis: int, size: int, kernel: int, stride: int, dilation: int
) -> tuple[int, int]:
    """Return how many elements are added before and after one axis."""
    if isinstance(padding, str):
        total = same_padding(size, kernel, stride, dilation)
        return {
            "valid": (0, 0),
            "full": (dilation * (kernel - 1),) * 2,
            "same": (total // 2, total - total // 2),
            "same_lower": (total - total // 2, total // 2),
        }[padding]
    return pair(padding, axis)


def read_by(window: Window[int], at: int) -> tuple[int, int]:
    """Return the first and the last cell that the window at a position reads."""
    first = window.stride * at - window.lo
    return first, first + window.reach
