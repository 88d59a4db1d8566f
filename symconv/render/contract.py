"""Any sum of products, or maximum of them: einsums of strided views."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod

from symconv.plan.algorithms import Choose, Contract, Strided
from symconv.render.environment import fill
from symconv.render.moves import assignment, times
from symconv.render.syntax import shape


@dataclass(frozen=True)
class _Operand:
    """A factor in code: what it is called, its indices, and the view that it is, if it needs one."""

    name: str
    letters: str
    view: str = ""


def contract(stage: Contract) -> str:
    """Write a sum of products, or the maximum of products, into its target, or add it."""
    if stage.looped:
        return _by_turns(stage)
    operands = _operands(stage)
    target = stage.target
    if stage.reduce == "max":
        statement = assignment(target.array, _maximum(stage, operands), Fraction(1), stage.adds)
        return _filled(operands, statement)
    source = _product(operands, target.letters)
    whole = f"->{target.letters}" in source and source.endswith(")")
    if target.plain and stage.coefficient == 1 and not stage.adds and whole:
        return _filled(operands, f"{source[:-1]}, out={target.array})")
    if not target.plain:
        return _by_turns(stage)
    return _filled(operands, assignment(target.array, source, stage.coefficient, stage.adds))


def _filled(operands: list[_Operand], statement: str) -> str:
    views = [(operand.name, operand.view) for operand in operands if operand.view]
    return fill("numpy/contract.py.j2", views=views, statement=statement)


def _operands(stage: Contract) -> list[_Operand]:
    found: list[_Operand] = []
    for source in stage.sources:
        if source.plain:
            found.append(_Operand(source.array, source.letters))
            continue
        name = f"read_{source.array}"
        while name in [operand.name for operand in found]:
            name += "_too"
        found.append(_Operand(name, source.letters, _view(source, source.array)))
    return found


def _view(source: Strided, array: str) -> str:
    """Write an array, padded where it must be, as it is seen along its indices."""
    if source.padded:
        array = f"np.pad({array}, {shape(shape(pad) for pad in source.pads)})"
    steps = shape(map(shape, source.steps))
    return f"_strided({array}, {shape(source.first)}, {steps}, {shape(source.shape)})"


def _product(operands: list[_Operand], kept: str) -> str:
    """Write the product of operands, summed over the indices that are not kept."""
    present = "".join(letter for letter in kept if any(letter in o.letters for o in operands))
    inputs = ",".join(operand.letters for operand in operands)
    names = ", ".join(operand.name for operand in operands)
    how = ", optimize=True" if _is_product(operands, kept) else ""
    text = f'np.einsum("{inputs}->{present}", {names}{how})' if inputs != present else names
    if present in (kept, ""):  # a number goes everywhere
        return text
    places = [":" if letter in present else "None" for letter in kept]
    return f"{text}[{', '.join(places)}]"


def _is_product(operands: list[_Operand], kept: str) -> bool:
    """Whether there is a product of matrices in it, which einsum leaves to BLAS only if asked.

    (Asked for a number that others are multiplied with, it does not take numbers of another kind.)
    """
    if len(operands) < 2 or not kept or not _connected([o.letters for o in operands] + [kept]):
        return False
    if len(operands) > 2:
        return True
    one, other = (set(operand.letters) for operand in operands)
    return bool((one & other) - set(kept)) and not one & other & set(kept)


def _connected(words: list[str]) -> bool:
    """Whether one gets from each word to every other over letters that words share."""
    reached, *rest = words
    while rest:
        near = next((word for word in rest if set(word) & set(reached)), None)
        if near is None:
            return False
        rest.remove(near)
        reached += near
    return True


def _by_turns(stage: Contract) -> str:
    """Write a sum whose terms share cells: those that differ in the looped indices take turns."""
    operands, target = _operands(stage), stage.target
    kept = "".join(letter for letter in target.letters if letter not in stage.looped)

    def at(letters: str) -> str:
        places = [letter if letter in stage.looped else ":" for letter in letters]
        while places and places[-1] == ":":
            places.pop()
        return f"[{', '.join(places)}]" if places else ""

    inside = [
        _Operand(o.name + at(o.letters), "".join(x for x in o.letters if x not in stage.looped))
        for o in operands
    ]
    sizes = dict(zip(target.letters, target.shape, strict=True))
    ranges = [f"range({sizes[letter]})" for letter in stage.looped]
    over = ranges[0] if len(ranges) == 1 else f"product({', '.join(ranges)})"
    padded = [size + sum(pad) for size, pad in zip(target.sizes, target.pads, strict=True)]
    total = f"total_{target.array}"
    cut = [f"{lo}:{lo + n}" for n, (lo, _) in zip(target.sizes, target.pads, strict=True)]
    source = f"{total}[{', '.join(cut)}]" if target.padded else total
    return fill(
        "numpy/contract_turns.py.j2",
        views=[(operand.name, operand.view) for operand in operands if operand.view],
        total=total,
        shape=shape(padded),
        cells=_view(replace(target, pads=((0, 0),) * len(padded)), total),
        loop=f"for {', '.join(stage.looped)} in {over}:" if ranges else "",
        cell=at(target.letters) or "[...]",
        terms=_product(inside, kept),
        statement=assignment(target.array, source, stage.coefficient, stage.adds),
    )


def _terms(stage: Contract, operands: list[_Operand], letters: str) -> str:
    """Write every term of a maximum, those that read outside an array as -∞."""
    terms = _product(operands, letters)
    if len(operands) == 1 and operands[0].letters == letters:
        terms = operands[0].name
    inside = [
        _Operand(_view(source, f"np.ones({shape(source.sizes)}, bool)"), source.letters)
        for source in stage.sources
        if source.padded
    ]
    terms = times(terms, stage.coefficient)
    return f"np.where({_product(inside, letters)}, {terms}, -np.inf)" if inside else terms


def _order(stage: Contract) -> tuple[str, str]:
    """Return the indices that a maximum keeps, and those that it is taken over."""
    every = "".join(dict.fromkeys("".join(source.letters for source in stage.sources)))
    kept = stage.target.letters
    return kept, "".join(letter for letter in every if letter not in kept)


def _maximum(stage: Contract, operands: list[_Operand]) -> str:
    kept, over = _order(stage)
    letters = operands[0].letters if len(operands) == 1 else kept + over
    axes = [at for at, letter in enumerate(letters) if letter in over]
    terms = _terms(stage, operands, letters)
    terms = terms if re.fullmatch(r"\w+|np\.\w+\(.*\)", terms) else f"({terms})"
    return f"{terms}.max(axis={axes[0] if len(axes) == 1 else shape(axes)})"


def choose(stage: Choose) -> str:
    """Write 1 for the first greatest term of each cell, else 0."""
    maximum = stage.maximum
    operands = _operands(maximum)
    kept, over = _order(maximum)
    sizes = {
        letter: size
        for source in (*maximum.sources, maximum.target)
        for letter, size in zip(source.letters, source.shape, strict=True)
    }
    count = prod(sizes[letter] for letter in over)
    rows = [sizes[letter] for letter in kept]
    every = [sizes[letter] for letter in kept + over]
    terms = _terms(maximum, operands, kept + over)
    terms = terms if re.fullmatch(r"\w+|np\.\w+\(.*\)", terms) else f"({terms})"
    terms += f".reshape{shape([*rows, count])}"
    chosen = f"(first[..., None] == np.arange({count})).reshape{shape(every)}"
    return fill(
        "numpy/choose.py.j2",
        views=[(operand.name, operand.view) for operand in operands if operand.view],
        terms=terms,
        target=stage.target,
        chosen=chosen,
    )
