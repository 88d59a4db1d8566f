"""What every layer has, and how one is rebuilt from plain data."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from symconv.errors import SymconvError
from symconv.layers.activations import NAMED
from symconv.layers.batch import Shape, is_any_batch, with_samples
from symconv.notation.backpropagation import gradient_of, gradients
from symconv.notation.contraction import Tensor
from symconv.notation.graph import Elementwise, Graph
from symconv.notation.markup import html_table
from symconv.notation.tangent import second_gradients, tangent
from symconv.notation.text import shape_text

if TYPE_CHECKING:
    from symconv.layers.activation import Activation
    from symconv.layers.conv import ConvLayer
    from symconv.layers.filter import Filter
    from symconv.layers.network import Network
    from symconv.layers.normalisation import Normalisation
    from symconv.layers.pool import PoolLayer

SIZES = ("input_shape", "out_channels", "out_features", "kernel_size")


class Layer(ABC):
    """A layer of a convolutional network, frozen and validated at construction.

    Attributes
    ----------
    input_shape
        Batch, channels, then the spatial sizes.
    dtype
        ``"float32"`` or ``"float64"``.
    """

    kinds: ClassVar[dict[str, type[Layer]]] = {}
    symbols: ClassVar[dict[str, str]] = {"x": "X", "weight": "F", "bias": "b"}  # formulas' names
    example: ClassVar[dict[str, object]] = {"input_shape": (1, 4, 16, 16)}  # arguments, for help texts
    words: ClassVar[dict[str, str]] = {"x": "the input", "weight": "the filter", "bias": "the bias"}
    input_shape: Shape
    dtype: str

    def __init_subclass__(cls, *, common: bool = False) -> None:
        """Register a kind of layer, unless it is only what several kinds have in common."""
        if not common:
            Layer.kinds[cls.__name__] = cls

    def __new__(cls, *_: object, **given: object) -> Self:
        """Refuse arguments that this kind of layer does not have."""
        cls.refuse_unknown(given)
        return super().__new__(cls)

    @classmethod
    def refuse_unknown(cls, names: Iterable[str]) -> None:
        """Refuse names that are not arguments, and suggest what was probably meant."""
        known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]  # every kind is a dataclass
        for name in names:
            if name not in known:
                raise _unknown(cls.__name__, name, known)

    @property
    @abstractmethod
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output that ``forward`` returns."""

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the parameters, in ``forward``'s order; most layers have none."""
        return {}

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of ``forward``'s inputs, in order: the input, then the parameters."""
        return {"x": self.input_shape} | self.parameters

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """The tensor in formulas for each of ``forward``'s inputs, in order."""
        return {name: Tensor(self.symbols[name], shape) for name, shape in self.inputs.items()}

    @property
    def differentiable(self) -> tuple[str, ...]:
        """The names of the inputs that have a gradient; labels and running statistics have none."""
        return tuple(self.inputs)

    @property
    def network(self) -> Network | None:
        """The layer as a network of several."""
        return None

    @property
    def convolution(self) -> ConvLayer | None:
        """The layer as a convolution, or a transposed one."""
        return None

    @property
    def recognised(self) -> ConvLayer | None:
        """The convolution that the layer is, written in another way."""
        return None

    @property
    def known_weight(self) -> Filter | None:
        """The layer as a convolution whose coefficients are known."""
        return None

    @property
    def pooling(self) -> PoolLayer | None:
        """The layer as a maximum or a mean over windows."""
        return None

    @property
    def pointwise(self) -> Activation | None:
        """The layer as a function of one number, applied to each element."""
        return None

    @property
    def normalisation(self) -> Normalisation | None:
        """The layer as a normalisation by mean and variance."""
        return None

    @property
    def has_batch(self) -> bool:
        """Whether the first axis of the first input counts samples."""
        return True

    @property
    def has_shares(self) -> bool:
        """Whether exponentials are divided by their sum."""
        return False

    @property
    def pytorch(self) -> str:
        """The call that makes the layer in ``torch.nn``; empty where no module is the same."""
        return ""

    def reads(self, axis: int, at: int, size: int) -> tuple[int, int] | None:
        """Return the first and the last element of a spatial axis that an output's element reads.

        ``axis`` counts the spatial axes, of which the input has ``size`` elements. None: all are read.
        """
        return None

    @property
    def differentiated(self) -> dict[str, Tensor]:
        """The tensors of the inputs that have a gradient."""
        return {name: self.tensors[name] for name in self.differentiable}

    @property
    def updates(self) -> tuple[str, ...]:
        """The names of the results of ``forward`` besides the output; most layers have none."""
        return ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """The inputs that are labels or targets of a loss; other layers have none."""
        return ()

    @property
    def statistic_names(self) -> tuple[str, ...]:
        """The inputs that are running statistics; most layers have none."""
        return ()

    @property
    def masks(self) -> dict[str, float]:
        """The inputs that are drawn at random, 1 or 0, with the share of 1; most layers have none."""
        return {}

    @property
    def initial(self) -> dict[str, float]:
        """First values of inputs that no sum multiplies; those that are not named begin with 0."""
        return {}

    @property
    def inference(self) -> Layer:
        """The layer as it is outside training; most layers are the same."""
        return self

    @property
    def in_place(self) -> Literal["", "inference", "training"]:
        """Whether values may be written over the input's: not, outside training only, or always.

        In training, the derivative must be the same function of the output as of the input.
        """
        return ""

    @property
    def is_view(self) -> bool:
        """Whether the output has the input's elements in the same order."""
        return False

    @property
    def classes(self) -> dict[str, int]:
        """The inputs that are labels, with the number of classes; labels are integers counted from 0."""
        return {}

    @property
    def ignored(self) -> dict[str, int]:
        """The label that is ignored in each input that may have one; most layers have none."""
        return {}

    @property
    def cotangent(self) -> Tensor:
        """The upstream gradient G = ∂E/∂O, as a tensor in formulas."""
        return Tensor("G", self.output_shape)

    def _repr_html_(self) -> str:
        """Show a notebook the shapes of what comes in and goes out."""
        rows = [(n, t.name, shape_text(t.sizes)) for n, t in self.tensors.items()]
        rows.append(("output", "O", shape_text(self.output_shape)))
        return html_table(f"{type(self).__name__} ({self.dtype})", ("name", "symbol", "shape"), rows)

    @property
    @abstractmethod
    def graph(self) -> Graph:
        """The program that defines the output."""

    def gradient(self, name: str) -> Graph:
        """Return the gradient with respect to an input, from the chain rule."""
        return gradients(self.graph, (self.tensors[name],), self.cotangent)

    @property
    def forward(self) -> Graph:
        """The program that is computed: ``graph``, unless another form is more accurate or faster."""
        return self.graph

    @property
    def backward(self) -> Graph:
        """The gradients with respect to all differentiable inputs: the chain rule, or a better form."""
        by = [self.tensors[name] for name in self.differentiable]
        return gradients(self.graph, by, self.cotangent)

    def tangent(self, by: Sequence[str] | None = None) -> Graph:
        """Return the first-order change dO of the output when some inputs change (None: all)."""
        moved = [self.tensors[name] for name in (self.differentiable if by is None else by)]
        return tangent(self.forward.only(self.forward.output.name), moved)

    def second(self, by: Sequence[str] | None = None) -> Graph:
        """Return the change dO, and the gradients of ⟨G, dO⟩ with respect to the inputs that change."""
        moved = [self.tensors[name] for name in (self.differentiable if by is None else by)]
        return second_gradients(self.tangent(by), moved, self.cotangent)

    @property
    def reasons(self) -> dict[str, str]:
        """Why ``forward`` and ``backward`` agree with the definition and the chain rule."""
        return {}

    @property
    def remark(self) -> str:
        """A remark on the layer besides its formula; empty for most layers."""
        return ""

    @property
    def composite(self) -> bool:
        """Whether any step is an element-wise expression."""
        return any(isinstance(step, Elementwise) for step in self.graph.steps)

    def reductions(self) -> Iterator[Layer]:
        """Visit the layers with one size reduced, smallest first; all other arguments stay."""
        for axis, size in enumerate(self.input_shape):
            for less in smaller_sizes(size):
                yield from self._reduced(input_shape=with_size(self.input_shape, axis, less))

    def joint_reductions(self) -> Iterator[Layer]:
        """Visit the layers with all equal sizes reduced together, for failures that need equal sizes."""
        sizes = {name: self.arguments[name] for name in SIZES if name in self.arguments}
        if "weight" not in self.parameters:
            sizes.pop("kernel_size", None)  # no argument's shape tells a function
        numbers = [
            n for value in sizes.values() for n in (value if isinstance(value, tuple) else [value])
        ]
        for size in sorted({n for n in numbers if isinstance(n, int) and numbers.count(n) > 1}):
            for less in smaller_sizes(size):
                yield from self._reduced(
                    **{name: _exchanged(value, size, less) for name, value in sizes.items()}
                )

    def _reduced(self, **arguments: object) -> Iterator[Layer]:
        """Visit the layer with other arguments, if there is such a layer."""
        with contextlib.suppress(SymconvError):
            yield dataclasses.replace(self, **arguments)  # type: ignore[type-var]  # every kind is a dataclass

    def smaller(self) -> Layer:
        """Return the layer with input sizes of at most 2, or the layer itself if they are not valid."""
        shape = tuple(min(size, 2) for size in self.input_shape)
        try:
            return dataclasses.replace(self, input_shape=shape)  # type: ignore[type-var]  # every kind is a dataclass
        except SymconvError:
            return self

    @property
    def any_batch(self) -> bool:
        """Whether the layer takes any number of samples."""
        return any(map(is_any_batch, self.arguments.values()))

    def with_batch(self, batch: int) -> Layer:
        """Return the layer for a number of samples.

        Raises
        ------
        SymconvError
            If another argument contains the number of samples, as that of Reshape does.
        """
        given: dict[str, object] = {"layer": type(self).__name__, **self.arguments}
        if self.any_batch:
            return rebuild(with_samples(given, batch))
        first, *_ = shapes = tuple(self.inputs.values())
        if "input_shapes" in given:
            moved = ((batch, *s[1:]) if s[:1] == first[:1] else s for s in shapes)
            return rebuild({**given, "input_shapes": tuple(moved)})
        if "input_shape" in given:
            return rebuild({**given, "input_shape": (batch, *first[1:])})
        raise SymconvError(f"{type(self).__name__}: does not say which sizes count samples: give None")

    @property
    def fewest(self) -> int:
        """The fewest samples that the layer takes: 1, unless a statistic of them needs two numbers."""
        try:
            self.with_batch(1)
        except SymconvError:
            return 2
        return 1

    @property
    def few(self) -> Layer:
        """The layer for the fewest samples where it takes any number; else the layer itself."""
        return self.with_batch(self.fewest) if self.any_batch else self

    def backward_by(self, name: str) -> Graph:
        """Return the part of ``backward`` that computes the gradient with respect to one input."""
        return self.backward.only(gradient_of(self.tensors[name]).name)

    @property
    def arguments(self) -> dict[str, object]:
        """The arguments that rebuild the layer."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]  # every kind is a dataclass

    def as_dict(self) -> dict[str, object]:
        """Return plain data that :func:`rebuild` takes."""
        found: dict[str, object] = with_samples({"layer": type(self).__name__, **self.arguments}, None)
        return found


def smaller_sizes(size: int) -> Iterator[int]:
    """Visit smaller sizes: those up to 16, then the results of repeated halving."""
    yield from range(1, min(size, 17))
    while size > 34:
        size //= 2
        yield size


def with_size(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    """Return a shape with another size along one axis."""
    return (*shape[:axis], size, *shape[axis + 1 :])


def _exchanged(value: object, old: int, new: int) -> object:
    if isinstance(value, tuple):
        return tuple(_exchanged(item, old, new) for item in value)
    return new if value == old else value


def kind_hint(name: str) -> str:
    """Suggest the kind of layer that an unknown name probably means."""
    if name.lower() in NAMED:
        return f'; an activation is {{"layer": "Activation", "function": "{name.lower()}"}}'
    plain = name[:-2] if name.endswith(("1d", "2d", "3d")) else name
    by_lower = {kind.lower(): kind for kind in Layer.kinds}
    near = difflib.get_close_matches(plain.lower().replace("_", "").replace("-", ""), by_lower, 1)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""


def _unknown(kind: str, name: str, known: Sequence[str]) -> SymconvError:
    near = difflib.get_close_matches(name, known, 1)
    meant = f"did you mean {near[0]!r}? Its" if near else "its"
    return SymconvError(f"{name}: not an argument of {kind}; {meant} arguments are {', '.join(known)}")


def rebuild(data: Mapping[str, object]) -> Layer:
    """Return the layer that plain data describes by its kind, ``layer``, and its arguments.

    Raises
    ------
    SymconvError
        If the kind, an argument's name or an argument's value is not valid.
    """
    arguments = dict(data)
    kind = arguments.pop("layer", None)
    if not isinstance(kind, str) or kind not in Layer.kinds:
        raise SymconvError(
            f"layer = {kind!r}: must be one of {', '.join(Layer.kinds)}{kind_hint(str(kind))}"
        )
    cls = Layer.kinds[kind]
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]  # every kind is a dataclass
    cls.refuse_unknown(map(str, arguments))
    for field in fields:
        if field.default is dataclasses.MISSING and field.name not in arguments:
            raise SymconvError(f"{field.name}: missing, but {kind} requires it")
    return cls(**arguments)
