"""Any sum of products in index notation, as a layer."""

from __future__ import annotations

import builtins
import contextlib
import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np

from symconv.errors import NotRecognisedError, SymconvError
from symconv.layers import arguments
from symconv.layers.batch import Shape
from symconv.layers.conv import Conv, ConvLayer, ConvTranspose
from symconv.layers.layer import Layer, rebuild, smaller_sizes, with_size
from symconv.layers.module_names import gradient_array, upstream_array
from symconv.notation.arrays import evaluate_arrays
from symconv.notation.contraction import Contraction as Contraction_
from symconv.notation.contraction import Program, Tensor, index
from symconv.notation.correlation import Correlation, recognise
from symconv.notation.formulas import Formula, parse_formula, program_of
from symconv.notation.graph import Graph, renamed

RESERVED = ("G", "E", "O", "INPUT")  # ∂E/∂O, the error, the result; the input's gradient has its name
# what functions of modules call something else: a tensor of this name gets an underscore
TAKEN = {*dir(builtins), "np", "math", "product", "out", "outs", "y", "ty", "ggo", "labels", "w", "b"}
ARRAYS = {"X": "x", "F": "weight", "b": "bias"}  # what tensors are called in the module
MOST = 2**34  # terms of a sum
SHAPES = "names and shapes of up to eight positive ints, as a mapping or pairs"


@dataclass(frozen=True)
class Contraction(Layer):
    """A sum, or a maximum, of products of tensors, written in index notation.

    ``O[n,o,y,x] = X[n,c,2*y+i-1,2*x+j-1] * F[o,c,i,j] + b[o]`` sums over the indices that do not appear
    on the left. Elements outside a tensor are zero. ``O[n,c,y,x] max= X[n,c,2*y+i,2*x+j]`` takes the
    maximum, and skips elements outside. Subscripts are sums of integers and of indices times integers.
    Products may have a coefficient, such as 1/4.

    Parameters
    ----------
    formula
        The formula.
    shapes
        The shape of each tensor, by name. The result's shape may be left out; the result is then as
        large as the subscripts on the left reach.
    extents
        How many values an index takes, counted from 0. By default, an index that addresses an axis
        alone takes as many values as the axis has elements, and any other index takes as many as it can
        without passing the end of a tensor.
    values
        How many tensors, counted from the first one in the formula, are computed by other layers of a
        network. The other tensors are parameters.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If the formula does not follow the grammar, or sizes are missing or do not fit.
    """

    example: ClassVar[dict[str, object]] = {
        "formula": "O[n,i] = X[n,i+k] * F[k]",
        "shapes": (("X", (2, 8)), ("F", (3,))),
    }

    formula: str
    shapes: tuple[tuple[str, Shape], ...]
    extents: tuple[tuple[str, int], ...] = ()
    values: int = 1
    dtype: str = "float32"

    @staticmethod
    def parse(formula: str, dtype: str = "float32", **sizes: tuple[int, ...] | int) -> Contraction:
        """Return the layer of a formula; tuples are the shapes of tensors, ints the extents of indices.

        >>> layer = Contraction.parse("O[n,i] = X[n,i+k] * W[k]", X=(2, 8), W=(3,))
        >>> layer.output_shape
        (2, 6)
        """
        shapes = {name: size for name, size in sizes.items() if not isinstance(size, int)}
        extents = {name: size for name, size in sizes.items() if isinstance(size, int)}
        return Contraction(formula, tuple(shapes.items()), tuple(extents.items()), dtype=dtype)

    def __post_init__(self) -> None:
        if not isinstance(self.formula, str):
            raise arguments.refuse("formula", self.formula, 'text, such as "O[n,i] = X[n,i+k] * F[k]"')
        object.__setattr__(self, "formula", " ".join(self.formula.split()))
        object.__setattr__(self, "shapes", _shapes(self.shapes))
        object.__setattr__(self, "extents", _extents(self.extents))
        object.__setattr__(self, "dtype", arguments.dtype(self.dtype))
        parsed, sizes = parse_formula(self.formula), dict(self.shapes)
        _check_names(parsed, sizes)
        program = program_of(parsed, sizes, dict(self.extents))
        valid = "up to eight positive ints"
        arguments.shape("output_shape", program.target.sizes, range(9), valid, ["output_shape"])
        for contraction in program.contractions:
            points = 1
            for size in contraction.ranges.values():
                points *= size
            if points > MOST:
                raise arguments.refuse("formula", self.formula, f"a sum of at most {MOST} terms")
        if parsed.reduce == "max":
            _check_maximum(program)
        # what a formula calls its tensors is its own
        names = {_array(name): name for name in parsed.tensors}
        valid = f"from 1 to {len(names)}, the number of tensors"
        values = arguments.integer("values", self.values, 1, valid)
        if values > len(names):
            raise arguments.refuse("values", values, valid)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "symbols", names)
        object.__setattr__(self, "words", names)
        object.__setattr__(self, "_program", program)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        return self.graph.output.sizes

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of ``forward``'s inputs: X is ``x``, F ``weight``, b ``bias``."""
        sizes = dict(self.shapes)
        return {array: sizes[name] for array, name in self.symbols.items()}

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of every input that no other layer computes."""
        return dict(list(self.inputs.items())[self.values :])

    @property
    def input_shape(self) -> tuple[int, ...]:  # type: ignore[override]  # it follows from the shapes
        """Shape of the first input."""
        return next(iter(self.inputs.values()))

    @property
    def has_batch(self) -> bool:
        """A formula does not say what its indices count."""
        return False

    @property
    def recognised(self) -> ConvLayer | None:
        """The convolution that the formula is, if it is one."""
        return self.conv

    def reductions(self) -> Iterator[Layer]:
        """Visit the layers with one extent reduced, or one axis that no index addresses alone."""
        shapes, extents = dict(self.shapes), dict(self.extents)
        own = self.symbols.values()
        places: dict[str, list[tuple[str, int]]] = {}
        for contraction in self.graph.programs[0].contractions:
            for access in (contraction.target, *contraction.reads):
                for axis, subscript in enumerate(access.subscripts):
                    names = subscript.variables
                    plain = len(names) == 1 and subscript == index(names[0])
                    key = names[0] if plain else f"{access.tensor.name}[{axis}]"
                    if access.tensor.name in own:
                        places.setdefault(key, []).append((access.tensor.name, axis))
        for key, found in places.items():
            name, axis = found[0]
            for less in smaller_sizes(shapes[name][axis]):
                reduced = dict(shapes)
                for tensor, at in found:
                    reduced[tensor] = with_size(reduced[tensor], at, less)
                kept = {k: v for k, v in reduced.items() if k in own}
                fewer = {k: min(v, less) if k == key else v for k, v in extents.items()}
                yield from self._reduced(shapes=tuple(kept.items()), extents=tuple(fewer.items()))
        for key, size in extents.items():
            for less in smaller_sizes(size):
                yield from self._reduced(extents=tuple((extents | {key: less}).items()))

    @cached_property
    def graph(self) -> Graph:
        """The formula, with O as the name of its result."""
        program: Program = self.__dict__["_program"]
        output = {program.target.name: Tensor("O", program.target.shape)}
        return Graph((renamed(program, output),))

    @property
    def conv(self) -> ConvLayer | None:
        """The convolution or transposed convolution that the formula describes; None if neither."""
        first, *others = self.graph.programs[0].contractions
        try:
            found = recognise(first)
        except NotRecognisedError:
            return None
        if len(self.symbols) < 2:
            return None
        x, weight, *biases = self.symbols.values()
        conv = _conv(found, bias=bool(biases), dtype=self.dtype)
        if conv is None or len(others) != len(biases) or not all(map(_is_bias, others)):
            return None
        transposed = isinstance(conv, ConvTranspose)
        own = recognise(conv.graph.programs[-1].contractions[0])
        own = replace(own, cells=found.cells, taps=found.taps, positions=found.positions)
        plays = (found.positions if transposed else found.cells, found.taps)
        shapes = [tuple(layer.inputs.values()) for layer in (conv, self)]
        same = own == found and shapes[0] == shapes[1] and conv.output_shape == self.output_shape
        return conv if same and plays == (x, weight) else None


def _is_bias(contraction: Contraction_) -> bool:
    """Whether a sum adds b to every cell of an output channel."""
    target, reads = contraction.target, contraction.reads
    names = [name for subscript in target.subscripts for name in subscript.variables]
    whole = tuple(contraction.ranges[name] for name in names) == target.tensor.sizes
    plain = all(s == index(name) for s, name in zip(target.subscripts, names, strict=False))
    ones = contraction.coefficient == 1 and len(contraction.factors) == len(reads) == 1
    return ones and whole and plain and reads[0].subscripts == target.subscripts[1:2]


def _conv(c: Correlation, bias: bool, dtype: str) -> ConvLayer | None:
    """Return the layer with a correlation's sizes; None if there is none."""
    if c.result == "taps":
        return None
    kind = "Conv" if c.result == "positions" else "ConvTranspose"
    inside, outside = c.groups * c.channels, c.groups * c.filters
    sizes = [a.cells if kind == "Conv" else a.positions for a in c.axes]
    if kind == "ConvTranspose":
        inside, outside = outside, inside
    arguments_ = {
        "input_shape": (c.batch, inside, *sizes),
        "out_channels": outside,
        "kernel_size": tuple(a.taps for a in c.axes),
        "stride": tuple(a.stride for a in c.axes),
        "padding": tuple((-a.offset, a.offset + a.span - a.cells) for a in c.axes),
        "dilation": tuple(a.dilation for a in c.axes),
        "groups": c.groups,
        "bias": bias,
        "flip": any(a.tap_step < 0 for a in c.axes),
        "dtype": dtype,
    }
    with contextlib.suppress(SymconvError):  # sizes that no layer has
        layer = rebuild({"layer": kind, **arguments_})
        return layer if isinstance(layer, Conv | ConvTranspose) else None
    return None


def _shapes(given: object) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Return names and shapes."""
    pairs = list(given.items()) if isinstance(given, Mapping) else given
    if not isinstance(pairs, tuple | list) or not all(_is_pair(pair) for pair in pairs):
        raise arguments.refuse("shapes", given, SHAPES)
    return tuple((name, arguments.shape(name, sizes, range(9), SHAPES, [name])) for name, sizes in pairs)


def _extents(given: object) -> tuple[tuple[str, int], ...]:
    """Return names and extents."""
    valid = "names of indices and positive ints, as a mapping or pairs"
    pairs = list(given.items()) if isinstance(given, Mapping) else given
    if not isinstance(pairs, tuple | list) or not all(_is_pair(pair) for pair in pairs):
        raise arguments.refuse("extents", given, valid)
    return tuple((name, arguments.integer(name, size, 1, valid)) for name, size in pairs)


def _is_pair(pair: object) -> bool:
    return isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str)


def _check_maximum(program: Program) -> None:
    """Refuse a maximum that is not written at its own indices, or has a cell without any term."""
    (maximum,) = program.contractions
    names = [name for s in maximum.target.subscripts for name in s.variables]
    plain = all(s == index(n) for s, n in zip(maximum.target.subscripts, names, strict=False))
    sizes = tuple(maximum.ranges[name] for name in dict.fromkeys(names))
    read = {name for access in maximum.reads for s in access.subscripts for name in s.variables}
    known = plain and sizes == maximum.target.tensor.sizes and set(names) <= read
    if not known:
        raise SymconvError(
            "formula: a maximum must be written at plain indices, each of which the right side uses"
        )
    if not maximum.summed:
        raise SymconvError("formula: a maximum must be taken over an index that is not on the left")
    ones = {read.tensor.name: np.ones(read.tensor.sizes) for read in maximum.reads}
    if not np.isfinite(evaluate_arrays(Graph((program,)), ones)).all():
        raise SymconvError("formula: every maximum must have a term inside its tensors")


def _check_names(formula: Formula, shapes: Mapping[str, object]) -> None:
    """Refuse names of tensors that mean something else, or that a module cannot have."""
    for name in shapes:
        if name not in formula.tensors and name != formula.target:
            raise SymconvError(
                f"{name}: is not a tensor of the formula, whose tensors are {formula_names(formula)}"
            )
    arrays = [_array(name) for name in formula.tensors]
    derived = {f"t{array}" for array in arrays}
    derived |= {name(array) for name in (gradient_array, upstream_array) for array in arrays}
    for name in formula.tensors:
        changes = name[:1] == "d" and name[1:] in formula.tensors
        twice = arrays.count(_array(name)) > 1 or _array(name) in derived
        if (
            name.upper() in RESERVED
            or changes
            or twice
            or not re.fullmatch("[A-Za-z][A-Za-z0-9]{0,19}", name)
        ):
            raise SymconvError(
                f"{name}: must be a tensor's name of up to 20 letters and digits that differs from the "
                "others' names in lower case, is not d, g or t before another name, and is not one of "
                f"{', '.join(RESERVED)}"
            )


def formula_names(formula: Formula) -> str:
    """Return the names of a formula's tensors."""
    return ", ".join([formula.target, *formula.tensors])


def _array(name: str) -> str:
    """Return what a tensor is called in the module."""
    lower = name.lower()
    own = f"{lower}_" if lower in TAKEN or keyword.iskeyword(lower) else lower
    return ARRAYS.get(name, own)
