"""Size arithmetic of a window sliding along one axis."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """A window of ``kernel`` taps, ``dilation`` cells apart, moved by ``stride`` along a padded axis.

    Parameters
    ----------
    size
        Cells of the axis, without padding.
    kernel, stride, dilation
        Taps, cells from one position to the next, cells from one tap to the next.
    lo, hi
        Cells added before and after; a negative number crops.
    outputs
        Positions. A convolution has all that fit.
    """

    size: int
    kernel: int
    stride: int
    dilation: int
    lo: int
    hi: int
    outputs: int

    @property
    def reach(self) -> int:
        """Cells from a window's first tap to its last: d(K - 1)."""
        return self.dilation * (self.kernel - 1)

    @property
    def remainder(self) -> int:
        """Cells of the padded axis after the last window: what the stride leaves over."""
        padded = self.size + self.lo + self.hi
        return padded - self.reach - 1 - self.stride * (self.outputs - 1)


def fitting(size: int, kernel: int, stride: int, dilation: int, lo: int, hi: int) -> int:
    """Return how many windows fit into a padded axis; less than 1 if none does."""
    return (size + lo + hi - dilation * (kernel - 1) - 1) // stride + 1


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> int:
    """Return the total padding that makes ⌈size/stride⌉ windows fit (ONNX's SAME, TensorFlow's)."""
    outputs = -(-size // stride)
    return max(stride * (outputs - 1) + dilation * (kernel - 1) + 1 - size, 0)
