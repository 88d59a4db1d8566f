"""Every known wrong rule about a gradient, refuted by its smallest counterexample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np

from symconv.layers.conv import Conv, ConvLayer, ConvTranspose
from symconv.layers.window import fitting
from symconv.notation.backpropagation import gradient
from symconv.notation.contraction import Tensor
from symconv.notation.evaluate import Values, evaluate
from symconv.notation.graph import Graph
from symconv.prove.claims import Claim, Counterexample, refute, rows_text
from symconv.prove.instances import put
from symconv.prove.pitfalls import PITFALLS, Pitfall
from symconv.prove.t7_average import average
from symconv.prove.t7_maximum import selected

LAYERS: tuple[ConvLayer, ...] = (  # a wrong rule about convolutions is wrong for one of these
    Conv((1, 1, 5, 5), 1, 2, bias=False),
    Conv((1, 1, 6, 6), 1, 2, stride=2, bias=False),
    Conv((1, 1, 6, 6), 1, 2, dilation=2, bias=False),
    Conv((1, 1, 7, 7), 1, 2, stride=3, bias=False),
    Conv((1, 4, 3, 3), 4, 2, groups=2, bias=False),
    Conv((1, 1, 4, 4), 1, 2, padding="same", bias=False),
    Conv((1, 1, 4, 4), 1, 2, padding=1, padding_mode="reflect", bias=False),
    Conv((1, 1, 4), 1, 3, padding=((0, 2),), bias=False),
    ConvTranspose((1, 1, 3, 3), 1, 2, stride=2, output_padding=1, bias=False),
)


@dataclass(frozen=True)
class Refutation:
    """A wrong rule, where it was seen, and what refutes it; None if nothing was found."""

    name: str
    seen: str
    counterexample: Counterexample | None

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        found = self.counterexample
        return {
            "name": self.name,
            "seen": self.seen,
            "refuted": found is not None,
            "counterexample": found.as_text() if found else None,
            "right": found.right.astype(str).tolist() if found else None,
            "wrong": found.wrong.astype(str).tolist() if found else None,
        }

    def text(self) -> str:
        """Return a line, and below it the numbers and the two matrices that differ."""
        found = self.counterexample
        lines = [f"{'refuted' if found else 'NOT REFUTED'}  {self.name}  ({self.seen})"]
        if found:
            lines += [f"    {found.as_text()}"]
            right, wrong = rows_text(found.right), rows_text(found.wrong)
            width = max(map(len, [*right, "right"])) + 4
            height = max(len(right), len(wrong))
            right, wrong = (["", *rows, *[""] * (height - len(rows))] for rows in (right, wrong))
            right[0], wrong[0] = "right", "wrong"
            lines += [f"    {a:<{width}}{b}".rstrip() for a, b in zip(right, wrong, strict=True)]
        return "\n".join(lines)


def refutations() -> Iterator[Refutation]:
    """Refute the wrong rules about gradients, those of convolutions and those of pooling."""
    for pitfall in PITFALLS:
        if pitfall.sweep != "forward":
            yield Refutation(_named(pitfall), pitfall.seen, _refuted(pitfall))
    for name, seen, weights in SELECTIONS:
        yield Refutation(name, seen, next(_maxima(weights), None))
    yield Refutation(*ONE_AXIS, next(_normalised(), None))
    for name, seen, lo, counted in WINDOWS:
        yield Refutation(name, seen, next(_averages(lo, counted), None))


def _named(pitfall: Pitfall) -> str:
    by = "∂E/∂X" if pitfall.sweep == "x" else "∂E/∂F"
    return pitfall.name if by in pitfall.name else f"{by}: {pitfall.name}"


def _refuted(pitfall: Pitfall) -> Counterexample | None:
    for layer in LAYERS:
        wrong = pitfall.wrong(layer)
        if wrong is None:
            continue
        claim = Claim(
            pitfall.name,
            lambda at: (
                at.gradient(pitfall.sweep),
                pitfall.wrong(at) or at.gradient(pitfall.sweep),
            ),
        )
        found = refute(claim, layer)
        if found:
            return found
    return None


Weights = Callable[[list[int]], list[Fraction]]  # of a window's values, what each is credited with


def _first(window: list[int]) -> list[Fraction]:
    return [Fraction(at == window.index(max(window))) for at in range(len(window))]


def _last(window: list[int]) -> list[Fraction]:
    return _first(window[::-1])[::-1]


def _every(window: list[int]) -> list[Fraction]:
    return [Fraction(value == max(window)) for value in window]


def _split(window: list[int]) -> list[Fraction]:
    return [share / window.count(max(window)) for share in _every(window)]


CREDITED_IN_FULL = "max pooling: every maximum of a tie is credited in full", "Theano#5404"
NOT_COUNTED = "average pooling: count_include_pad is ignored", "onnx#4958, NNlib#229"
SELECTIONS: tuple[tuple[str, str, Weights], ...] = (
    (*CREDITED_IN_FULL, _every),
    ("max pooling: a tie is split among its maxima", "tinygrad PR 229", _split),
    ("max pooling: a tie goes to the last maximum", "tensorflow#4886", _last),
)
ONE_AXIS = (
    "softmax: the sum goes along one axis, where ONNX before opset 13 takes all from it on",
    "onnx, operator Softmax, version 11",
)
WINDOWS = (  # what the backward pass takes for the padding before, and whether padding counts
    ("pooling: backward reads the input where forward read the padded input", "numpy-ml", 0, True),
    (*NOT_COUNTED, None, False),
)


def _normalised() -> Iterator[Counterexample]:
    """Visit shares and gradients for which ∂E/∂X = S·(G − Σ S·G) differs: where the sum goes how far."""
    for rows, columns in product((1, 2), (1, 2)):
        shape = (1, rows, columns)
        shares = np.array([Fraction(1, rows * columns)] * (rows * columns), object).reshape(shape)
        grad = np.arange(1, rows * columns + 1).astype(object).reshape(shape)
        right, wrong = (
            shares * (grad - (shares * grad).sum(axis=axes, keepdims=True)) for axes in ((1, 2), (1,))
        )
        for at in np.argwhere(right != wrong)[:1]:
            place = tuple(map(int, at))
            found = f"∂E/∂X{list(place)} = {right[place]}, but the claim gives {wrong[place]}"
            given = f"S = {shares[0].astype(str).tolist()}, G = {grad[0].tolist()}"
            shown = f"shape {shape}, axis 1"
            yield Counterexample(shown, f"{found}, for {given}", right, wrong)


def _sizes() -> Iterator[dict[str, int]]:
    """Visit the sizes of small pools over one axis, smallest first."""
    for size, kernel, stride, lo in product(range(1, 5), range(1, 3), range(1, 3), range(2)):
        outputs = fitting(size, kernel, stride, 1, lo, lo)
        if outputs > 0 and lo < kernel:
            sizes = {"H": size, "K": kernel, "P": outputs, "s": stride, "d": 1, "lo": lo, "hi": lo}
            yield {"N": 1, "C": 1, "r": 0, **sizes}


def _maxima(weights: Weights) -> Iterator[Counterexample]:
    """Visit inputs for which a selection's adjoint is another gradient than the first maximum's."""
    graph = Graph(selected(1).right.steps[:1])
    for sizes in _sizes():
        for x in product((1, 2), repeat=sizes["H"]):
            right, wrong = (
                _pooled(graph, sizes, {"S": _selection(x, sizes, credit)})
                for credit in (_first, weights)
            )
            if (right != wrong).any():
                yield _counterexample(sizes, f"X = {list(x)}, ", right, wrong)


def _selection(x: tuple[int, ...], sizes: dict[str, int], credit: Weights) -> Values:
    """Return what each tap of each window is credited with; padding never wins."""
    selection = np.zeros((1, 1, sizes["P"], sizes["K"]), object)
    for p in range(sizes["P"]):
        start = sizes["s"] * p - sizes["lo"]
        taps = [k for k in range(sizes["K"]) if 0 <= start + k < sizes["H"]]
        selection[0, 0, p, taps] = credit([x[start + k] for k in taps])
    return selection


def _averages(lo: int | None, counted: bool) -> Iterator[Counterexample]:
    """Visit sizes for which an average's gradient is another with a wrong padding or divisor."""
    forward = average(1).left
    x = forward.programs[0].contractions[0].reads[0].tensor
    graph = gradient(forward, x, Tensor("G", forward.output.shape))
    for sizes in _sizes():
        moved = sizes if lo is None else sizes | {"lo": lo}
        right = _pooled(graph, sizes, {"Rx": _divisors(sizes, True)})
        wrong = _pooled(graph, moved, {"Rx": _divisors(sizes, counted)})
        if (right != wrong).any():
            yield _counterexample(sizes, "average of X, ", right, wrong)


def _divisors(sizes: dict[str, int], counted: bool) -> Values:
    """Return 1/D for each position: D taps, those in the padding counted or not."""
    taps = [
        sum(counted or 0 <= sizes["s"] * p + k - sizes["lo"] < sizes["H"] for k in range(sizes["K"]))
        for p in range(sizes["P"])
    ]
    return np.array([Fraction(1, max(count, 1)) for count in taps], object)


def _pooled(graph: Graph, sizes: dict[str, int], tensors: dict[str, Values]) -> Values:
    concrete = put(graph, sizes)
    cotangent = np.arange(1, sizes["P"] + 1).reshape(1, 1, -1).astype(object)
    return evaluate(concrete, {"G": cotangent, **tensors})[concrete.output.name]


def _counterexample(sizes: dict[str, int], given: str, right: Values, wrong: Values) -> Counterexample:
    shown = f"size {sizes['H']}, kernel {sizes['K']}, stride {sizes['s']}, padding {sizes['lo']}"
    cotangent = list(range(1, sizes["P"] + 1))
    at = next(i for i in range(sizes["H"]) if right[0, 0, i] != wrong[0, 0, i])
    found = f"∂E/∂X[{at}] = {right[0, 0, at]}, but the claim gives {wrong[0, 0, at]}"
    text = f"{found}, for {given}G = {cotangent}"
    return Counterexample(shown, text, right, wrong)
