"""Pooling: the maximum or the average of each window, channel by channel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar

from symconv.layers import arguments
from symconv.layers.arguments import Padding, PerAxis, refuse
from symconv.layers.batch import Shape
from symconv.layers.layer import Layer
from symconv.layers.torch_call import as_one, torch_call
from symconv.layers.window import PADDINGS, Window, padded, pooling, read_by
from symconv.notation.contraction import Access, Contraction, Program, Tensor, index
from symconv.notation.graph import Constant, Graph
from symconv.notation.names import POSITIONS, TAPS

IMAGES = "batch, channels, then 1, 2 or 3 spatial sizes, all positive ints"


@dataclass(frozen=True)
class PoolLayer(Layer, common=True):
    """What all poolings have: an image and its windows."""

    input_shape: Shape

    @cached_property
    def windows(self) -> tuple[Window[int], ...]:
        """The sizes along each spatial axis: by default, one window that covers the axis."""
        return tuple(Window(size, size, 1, 1, 0, 0, 1) for size in self.input_shape[2:])

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        return (*self.input_shape[:2], *(w.outputs for w in self.windows))

    @property
    def pooling(self) -> PoolLayer:
        """The layer."""
        return self

    @property
    def takes_maxima(self) -> bool:
        """Whether windows give their maximum, and not their mean."""
        windows = self.graph.steps[-1]
        return isinstance(windows, Program) and windows.contractions[0].reduce == "max"

    @property
    def covers_axes(self) -> bool:
        """Whether one window covers each axis whatever its size."""
        return True

    @property
    def mistaken(self) -> dict[str, Layer]:
        """Layers that this one is taken for, by what is known of the mistake."""
        return {}

    @property
    def pytorch(self) -> str:
        """The call that makes the layer in ``torch.nn``."""
        kind = "Max" if self.takes_maxima else "Avg"
        return f"Adaptive{kind}PoolLayer{len(self.windows)}d(1)"

    def _over_windows(self, *factors: Access, maximum: bool = False) -> Program:
        """Return the sum, or the maximum, of each window's cells times other factors."""
        rank = len(self.windows)
        places = [index(name) for name in ("n", "c", *POSITIONS[rank])]
        cells = [
            index(p) * w.stride + index(k) * w.dilation - w.lo
            for p, k, w in zip(POSITIONS[rank], TAPS[rank], self.windows, strict=True)
        ]
        sizes = zip(("n", "c", *POSITIONS[rank]), self.output_shape, strict=True)
        kernel = zip(TAPS[rank], (w.kernel for w in self.windows), strict=True)
        contraction = Contraction(
            target=Access(Tensor("O", self.output_shape), tuple(places)),
            factors=(Access(self.tensors["x"], (*places[:2], *cells)), *factors),
            extents=(*sizes, *kernel),
            reduce="max" if maximum else "sum",
        )
        return Program((contraction,))

    def _averages(self, counts: list[list[int]]) -> Graph:
        """Return each window's sum over its divisor: along each axis R, 1/D of these numbers D."""
        rank = len(self.windows)
        divided = [
            Constant(Tensor(f"R{axis}", (len(numbers),)), tuple(Fraction(1, n) for n in numbers))
            for axis, numbers in zip(POSITIONS[rank], counts, strict=True)
        ]
        reads = (constant.target[index(p)] for constant, p in zip(divided, POSITIONS[rank], strict=True))
        return Graph((*divided, self._over_windows(*reads)))


@dataclass(frozen=True)
class _SlidingPool(PoolLayer, common=True):
    """What poolings with a window of their own have: its arguments, PyTorch's, and their sizes."""

    example: ClassVar[dict[str, object]] = {"input_shape": (1, 4, 16, 16), "kernel_size": 3}

    kernel_size: PerAxis
    stride: PerAxis | None = None
    padding: Padding = 0
    dilation: PerAxis = 1
    ceil_mode: bool = False

    def _validate(self) -> None:
        sizes = arguments.shape("input_shape", self.input_shape, (3, 4, 5), IMAGES)
        rank = len(sizes) - 2
        stride = self.stride
        normal: dict[str, object] = {
            "input_shape": sizes,
            "kernel_size": arguments.per_axis("kernel_size", self.kernel_size, rank),
            "stride": arguments.per_axis("stride", self.kernel_size if stride is None else stride, rank),
            "padding": arguments.padding(self.padding, rank, PADDINGS),
            "dilation": arguments.per_axis("dilation", self.dilation, rank),
            "ceil_mode": arguments.flag("ceil_mode", self.ceil_mode),
        }
        for name, value in normal.items():
            object.__setattr__(self, name, value)
        for window, axis in zip(self.windows, POSITIONS[rank], strict=True):
            if min(self._pads[POSITIONS[rank].index(axis)]) < 0:
                raise refuse("padding", self.padding, "non-negative: a pool does not crop")
            if window.outputs < 1:
                raise refuse(
                    "kernel_size",
                    self.kernel_size,
                    f"small enough to fit: along axis {axis} it spans {window.reach + 1} elements, "
                    f"but the padded input has {window.size + window.lo + window.hi}",
                )
            if not all(window.met):
                raise refuse(
                    "padding",
                    self.padding,
                    f"so small that every window along axis {axis} overlaps the input: "
                    f"window {window.met.index(0)} does not",
                )
        arguments.bounded("output_shape", self.output_shape)

    @property
    def _pads(self) -> list[tuple[int, int]]:
        """The cells added before and after each axis, without those that ceil_mode adds."""
        rank = len(self.input_shape) - 2
        sizes = zip(
            self.input_shape[2:],
            arguments.spread(self.kernel_size, rank),
            arguments.spread(self._stride, rank),
            arguments.spread(self.dilation, rank),
            strict=True,
        )
        return [padded(self.padding, number, *axis) for number, axis in enumerate(sizes)]

    @property
    def _stride(self) -> PerAxis:
        return self.kernel_size if self.stride is None else self.stride

    @cached_property
    def windows(self) -> tuple[Window[int], ...]:
        """The sizes along each spatial axis; ``hi`` includes the elements that ceil_mode adds."""
        rank = len(self.input_shape) - 2
        sizes = zip(
            self.input_shape[2:],
            arguments.spread(self.kernel_size, rank),
            arguments.spread(self._stride, rank),
            arguments.spread(self.dilation, rank),
            self._pads,
            strict=True,
        )
        return tuple(pooling(*axis, self.ceil_mode) for axis in sizes)

    @property
    def covers_axes(self) -> bool:
        """Whether one window covers each axis whatever its size: a window slides."""
        return False

    def reads(self, axis: int, at: int, size: int) -> tuple[int, int] | None:
        """Return the window."""
        return read_by(self.windows[axis], at)

    def _torch_call(self, more: dict[str, Any]) -> str:
        """Write the call of PyTorch's module; it pads both sides alike."""
        if not isinstance(self.padding, int) or any(w.lo < 0 for w in self.windows):
            return ""
        kernel, stride = (as_one([getattr(w, of) for w in self.windows]) for of in ("kernel", "stride"))
        padding = as_one([w.lo for w in self.windows])
        options = {"padding": padding, "ceil_mode": self.ceil_mode, **more}
        name = f"{type(self).__name__}{len(self.windows)}d"
        return torch_call(name, [kernel] if stride == kernel else [kernel, stride], options)


@dataclass(frozen=True)
class MaxPool(_SlidingPool):
    """The maximum of each window.

    ``O[n, c, p] = max_k X[n, c, s·p + d·k - lo]`` along each spatial axis. Arguments and sizes are
    those of PyTorch. Padding is never the maximum. The upstream gradient goes to the first maximum in
    row-major order.

    Parameters
    ----------
    input_shape
        Batch, channels, then 1, 2 or 3 spatial sizes.
    kernel_size, dilation
        An int, or one per spatial axis.
    stride
        An int, or one per spatial axis; if not given, ``kernel_size``.
    padding
        An int, one per axis, pairs ``(lo, hi)`` per axis, or a word such as ``"same"``, as for
        :class:`Conv`.
    ceil_mode
        Whether the last window may reach beyond the padding at the end, if it begins before this
        padding.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid, no window fits, or a window does not overlap the input.
    """

    dtype: str = "float32"

    def __post_init__(self) -> None:
        self._validate()
        object.__setattr__(self, "dtype", arguments.dtype(self.dtype))

    @property
    def pytorch(self) -> str:
        """The call that makes the layer in ``torch.nn``."""
        return self._torch_call({"dilation": as_one([w.dilation for w in self.windows])})

    @cached_property
    def graph(self) -> Graph:
        """The maximum over each window."""
        return Graph((self._over_windows(maximum=True),))


@dataclass(frozen=True)
class AvgPool(_SlidingPool):
    """The average of each window.

    ``O[n, c, p] = Σ_k X[n, c, s·p + d·k - lo] · R[p]`` along each spatial axis, where 1/R[p] is the
    number of elements that count. Arguments and sizes are those of PyTorch.

    Parameters
    ----------
    input_shape
        Batch, channels, then 1, 2 or 3 spatial sizes.
    kernel_size, dilation
        An int, or one per spatial axis.
    stride
        An int, or one per spatial axis; if not given, ``kernel_size``.
    padding
        An int, one per axis, pairs ``(lo, hi)`` per axis, or a word such as ``"same"``, as for
        :class:`Conv`.
    ceil_mode
        Whether the last window may reach beyond the padding at the end, if it begins before this
        padding. Elements beyond the padding never count.
    count_include_pad
        Whether elements of the padding count.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid, no window fits, or a window does not overlap the input.
    """

    count_include_pad: bool = True
    dtype: str = "float32"

    def __post_init__(self) -> None:
        self._validate()
        counted = arguments.flag("count_include_pad", self.count_include_pad)
        object.__setattr__(self, "count_include_pad", counted)
        object.__setattr__(self, "dtype", arguments.dtype(self.dtype))

    @property
    def mistaken(self) -> dict[str, Layer]:
        """The average in which padding counts if it does not in this one, and the other way round."""
        return {"count_include_pad": replace(self, count_include_pad=not self.count_include_pad)}

    @property
    def pytorch(self) -> str:
        """The call that makes the layer in ``torch.nn``; there, averages are not dilated."""
        dilated = any(w.dilation != 1 for w in self.windows)
        return "" if dilated else self._torch_call({"count_include_pad": self.count_include_pad})

    @cached_property
    def graph(self) -> Graph:
        """The divisors along each axis, and the sum over each window."""
        counts = []
        for w, (lo, hi) in zip(self.windows, self._pads, strict=True):
            padded = (-lo, w.size + hi) if self.count_include_pad else (0, w.size)
            counts.append(w.taps_within(*padded))
        return self._averages(counts)


@dataclass(frozen=True)
class GlobalMaxPool(PoolLayer):
    """The maximum of each channel over all spatial axes.

    Parameters
    ----------
    input_shape
        Batch, channels, then 1, 2 or 3 spatial sizes.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid.
    """

    dtype: str = "float32"

    def __post_init__(self) -> None:
        sizes = arguments.shape("input_shape", self.input_shape, (3, 4, 5), IMAGES)
        object.__setattr__(self, "input_shape", sizes)
        object.__setattr__(self, "dtype", arguments.dtype(self.dtype))

    @cached_property
    def graph(self) -> Graph:
        """The maximum over all spatial axes."""
        return Graph((self._over_windows(maximum=True),))


@dataclass(frozen=True)
class GlobalAvgPool(PoolLayer):
    """The average of each channel over all spatial axes.

    Parameters
    ----------
    input_shape
        Batch, channels, then 1, 2 or 3 spatial sizes.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid.
    """

    dtype: str = "float32"

    def __post_init__(self) -> None:
        sizes = arguments.shape("input_shape", self.input_shape, (3, 4, 5), IMAGES)
        object.__setattr__(self, "input_shape", sizes)
        object.__setattr__(self, "dtype", arguments.dtype(self.dtype))

    @cached_property
    def graph(self) -> Graph:
        """The divisors, which are the spatial sizes, and the sum over all spatial axes."""
        return self._averages([[w.size] for w in self.windows])
