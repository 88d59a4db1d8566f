"""Two programs claimed to be equal: compared elementwise, or factor by factor where they are large."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from symconv.errors import SymconvError
from symconv.layers.conv import ConvLayer
from symconv.layers.layer import Layer, rebuild
from symconv.layers.window import Window
from symconv.notation.evaluate import Values, evaluate
from symconv.notation.graph import Graph
from symconv.notation.layout import beside
from symconv.notation.monomials import equal, term_count

Sides = Callable[[Any], tuple[Graph, Graph]]  # from a layer

FEW = 200_000  # terms that are compared
TRIED = 200  # sizes that are searched for a counterexample, smallest first
EMPTY = np.zeros(0, object)
SHOWN = 24  # elements of a tensor that a counterexample writes out
SMALL = 20_000  # points, and elements of a tensor, of a counterexample


@dataclass(frozen=True)
class Claim:
    """That two sides, each a graph built from a layer, compute the same polynomials."""

    statement: str
    sides: Sides


@dataclass(frozen=True)
class Counterexample:
    """The smallest sizes for which a claim is false, numbers that show it, and both sides' results."""

    sizes: str
    text: str
    right: Values
    wrong: Values
    given: tuple[tuple[str, Values], ...] = ()

    def as_text(self) -> str:
        """Return it in a line."""
        given = ", ".join(f"{name} = {_numbers_text(numbers)}" for name, numbers in self.given)
        return f"{self.sizes}: {self.text}" + (f", for {given}" if given else "")

    def drawn(self) -> list[str]:
        """Return it in lines, small matrices drawn."""
        lines = [f"{self.sizes}:"]
        for name, numbers in self.given:
            shown = _squeezed(numbers)
            if shown.ndim == 2 and shown.size <= SHOWN:
                lines += beside(f"  {name} = ", rows_text(shown)).splitlines()
            else:
                lines.append(f"  {name} = {_numbers_text(numbers)}")
        return [*lines, f"  {self.text}"]


def compare(claim: Claim, layer: Layer) -> tuple[bool | None, str]:
    """Compare a claim's sides term by term, if they are few: whether they are equal, what was seen."""
    left, right = claim.sides(layer)
    if left.output.shape != right.output.shape:
        return False, f"the shapes differ, {left.output.shape} and {right.output.shape}"
    if max(term_count(left), term_count(right)) > FEW:
        return None, ""
    count = math.prod(left.output.sizes)
    what = f"{count} {'polynomial' if count == 1 else 'polynomials'} compared"
    return equal(left, right), f"{what}, {term_count(left)} terms in all"


def refute(claim: Claim, like: Layer) -> Counterexample | None:
    """Return the smallest layer like this one, in stride, dilation and padding, that a claim fails for.

    Sizes are searched in the order of their number of products; None means that none was found,
    which is no proof.
    """
    layers = smaller(replace(like.convolution, bias=False) if like.convolution else like)
    for layer in layers:
        left, right = claim.sides(layer)
        same_shape = left.output.shape == right.output.shape
        shapes = (*layer.inputs.values(), layer.output_shape, left.output.sizes)
        largest = max(map(math.prod, shapes))
        impossible = min((0, *left.output.sizes, *right.output.sizes)) < 0
        if impossible or max(largest, term_count(left), term_count(right)) > SMALL:
            if same_shape:
                continue  # numbers that nobody could follow, if there are none smaller
            return Counterexample(_sizes_text(layer), _shapes_text(left, right), EMPTY, EMPTY)
        if not (same_shape and equal(left, right)):
            return _with_numbers(_sizes_text(layer), left, right)
    return None


def smaller(like: Layer, kernels: int = 3) -> Iterator[Layer]:
    """Visit layers of smaller sizes and otherwise equal arguments, smallest first, then the layer.

    A convolution's kernels are those up to a size; with ``kernels = 0`` only the layer's own.
    """
    if like.convolution:
        yield from _smaller_convolutions(like.convolution, kernels)
        return
    if like.pooling:
        sizes = [sorted(set(_small_sizes(w, w.kernel, w.size))) for w in like.pooling.windows]
        for spatial in sorted(product(*sizes), key=math.prod)[:TRIED]:
            with contextlib.suppress(SymconvError):
                yield rebuild({**like.as_dict(), "input_shape": (1, 1, *spatial)})
    else:
        yield from itertools.islice(_with_less(like), TRIED)
    yield like


def _with_less(like: Layer) -> Iterator[Layer]:
    """Visit layers of one, two or three of everything, where that is one."""
    arguments = {field.name for field in dataclasses.fields(like)}  # type: ignore[arg-type]  # every kind is a dataclass
    if "input_shapes" in arguments:
        for most in (1, 2, 3):
            shapes = [tuple(min(size, most) for size in sizes) for sizes in like.inputs.values()]
            with contextlib.suppress(SymconvError):
                yield dataclasses.replace(like, input_shapes=tuple(shapes))  # type: ignore[type-var]  # every kind is a dataclass
    elif "input_shape" in arguments:
        sizes = [sorted({1, 2, size}) if size > 2 else range(1, size + 1) for size in like.input_shape]
        for shape in sorted(product(*sizes), key=math.prod):
            features = like.arguments.get("out_features")
            less = {"out_features": min(features, 2)} if isinstance(features, int) else {}
            with contextlib.suppress(SymconvError):
                yield dataclasses.replace(like, input_shape=shape, **less)  # type: ignore[type-var]  # every kind is a dataclass


def _smaller_convolutions(like: ConvLayer, kernels: int) -> Iterator[ConvLayer]:
    """Visit convolutions of smaller sizes, in the order of their number of products."""
    axes = [
        sorted(
            (k, size)
            for k in (range(1, min(w.kernel, kernels) + 1) if kernels else [w.kernel])
            for size in set(_small_sizes(w, k, most))
        )
        for w, most in zip(like.windows, like.input_shape[2:], strict=True)
    ]
    channels = sorted({like.groups, min(like.input_shape[1], 2 * like.groups)})
    filters = sorted({like.groups, min(like.out_channels, 2 * like.groups)})
    choices = [
        (math.prod(k * size for k, size in sizes) * c * m, sizes, c, m)
        for sizes, c, m in product(product(*axes), channels, filters)
    ]
    yield from itertools.islice(_fitting(like, sorted(choices)), TRIED)
    yield like


def _fitting(
    like: ConvLayer, choices: Iterable[tuple[int, tuple[tuple[int, int], ...], int, int]]
) -> Iterator[ConvLayer]:
    """Visit the layers of some (kernel, size) along each axis and channels, if a window fits."""
    for _, axes, channels, filters in choices:
        kernel, spatial = zip(*axes, strict=True)
        with contextlib.suppress(SymconvError):
            yield replace(
                like,
                input_shape=(1, channels, *spatial),
                out_channels=filters,
                kernel_size=kernel,
            )


def _small_sizes(w: Window[int], kernel: int, most: int) -> Iterator[int]:
    """Visit the sizes of an axis at which one, two or three windows begin to fit, and the next few."""
    fits = max(1, w.dilation * (kernel - 1) + 1 - w.lo - w.hi)
    beyond = max(w.lo, w.hi) + 1  # what reflect padding needs
    yield from (size for size in range(beyond, beyond + 3) if size <= most)
    for windows in range(3):
        for extra in range(3):
            size = fits + windows * w.stride + extra
            if size <= most:
                yield size
    yield from range(1, min(most, 4) + 1)


def _sizes_text(layer: Layer) -> str:
    words = [
        f"{field.name} = {getattr(layer, field.name)}"
        for field in dataclasses.fields(layer)  # type: ignore[arg-type]  # every kind is a dataclass
        if field.name not in ("dtype", "bias") and getattr(layer, field.name) != field.default
    ]
    return ", ".join(words)


def _shapes_text(left: Graph, right: Graph) -> str:
    return f"the shape is {left.output.shape}, but the claim gives {right.output.shape}"


def _with_numbers(sizes: str, left: Graph, right: Graph) -> Counterexample:
    """Fill the tensors with numbers, and show the shapes or the first cell in which the sides differ."""
    inputs = {name: tensor.sizes for name, tensor in (left.inputs | right.inputs).items()}
    for values in _fillings(sorted(inputs.items())):
        a = evaluate(left, values)[left.output.name]
        b = evaluate(right, values)[right.output.name]
        if a.shape != b.shape:
            return Counterexample(sizes, _shapes_text(left, right), a, b)
        cell = next((c for c in np.ndindex(a.shape) if a[c] != b[c]), None)
        if cell is not None:
            at = f"[{', '.join(map(str, cell))}]" if cell else ""
            text = f"{left.output.name}{at} = {a[cell]}, but the claim gives {b[cell]}"
            return Counterexample(sizes, text, a, b, tuple(values.items()))
    raise AssertionError("unequal polynomials differ somewhere")


def _numbers_text(numbers: Values) -> str:
    return str(_squeezed(numbers).tolist()) if numbers.size <= SHOWN else _range_text(numbers)


def _squeezed(numbers: Values) -> Values:
    """Return an array without its first axes of length 1."""
    while numbers.ndim > 1 and numbers.shape[0] == 1:
        numbers = numbers[0]
    return numbers


def rows_text(values: Values) -> list[str]:
    """Write an array as a matrix: its last axis across, all others down."""
    rows = values.reshape(-1, values.shape[-1]).tolist()
    texts = [[str(number) for number in row] for row in rows]
    width = max((len(text) for row in texts for text in row), default=0)
    return [f"[{' '.join(f'{text:>{width}}' for text in row)}]" for row in texts]


def _range_text(numbers: Values) -> str:
    first, second, last = numbers.ravel()[[0, 1, -1]]
    return f"{numbers.shape} of {first}, {second}, …, {last}"


def _fillings(tensors: list[tuple[str, tuple[int, ...]]]) -> Iterator[dict[str, Values]]:
    """Visit numbers for tensors: 1, 2, 3, … first, then random ones, until a difference shows."""
    rng = np.random.default_rng(0)
    counted = {
        name: (np.arange(math.prod(shape)) + 1 + 10 * at).reshape(shape).astype(object)
        for at, (name, shape) in enumerate(tensors)
    }
    yield counted
    for most in range(10, 110):
        yield {name: rng.integers(1, most, shape).astype(object) for name, shape in tensors}
