"""The cross-entropy of softmax with labels: class weights, ignored labels, smoothing, reductions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import prod
from typing import ClassVar

import numpy as np

from symconv.layers import arguments
from symconv.layers.arguments import refuse
from symconv.layers.softmax import RANKS, _Exponential, renamed
from symconv.notation.backpropagation import gradient_of
from symconv.notation.contraction import Access, Tensor, index
from symconv.notation.graph import Constant, Graph, Step, each, one_hot, total

REDUCTIONS = ("mean", "sum", "none")


@dataclass(frozen=True)
class SoftmaxCrossEntropy(_Exponential):
    """The cross-entropy of class scores: ``log Σ_k exp(X[n, k]) − X[n, T[n]]``, averaged or summed.

    The functions are ``forward(x, labels)`` and ``backward(grad_output, x, labels)``. Labels are class
    numbers, counted from 0. Their shape is the input's shape without axis 1, and they have no gradient.
    The output is a scalar, or has the labels' shape if ``reduction`` is ``"none"``. Arguments are those
    of PyTorch's ``cross_entropy``.

    Parameters
    ----------
    input_shape
        Batch, classes, then up to three sizes.
    reduction
        ``"mean"`` (the weighted mean over all labels that are not ignored), ``"sum"`` or ``"none"``.
    weight
        A factor for each class, by which the loss of its labels is multiplied. None means 1 for all.
    ignore_index
        A label that does not contribute to the loss. None means that no label is ignored.
    label_smoothing
        The share of the target, from 0 to 1, that is spread evenly over all classes.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid.

    References
    ----------
    C. Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2016 (smoothing).
    """

    symbols: ClassVar[dict[str, str]] = _Exponential.symbols | {
        "labels": "T",
        "one_hot": "H",
        "weight": "K",
        "target_share": "A",
        "known": "N",
        "target_sum": "B",
        "label_weight": "Z",
        "chosen": "Q",
        "losses": "L",
        "loss_sum": "Y",
    }
    _because: ClassVar[str] = (
        "through log S every score gets its share U/S, through Q the label's -1: H is 1 there, else 0"
    )

    reduction: str = "mean"
    weight: tuple[float, ...] | None = None
    ignore_index: int | None = None
    label_smoothing: float = 0.0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        valid = "batch, classes, then up to three sizes, all positive ints"
        sizes = arguments.shape("input_shape", self.input_shape, RANKS, valid)
        smoothing = arguments.number("label_smoothing", self.label_smoothing, "a number from 0 to 1")
        if not 0 <= smoothing <= 1:
            raise refuse("label_smoothing", self.label_smoothing, "a number from 0 to 1")
        ignored = self.ignore_index
        normal: dict[str, object] = {
            "input_shape": sizes,
            "reduction": arguments.choice("reduction", self.reduction, REDUCTIONS),
            "weight": _weights(self.weight, sizes[1]),
            "ignore_index": None
            if ignored is None
            else arguments.integer("ignore_index", ignored, -arguments.LARGEST, "an int, or None"),
            "label_smoothing": smoothing,
            "dtype": arguments.dtype(self.dtype),
        }
        for name, value in normal.items():
            object.__setattr__(self, name, value)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output: a scalar, or the labels' shape with ``reduction="none"``."""
        return self.inputs["labels"] if self.reduction == "none" else ()

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of ``forward``'s inputs."""
        return {"x": self.input_shape, "labels": (self.input_shape[0], *self.input_shape[2:])}

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels."""
        return ("labels",)

    @property
    def differentiable(self) -> tuple[str, ...]:
        """The scores; labels have no gradient."""
        return ("x",)

    @property
    def classes(self) -> dict[str, int]:
        """The number of classes, by the name of the labels."""
        return {"labels": self.input_shape[1]}

    @property
    def ignored(self) -> dict[str, int]:
        """The label that is ignored, if there is one."""
        return {} if self.ignore_index is None else {"labels": self.ignore_index}

    @property
    def _is_plain(self) -> bool:
        return self.weight is None and self.ignore_index is None and not self.label_smoothing

    @property
    def _count(self) -> int:
        return prod(self.inputs["labels"]) if self.reduction == "mean" else 1

    def _one_hot(self) -> Step:
        x, row = self._places()
        return one_hot(renamed(x, "H"), renamed(row, "T"), "c", self.ignore_index)

    def _targets(self) -> list[Step]:
        """Return the share A of each class in a label's target, their sum B, and what labels weigh, Z.

        A = (1 - ε)·K·H + ε/C·K for a label that is not ignored, where K are the class weights.
        """
        x, row = self._places()
        if self._is_plain:
            return [self._one_hot()]
        classes = self.input_shape[1]
        h, a, n, b = renamed(x, "H"), renamed(x, "A"), renamed(row, "N"), renamed(row, "B")
        k = Tensor("K", (classes,))[index("c")]
        weights = tuple(Fraction(repr(number)) for number in self.weight or ())
        given: dict[str, Access | float] = {"h": h, "n": n, "m": float(classes)}
        given |= {"k": k if weights else 1.0, "s": self.label_smoothing}
        shares = each(a, "k*((1 - s)*h + s/m*n)", **given)
        steps: list[Step] = [Constant(k.tensor, weights)] if weights else []
        steps += [self._one_hot(), total(n, h), shares, total(b, a)]
        if self.reduction == "mean":
            steps.append(total(Tensor("Z", ())[()], *([k] if weights else []), h))
        return steps

    def _losses(self, scores: Access) -> list[Step]:
        x, row = self._places()
        q, output = renamed(row, "Q"), Tensor("O", self.output_shape)
        each_output = renamed(row, "O")
        losses = each_output if self.reduction == "none" else renamed(row, "L")
        share = renamed(x, "H" if self._is_plain else "A")
        chosen = total(q, share, scores)
        if self._is_plain:
            loss = each(losses, "log(s) - q", s=renamed(row, "S"), q=q)
        else:
            loss = each(losses, "b*log(s) - q", b=renamed(row, "B"), s=renamed(row, "S"), q=q)
        steps = [*self._targets(), chosen, loss]
        if self.reduction == "none":
            return steps
        if self._is_plain or self.reduction == "sum":
            return [*steps, total(output[()], losses, coefficient=Fraction(1, self._count))]
        y, z = Tensor("Y", ())[()], Tensor("Z", ())[()]
        return [*steps, total(y, losses), each(output[()], "y/z", y=y, z=z)]

    @cached_property
    def graph(self) -> Graph:
        """The exponentials and their sum, the score of each label, and the losses."""
        steps = (*self._defined(), *self._losses(self._places()[0]))
        return Graph(steps, ("O",))

    @cached_property
    def forward(self) -> Graph:
        """The same after subtracting the largest score of each sample, which cancels."""
        steps = (*self._computed(), *self._losses(renamed(self._places()[0], "D")))
        return Graph(steps, ("O",), held=("M",))

    @cached_property
    def backward(self) -> Graph:
        """Softmax minus the one-hot labels, averaged or summed like the loss."""
        x, row = self._places()
        by = Access(gradient_of(x.tensor), x.subscripts)
        g = self.cotangent[row.subscripts if self.reduction == "none" else ()]
        u, s = renamed(x, "U"), renamed(row, "S")
        if self._is_plain:
            closed = each(
                by, "g * (u/s - h) / count", count=self._count, g=g, u=u, s=s, h=renamed(x, "H")
            )
            return Graph((*self._computed(), self._one_hot(), closed), (by.tensor.name,))
        a, b = renamed(x, "A"), renamed(row, "B")
        if self.reduction == "mean":
            z = Tensor("Z", ())[()]
            closed = each(by, "g * (b*u/s - a) / z", g=g, u=u, s=s, a=a, b=b, z=z)
        else:
            closed = each(by, "g * (b*u/s - a)", g=g, u=u, s=s, a=a, b=b)
        return Graph((*self._computed(), *self._targets(), closed), (by.tensor.name,))


def _weights(given: object, classes: int) -> tuple[float, ...] | None:
    """Return a number for each class, or None."""
    if given is None:
        return None
    valid = f"None or {classes} non-negative numbers, one for each class, not all 0"
    numbers = given.tolist() if isinstance(given, np.ndarray) else given
    if not isinstance(numbers, Sequence) or isinstance(numbers, str) or len(numbers) != classes:
        raise refuse("weight", given, valid)
    found = tuple(arguments.number("weight", number, valid) for number in numbers)
    if min(found) < 0 or max(found) == 0:
        raise refuse("weight", given, valid)
    return found
