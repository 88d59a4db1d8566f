"""Which loops several threads may share: those whose turns write places of their own.

Every sum is then added up by one thread, in the same order for any number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from symconv.kernel.language import Do, Extents, Loop, Span
from symconv.notation.contraction import Access, Contraction
from symconv.notation.graph import Elementwise, reads
from symconv.targets.c.wording import syntax

LEAST = 1 << 13  # numbers moved from which on waking threads pays
PRODUCTS = 8  # times as many products, which take less time each


def shared(
    target: Access, sources: Sequence[Access], names: Sequence[str], extents: Extents
) -> list[str]:
    """Return the line that makes threads share the outermost loops of a statement, or none.

    Parameters
    ----------
    target
        What is written.
    sources
        What is read: of the same array at most the same place.
    names
        The indices that loops go over, the outermost first.
    extents
        Each index and its size, summed ones included.
    """
    sizes = {name: size for name, size in extents if isinstance(size, int)}
    moved = any(read.tensor == target.tensor and read != target for read in sources)
    least = LEAST * (PRODUCTS if len(sources) > 1 else 1)
    if moved or len(sizes) < len(extents) or prod(sizes.values()) < least:
        return []
    most = 2 if len(names) > 2 else 1  # an inner loop is left for vectors
    count = 0
    while count < min(most, len(names)) and _apart(target, names[count], sizes):
        count += 1
    return [syntax("shared", loops=count)] if count else []


def shared_loop(loop: Loop) -> list[str]:
    """Return the line that makes threads share a loop around one statement, or none."""
    match loop:
        case Loop(
            letters=(letter,),
            rows=Span(stop=int(stop), start=0),
            body=(Do(meaning=Contraction() | Elementwise() as meaning),),
        ):
            extents = ((letter, stop), *meaning.extents)
            return shared(meaning.target, reads_of(meaning), [letter], extents)
    return []


def reads_of(meaning: Contraction | Elementwise) -> tuple[Access, ...]:
    """Return what a statement reads."""
    return meaning.reads if isinstance(meaning, Contraction) else reads(meaning)


def _apart(target: Access, name: str, sizes: Mapping[str, int]) -> bool:
    """Whether different values of an index write different places: it is a digit of a subscript."""
    for subscript in target.subscripts:
        steps = {n: abs(int(subscript.coefficient(n))) for n in subscript.variables if n in sizes}
        covered = 0
        for other in sorted(steps, key=lambda n: steps[n]):
            if steps[other] <= covered:
                break
            covered += steps[other] * (sizes[other] - 1)
        else:
            if name in steps:
                return True
    return False
