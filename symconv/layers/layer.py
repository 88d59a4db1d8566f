"""What every layer has, and how one is rebuilt from plain data."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import ClassVar, Self

from symconv.errors import SymconvError
from symconv.layers.activations import NAMED
from symconv.notation.backpropagation import gradient_of, gradients
from symconv.notation.contraction import Tensor
from symconv.notation.graph import Elementwise, Graph
from symconv.notation.markup import html_table
from symconv.notation.tangent import second_gradients, tangent
from symconv.notation.text import shape_text

SIZES = ("input_shape", "out_channels", "out_features", "kernel_size")


class Layer(ABC):
    """A layer of a convolutional network: frozen, validated at construction.

    Attributes
    ----------
    input_shape
        Batch, channels, then the spatial sizes.
    dtype
        ``"float32"`` or ``"float64"``.
    """

    kinds: ClassVar[dict[str, type[Layer]]] = {}
    symbols: ClassVar[dict[str, str]] = {"x": "X", "weight": "F", "bias": "b"}  # formulas' names
    words: ClassVar[dict[str, str]] = {"x": "the input", "weight": "the filter", "bias": "the bias"}
    input_shape: tuple[int, ...]
    dtype: str

    def __init_subclass__(cls) -> None:
        if not cls.__name__.startswith("_"):  # what kinds have in common
            Layer.kinds[cls.__name__] = cls

    def __new__(cls, *_: object, **given: object) -> Self:
        """Refuse arguments that a kind has not."""
        cls.refuse_unknown(given)
        return super().__new__(cls)

    @classmethod
    def refuse_unknown(cls, names: Iterable[str]) -> None:
        """Refuse names that are no arguments, with what was probably meant."""
        known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]  # every kind is a dataclass
        for name in names:
            if name not in known:
                raise _unknown(cls.__name__, name, known)

    @property
    @abstractmethod
    def output_shape(self) -> tuple[int, ...]:
        """Shape of what ``forward`` returns."""

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the parameters, in ``forward``'s order; most layers have none."""
        return {}

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of ``forward``'s inputs, in order: what comes in, then the parameters."""
        return {"x": self.input_shape} | self.parameters

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """The formulas' tensor for each of ``forward``'s inputs, in order."""
        return {name: Tensor(self.symbols[name], shape) for name, shape in self.inputs.items()}

    @property
    def differentiable(self) -> tuple[str, ...]:
        """The names of the inputs that have a gradient; labels and running statistics have none."""
        return tuple(self.inputs)

    @property
    def updates(self) -> tuple[str, ...]:
        """The names of what ``forward`` returns besides the output; most layers return nothing else."""
        return ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """The inputs that a loss compares with; other layers have none."""
        return ()

    @property
    def statistic_names(self) -> tuple[str, ...]:
        """The inputs that are running statistics; most layers have none."""
        return ()

    @property
    def classes(self) -> dict[str, int]:
        """The inputs that are integers, from 0 on, and how many of these there are."""
        return {}

    @property
    def ignored(self) -> dict[str, int]:
        """The labels that count for nothing, by the inputs that may have them; most layers have none."""
        return {}

    @property
    def cotangent(self) -> Tensor:
        """The formulas' tensor G = ∂E/∂O."""
        return Tensor("G", self.output_shape)

    def _repr_html_(self) -> str:
        """Show a notebook the shapes of what comes in and goes out."""
        rows = [(n, t.name, shape_text(t.sizes)) for n, t in self.tensors.items()]
        rows.append(("output", "O", shape_text(self.output_shape)))
        return html_table(f"{type(self).__name__} ({self.dtype})", ("name", "symbol", "shape"), rows)

    @property
    @abstractmethod
    def graph(self) -> Graph:
        """The layer in the language: what defines the output."""

    def gradient(self, name: str) -> Graph:
        """Return the gradient by an input, by the chain rule."""
        return gradients(self.graph, (self.tensors[name],), self.cotangent)

    @property
    def forward(self) -> Graph:
        """What is computed: the same, unless another form is more accurate."""
        return self.graph

    @property
    def backward(self) -> Graph:
        """The gradients by all inputs that have one: the chain rule, unless another form is better."""
        by = [self.tensors[name] for name in self.differentiable]
        return gradients(self.graph, by, self.cotangent)

    def tangent(self, by: Sequence[str] | None = None) -> Graph:
        """Return the change dO of the output to first order, when some inputs change, or all."""
        moved = [self.tensors[name] for name in (self.differentiable if by is None else by)]
        return tangent(self.forward.only(self.forward.output.name), moved)

    def second(self, by: Sequence[str] | None = None) -> Graph:
        """Return the change dO, and the gradients of ⟨G, dO⟩ by the inputs that change."""
        moved = [self.tensors[name] for name in (self.differentiable if by is None else by)]
        return second_gradients(self.tangent(by), moved, self.cotangent)

    @property
    def reasons(self) -> dict[str, str]:
        """Why ``forward`` and ``backward`` are what the definition and the chain rule give."""
        return {}

    @property
    def remark(self) -> str:
        """What is to be said of the layer besides its formula; of most nothing."""
        return ""

    @property
    def composite(self) -> bool:
        """Whether expressions of elements are among the steps."""
        return any(isinstance(step, Elementwise) for step in self.graph.steps)

    def reductions(self) -> Iterator[Layer]:
        """Visit the layers with one size reduced, smallest first; arguments that are no sizes stay."""
        for axis, size in enumerate(self.input_shape):
            for less in smaller_sizes(size):
                yield from self._reduced(input_shape=with_size(self.input_shape, axis, less))

    def joint_reductions(self) -> Iterator[Layer]:
        """Visit the layers with all sizes that are equal reduced alike, for what fails only then."""
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
        """Return the layer with at most two of everything, or itself where that is not one."""
        shape = tuple(min(size, 2) for size in self.input_shape)
        try:
            return dataclasses.replace(self, input_shape=shape)  # type: ignore[type-var]  # every kind is a dataclass
        except SymconvError:
            return self

    def backward_by(self, name: str) -> Graph:
        """Return the part of ``backward`` that computes the gradient by one input."""
        return self.backward.only(gradient_of(self.tensors[name]).name)

    @property
    def arguments(self) -> dict[str, object]:
        """The arguments that rebuild the layer."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]  # every kind is a dataclass

    def as_dict(self) -> dict[str, object]:
        """Return plain data that :func:`rebuild` takes."""
        return {"layer": type(self).__name__, **self.arguments}


def smaller_sizes(size: int) -> Iterator[int]:
    """Visit smaller sizes: each of the first sixteen, then what halving gives."""
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
    """Say which kind of layer a name that there is not probably means."""
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
    """Return the layer that plain data describes: ``layer``, its kind, and its arguments.

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
            raise SymconvError(f"{field.name}: missing, {kind} needs it")
    return cls(**arguments)
