"""What a kernel computes with, in words: read from its statements, so that they cannot say otherwise."""

from __future__ import annotations

from symconv.kernel.language import Do, Kernel, Loop, Transform, walk
from symconv.kernel.simplify import simplified
from symconv.notation.contraction import Contraction
from symconv.notation.graph import Selection
from symconv.targets.numpy.legal import legalised
from symconv.targets.numpy.products import matrix_product, summed_indices


def words(kernel: Kernel) -> str:
    """Say what a kernel computes with: ``matrix products and sums along axes``."""
    body = legalised(simplified(kernel)).body
    found = dict.fromkeys(filter(None, (_word(s) for s in walk(body) if isinstance(s, Do))))
    letters = dict.fromkeys(
        statement.letters[0] for statement in walk(body) if isinstance(statement, Loop)
    )
    if letters:
        found[f"a loop over {_listed(list(letters))}"] = None
    return _listed(list(found) or ["operations on whole arrays"])


def _word(do: Do) -> str:
    match do.meaning:
        case Selection():
            return "argmax"
        case Transform():
            return "Fourier transforms"
        case Contraction() as contraction:
            summed = summed_indices(contraction)
            if contraction.reduce == "max" or do.how == "max":
                return "maxima"
            if matrix_product(contraction):
                return "matrix products"
            if summed:
                return "einsum" if len(contraction.reads) > 1 else "sums along axes"
            return ""
        case _:
            return ""


def _listed(names: list[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
