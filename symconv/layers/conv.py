"""Convolution and transposed convolution over one, two or three spatial axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, TypeAlias

from symconv.layers import arguments
from symconv.layers.arguments import Padding, PerAxis, refuse
from symconv.layers.batch import Shape
from symconv.layers.layer import Layer, smaller_sizes, with_size
from symconv.layers.padding import MODES, most, padding_steps
from symconv.layers.roles import Roles, correlation, with_bias
from symconv.layers.torch_call import as_one, torch_call
from symconv.layers.window import PADDINGS, Window, fitting, padded, read_by
from symconv.notation.contraction import Program, Tensor
from symconv.notation.graph import Graph

_INPUT = "batch, channels, then 1, 2 or 3 spatial sizes, all positive ints"


class _Sizes(Layer, common=True):
    """What sizes both kinds have besides the input's."""

    example: ClassVar[dict[str, object]] = {
        "input_shape": (1, 4, 16, 16),
        "out_channels": 4,
        "kernel_size": 3,
    }

    out_channels: int
    kernel_size: PerAxis

    def reductions(self) -> Iterator[Layer]:
        """Visit the layers with one size reduced: of the input, the output channels or the kernel."""
        yield from super().reductions()
        for channels in smaller_sizes(self.out_channels):
            yield from self._reduced(out_channels=channels)
        kernel = arguments.spread(self.kernel_size, len(self.input_shape) - 2)
        for axis, size in enumerate(kernel):
            for less in smaller_sizes(size):
                yield from self._reduced(kernel_size=with_size(kernel, axis, less))

    def joint_reductions(self) -> Iterator[Layer]:
        """Visit the layers with equal sizes reduced together, then those with smaller square kernels."""
        yield from super().joint_reductions()
        kernel = arguments.spread(self.kernel_size, len(self.input_shape) - 2)
        if len(set(kernel)) == 1:
            for less in smaller_sizes(kernel[0]):
                yield from self._reduced(kernel_size=less)


@dataclass(frozen=True)
class Conv(_Sizes):
    """A convolution as deep-learning frameworks define it: a correlation, unless ``flip`` is set.

    ``O[n, o, p] = b[o] + Σ_{c,k} X[n, c, s·p + d·k - lo] · F[o, c, k]`` along each spatial axis.
    Arguments, weight layout ``(out, in/groups, *kernel)`` and sizes are those of PyTorch.

    Parameters
    ----------
    input_shape
        Batch, channels, then 1, 2 or 3 spatial sizes.
    out_channels
        Number of output channels, a multiple of ``groups``.
    kernel_size, stride, dilation
        An int, or one per spatial axis.
    padding
        An int, one per axis, pairs ``(lo, hi)`` per axis (negative ints crop), ``"valid"``, ``"full"``
        (d(K - 1) on both sides), ``"same"`` (⌈H/s⌉ outputs, the extra element at the end: ONNX
        SAME_UPPER) or ``"same_lower"`` (the extra element at the start).
    groups
        Number of channel groups; each group is convolved independently of the others.
    bias
        Whether a bias of shape ``(out,)`` is added.
    padding_mode
        ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.
    flip
        ``True`` rotates the filter by 180°, as the mathematical convolution does.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid, or no window fits into the padded input.
    """

    input_shape: Shape
    out_channels: int
    kernel_size: PerAxis
    stride: PerAxis = 1
    padding: Padding = 0
    dilation: PerAxis = 1
    groups: int = 1
    bias: bool = True
    padding_mode: str = "zeros"
    flip: bool = False
    dtype: str = "float32"

    def __post_init__(self) -> None:
        _validate(self, PADDINGS, MODES)
        axes = "zyx"[-len(self.windows) :]
        for window, axis in zip(self.windows, axes, strict=True):
            if self.padding_mode != "zeros":
                largest = most(self.padding_mode, window.size)
                if not (0 <= window.lo <= largest and 0 <= window.hi <= largest):
                    raise refuse(
                        "padding",
                        self.padding,
                        f"from 0 to {largest} on axis {axis} for padding_mode={self.padding_mode!r}",
                    )
            if window.outputs < 1:
                raise refuse(
                    "kernel_size",
                    self.kernel_size,
                    f"small enough to fit: along axis {axis} it spans {window.reach + 1} elements, "
                    f"but the padded input has {window.size + window.lo + window.hi}",
                )
        arguments.bounded("output_shape", self.output_shape)
        arguments.bounded("weight", self.parameters["weight"])
        arguments.bounded("padded input", self._padded_shape)

    @cached_property
    def windows(self) -> tuple[Window[int], ...]:
        """The sizes along each spatial axis."""
        rank = len(self.input_shape) - 2
        sizes = zip(
            self.input_shape[2:],
            arguments.spread(self.kernel_size, rank),
            arguments.spread(self.stride, rank),
            arguments.spread(self.dilation, rank),
            strict=True,
        )
        return tuple(
            Window(*axis, lo, hi, fitting(*axis, lo, hi))
            for number, axis in enumerate(sizes)
            for lo, hi in [padded(self.padding, number, *axis)]
        )

    @property
    def _padded_shape(self) -> tuple[int, ...]:
        return self.input_shape[:2] + tuple(w.size + w.lo + w.hi for w in self.windows)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        return (self.input_shape[0], self.out_channels, *(w.outputs for w in self.windows))

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Shapes of ``weight`` and, with a bias, of ``bias``."""
        kernel = tuple(w.kernel for w in self.windows)
        weight = (self.out_channels, self.input_shape[1] // self.groups, *kernel)
        return {"weight": weight} | ({"bias": (self.out_channels,)} if self.bias else {})

    @cached_property
    def graph(self) -> Graph:
        """The padding, unless it is zeros, and the correlation with its bias."""
        pads = [(w.lo, w.hi) for w in self.windows]
        steps = padding_steps(self.tensors["x"], self.padding_mode, pads)
        return Graph((*steps, _sum(self)))

    @cached_property
    def roles(self) -> Roles[int]:
        """The tensors by role; with a padding mode other than zeros, ``cells`` is the padded X."""
        pads = [(w.lo, w.hi) for w in self.windows]
        steps = padding_steps(self.tensors["x"], self.padding_mode, pads)
        windows = self.windows
        if steps:
            windows = tuple(replace(w, size=w.size + w.lo + w.hi, lo=0, hi=0) for w in windows)
        return Roles(
            steps[-1].target if steps else self.tensors["x"],
            self.tensors["weight"],
            Tensor("O", self.output_shape),
            windows,
            self.groups,
            self.out_channels // self.groups,
            self.input_shape[1] // self.groups,
            self.flip,
        )

    @property
    def convolution(self) -> ConvLayer:
        """The layer."""
        return self

    @property
    def plain(self) -> Conv | None:
        """The layer: it is not transposed."""
        return self

    @property
    def transposed(self) -> ConvTranspose | None:
        """None: the layer is not transposed."""
        return None

    @property
    def pytorch(self) -> str:
        """The call that makes the layer in ``torch.nn``."""
        return "" if self.flip else _torch_call(self, self.windows, {})

    def reads(self, axis: int, at: int, size: int) -> tuple[int, int] | None:
        """Return the window; copies stand for elements near the border."""
        first, last = read_by(self.windows[axis], at)
        if self.padding_mode != "zeros" and (first < 0 or last >= size):
            return 0, size - 1
        return first, last


@dataclass(frozen=True)
class ConvTranspose(_Sizes):
    """A transposed convolution: the input gradient ∂E/∂X of the :class:`Conv` with the same arguments.

    ``O[n, o, s·p + d·k - lo] += X[n, c, p] · F[c, o, k]`` along each spatial axis, plus the bias.
    Arguments, weight layout ``(in, out/groups, *kernel)`` and sizes are those of PyTorch.

    Parameters
    ----------
    input_shape
        Batch, channels, then 1, 2 or 3 spatial sizes.
    out_channels
        Number of output channels, a multiple of ``groups``.
    kernel_size, stride, dilation
        An int, or one per spatial axis.
    padding
        An int, one per axis, or pairs ``(lo, hi)`` per axis: elements cropped from the output, or
        added to it if negative.
    output_padding
        An int, or one per axis: elements added at the end of the output. Must be less than the larger
        of stride and dilation.
    groups
        Number of channel groups; each group is convolved independently of the others.
    bias
        Whether a bias of shape ``(out,)`` is added.
    padding_mode
        Only ``"zeros"``.
    flip
        ``True`` rotates the filter by 180°.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid, or the output would be empty.
    """

    input_shape: Shape
    out_channels: int
    kernel_size: PerAxis
    stride: PerAxis = 1
    padding: Padding = 0
    output_padding: PerAxis = 0
    dilation: PerAxis = 1
    groups: int = 1
    bias: bool = True
    padding_mode: str = "zeros"
    flip: bool = False
    dtype: str = "float32"

    def __post_init__(self) -> None:
        _validate(self, (), ("zeros",))
        rank = len(self.input_shape) - 2
        added = arguments.per_axis("output_padding", self.output_padding, rank, at_least=0)
        object.__setattr__(self, "output_padding", added)
        extra = arguments.spread(self.output_padding, rank)
        for window, cells in zip(self.windows, extra, strict=True):
            if cells >= max(window.stride, window.dilation):
                raise refuse(
                    "output_padding",
                    self.output_padding,
                    "less than the larger of stride and dilation "
                    f"({max(window.stride, window.dilation)} here)",
                )
            if window.size < 1:
                raise refuse(
                    "padding",
                    self.padding,
                    f"small enough to leave an output (its size would be {window.size})",
                )
        arguments.bounded("output_shape", self.output_shape)
        arguments.bounded("weight", self.parameters["weight"])

    @cached_property
    def windows(self) -> tuple[Window[int], ...]:
        """The sizes along each spatial axis of the convolution whose input gradient this is."""
        rank = len(self.input_shape) - 2
        sizes = zip(
            self.input_shape[2:],
            arguments.spread(self.kernel_size, rank),
            arguments.spread(self.stride, rank),
            arguments.spread(self.dilation, rank),
            arguments.spread(self.output_padding, rank),
            strict=True,
        )
        windows = []
        for number, (positions, kernel, stride, dilation, added) in enumerate(sizes):
            lo, hi = padded(self.padding, number, positions, kernel, stride, dilation)
            size = stride * (positions - 1) + dilation * (kernel - 1) + 1 + added - lo - hi
            windows.append(Window(size, kernel, stride, dilation, lo, hi, positions))
        return tuple(windows)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        return (self.input_shape[0], self.out_channels, *(w.size for w in self.windows))

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Shapes of ``weight`` and, with a bias, of ``bias``."""
        kernel = tuple(w.kernel for w in self.windows)
        weight = (self.input_shape[1], self.out_channels // self.groups, *kernel)
        return {"weight": weight} | ({"bias": (self.out_channels,)} if self.bias else {})

    @cached_property
    def graph(self) -> Graph:
        """The sum that scatters the input into the output, and the bias."""
        return Graph((_sum(self),))

    @cached_property
    def roles(self) -> Roles[int]:
        """The tensors by role; the output is ``cells``."""
        output = Tensor("O", self.output_shape)
        return Roles(
            output,
            self.tensors["weight"],
            self.tensors["x"],
            self.windows,
            self.groups,
            self.input_shape[1] // self.groups,
            self.out_channels // self.groups,
            self.flip,
            transposed=True,
        )

    @property
    def convolution(self) -> ConvLayer:
        """The layer."""
        return self

    @property
    def plain(self) -> Conv | None:
        """None: the layer is transposed."""
        return None

    @property
    def transposed(self) -> ConvTranspose | None:
        """The layer: it is transposed."""
        return self

    @property
    def pytorch(self) -> str:
        """The call that makes the layer in ``torch.nn``."""
        more = {"output_padding": self.output_padding}
        return "" if self.flip else _torch_call(self, self.windows, more)

    def reads(self, axis: int, at: int, size: int) -> tuple[int, int] | None:
        """Return the elements whose windows meet one of the output's."""
        w = self.windows[axis]
        return -(-(at + w.lo - w.reach) // w.stride), (at + w.lo) // w.stride


ConvLayer: TypeAlias = Conv | ConvTranspose


def _torch_call(layer: ConvLayer, windows: Sequence[Window[int]], more: dict[str, Any]) -> str:
    """Write the call of PyTorch's module; it pads both sides alike."""
    if any(w.lo != w.hi or w.lo < 0 for w in windows):
        return ""
    options = {
        "stride": as_one([w.stride for w in windows]),
        "padding": as_one([w.lo for w in windows]),
        "dilation": as_one([w.dilation for w in windows]),
        "groups": layer.groups,
        "bias": layer.bias,
        "padding_mode": layer.padding_mode,
        **more,
    }
    kernel = as_one([w.kernel for w in windows])
    channels = [layer.input_shape[1], layer.out_channels]
    name = f"{type(layer).__name__}{len(windows)}d"
    return torch_call(name, [*channels, kernel], options)


def along_axes(layer: ConvLayer) -> tuple[ConvLayer, ...]:
    """Return a one-dimensional layer with one channel for each axis, with the sizes of this axis."""
    found: list[ConvLayer] = []
    for axis, w in enumerate(layer.windows):
        pads = ((w.lo, w.hi),)
        if isinstance(layer, ConvTranspose):
            added = layer.output_padding
            extra = added if isinstance(added, int) else added[axis]
            found.append(
                ConvTranspose(
                    (1, 1, w.outputs),
                    1,
                    w.kernel,
                    w.stride,
                    pads,
                    extra,
                    w.dilation,
                    bias=False,
                    flip=layer.flip,
                )
            )
        else:
            found.append(
                Conv(
                    (1, 1, w.size),
                    1,
                    w.kernel,
                    w.stride,
                    pads,
                    w.dilation,
                    bias=False,
                    flip=layer.flip,
                    padding_mode=layer.padding_mode,
                )
            )
    return tuple(found)


def _validate(layer: ConvLayer, words: tuple[str, ...], modes: tuple[str, ...]) -> None:
    """Check and normalise the arguments that both kinds have."""
    sizes = arguments.shape("input_shape", layer.input_shape, (3, 4, 5), _INPUT)
    rank = len(sizes) - 2
    groups = arguments.integer("groups", layer.groups, 1, "a positive int")
    channels = arguments.integer("out_channels", layer.out_channels, 1, "a positive int")
    if sizes[1] % groups or channels % groups:
        raise refuse("groups", groups, f"a divisor of {sizes[1]} input and {channels} output channels")
    normal: dict[str, object] = {
        "input_shape": sizes,
        "groups": groups,
        "out_channels": channels,
        "kernel_size": arguments.per_axis("kernel_size", layer.kernel_size, rank),
        "stride": arguments.per_axis("stride", layer.stride, rank),
        "padding": arguments.padding(layer.padding, rank, words),
        "dilation": arguments.per_axis("dilation", layer.dilation, rank),
        "bias": arguments.flag("bias", layer.bias),
        "padding_mode": arguments.choice("padding_mode", layer.padding_mode, modes),
        "flip": arguments.flag("flip", layer.flip),
        "dtype": arguments.dtype(layer.dtype),
    }
    for name, value in normal.items():
        object.__setattr__(layer, name, value)


def _sum(layer: ConvLayer) -> Program:
    """Return the layer's sum, with its bias if it has one."""
    contraction = correlation(layer.roles)
    if layer.bias:
        return with_bias(contraction, layer.tensors["bias"])
    return Program((contraction,))
