"""The one idea: sums over an iteration space of products of tensors, read and written affinely.

A contraction is ``target[w(t)] += coefficient · Π factor[r(t)]`` for every point ``t`` of a box of
integer indices, each subscript an affine function of them. Reads outside a tensor are zero; writes
outside the target are dropped. A program is a sum of contractions into one target.

Sizes are integers, or polynomials in letters where a statement is about every size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

from symconv.notation.polynomial import Number, Polynomial
from symconv.notation.ratio import Ratio

Size: TypeAlias = int | Polynomial


def integers(sizes: Iterable[Size]) -> tuple[int, ...]:
    """Return sizes that must be numbers.

    Raises
    ------
    TypeError
        If one has letters in it.
    """
    return tuple(size if isinstance(size, int) else int(size) for size in sizes)


def index(name: str) -> Polynomial:
    """Return the subscript that is one index."""
    return Polynomial.variable(name)


@dataclass(frozen=True)
class Tensor:
    """A name and a shape."""

    name: str
    shape: tuple[Size, ...]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The shape, in numbers."""
        return integers(self.shape)

    def __getitem__(self, subscripts: Polynomial | Number | tuple[Polynomial | Number, ...]) -> Access:
        """Read or write the tensor at these subscripts."""
        if not isinstance(subscripts, tuple):
            subscripts = (subscripts,)
        return Access(self, tuple(map(Polynomial.lift, subscripts)))


@dataclass(frozen=True)
class Access:
    """A tensor read or written at an affine function of the indices."""

    tensor: Tensor
    subscripts: tuple[Polynomial, ...]

    def substitute(self, values: Mapping[str, Polynomial | Number]) -> Access:
        """Replace indices by other subscripts."""
        return replace(self, subscripts=tuple(s.substitute(values) for s in self.subscripts))

    @property
    def address(self) -> Polynomial:
        """The place of the element in a contiguous tensor, whose elements are counted from 0."""
        found = Polynomial.lift(0)
        for subscript, size in zip(self.subscripts, self.tensor.shape, strict=True):
            found = found * size + subscript
        return found


@dataclass(frozen=True)
class Kronecker:
    """A factor that is 1 where two subscripts are equal, else 0."""

    left: Polynomial
    right: Polynomial


@dataclass(frozen=True)
class Solved:
    """A factor that is 1 where an integer ``name = numerator / divisor`` exists, else 0.

    A write solved for an index: the index has this value, and no extent of its own.
    """

    name: str
    numerator: Polynomial
    divisor: Size


Factor: TypeAlias = Access | Kronecker | Solved


@dataclass(frozen=True)
class Contraction:
    """A sum (or maximum) over a box of indices of a product of factors.

    Parameters
    ----------
    target
        Where each term is added.
    factors
        What is multiplied.
    extents
        Each index that is not solved and its number of values, counted from 0, outermost first.
    coefficient
        A number that multiplies every term; a ratio where it depends on a letter.
    reduce
        ``"sum"``, or ``"max"``, where reads outside a tensor are left out instead of zero.
    """

    target: Access
    factors: tuple[Factor, ...]
    extents: tuple[tuple[str, Size], ...]
    coefficient: Number | Ratio = 1
    reduce: Literal["sum", "max"] = "sum"

    @property
    def reads(self) -> tuple[Access, ...]:
        """The factors that are tensors."""
        return tuple(factor for factor in self.factors if isinstance(factor, Access))

    @property
    def solved(self) -> tuple[Solved, ...]:
        """The factors that give an index its value."""
        return tuple(factor for factor in self.factors if isinstance(factor, Solved))

    @property
    def ranges(self) -> dict[str, int]:
        """The extents, in numbers."""
        return {name: int(size) for name, size in self.extents}

    @property
    def number(self) -> Number:
        """The coefficient, in numbers.

        Raises
        ------
        TypeError
            If it has letters in it.
        """
        if isinstance(self.coefficient, Ratio):
            raise TypeError(f"{self.coefficient} is not a number")
        return self.coefficient

    @property
    def free(self) -> tuple[str, ...]:
        """The indices that the target is written at."""
        return tuple(dict.fromkeys(v for s in self.target.subscripts for v in s.variables))

    @property
    def summed(self) -> tuple[str, ...]:
        """The indices that the target does not show."""
        return tuple(name for name, _ in self.extents if name not in self.free)

    def swap(self, read: Access, gradient: Tensor, cotangent: Tensor) -> Contraction:
        """Return the gradient by one factor: written where it was read, reading where it wrote.

        ``cotangent`` is ∂E/∂(target) and ``gradient`` the tensor to add into. The product rule is a
        sum of swaps, one for each factor.
        """
        if self.reduce != "sum":
            raise TypeError("a maximum is not linear: swap its selection")
        others = list(self.factors)
        others.remove(read)
        return replace(
            self,
            target=Access(gradient, read.subscripts),
            factors=(Access(cotangent, self.target.subscripts), *others),
        )


@dataclass(frozen=True)
class Program:
    """A sum of contractions into one target."""

    contractions: tuple[Contraction, ...]

    @property
    def target(self) -> Tensor:
        """The tensor it computes."""
        return self.contractions[0].target.tensor

    def swap(self, tensor: Tensor, gradient: Tensor, cotangent: Tensor) -> Program:
        """Return the gradient by a tensor that the program reads: the swap of each of its reads."""
        return Program(
            tuple(
                contraction.swap(read, gradient, cotangent)
                for contraction in self.contractions
                for read in contraction.reads
                if read.tensor == tensor
            )
        )


def combined(contractions: Iterable[Contraction]) -> Program:
    """Return the sum of contractions, those of the same terms as one."""
    found: dict[object, Contraction] = {}
    for contraction in contractions:
        factors = frozenset(Counter(contraction.factors).items())
        terms = (contraction.target, factors, contraction.extents, contraction.reduce)
        if terms in found:
            coefficient = found[terms].number + contraction.number
            contraction = replace(found[terms], coefficient=coefficient)
        found[terms] = contraction
    return Program(tuple(found.values()))
