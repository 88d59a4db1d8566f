"""A module that takes any number of samples, and what it promises of that number."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

from symconv.check.promises import Case, cases, refuses, same
from symconv.check.report import Result
from symconv.errors import SymconvError
from symconv.layers.layer import Layer

SAMPLES = (1, 2, 65)  # one, several, and more than two blocks, the last one shorter


def members(layer: Layer) -> Iterator[tuple[int, Layer]]:
    """Visit the layer for each number of samples that its module is checked with."""
    for samples in SAMPLES:
        try:
            yield samples, layer.with_batch(samples)
        except SymconvError:  # such as statistics of a single number
            continue


def check_batches(layer: Layer, module: ModuleType) -> Result:
    """Try what a module of any number of samples promises: it computes many as it does a few.

    No samples, or another number in each input, are refused in words; a batch has the same result after
    a larger one and before it.
    """
    small, large = (dict(_cases(layer, module, samples)) for samples in SAMPLES[1:])
    broken = [f"{name}: {text}" for name in small if (text := _tried(small[name], large[name]))]
    detail = "; ".join(broken) or f"{', '.join(small)}: any number is taken, an empty batch is refused"
    return Result("number of samples", "contract", not broken, detail)


def _cases(layer: Layer, module: ModuleType, samples: int) -> Iterator[tuple[str, Case]]:
    yield from ((case.name, case) for case in cases(layer.with_batch(samples), module))


def _tried(small: Case, large: Case) -> str:
    few, many = small.draw(0), large.draw(0)
    try:
        before = small.call(few)
        large.call(many)
        if not same(small.call(few), before):
            return "other numbers after a larger batch"
    except Exception as error:  # whatever the code under check raises is its answer
        return f"raises {type(error).__name__}: {' '.join(str(error).split())}"
    batches = [n for n in few if hasattr(few[n], "shape") and few[n].shape != many[n].shape]
    for name in batches:
        axis = next(at for at, n in enumerate(few[name].shape) if n != many[name].shape[at])
        none = few[name].take([], axis)
        if str(none.shape) not in refuses(small, {**few, name: none}):
            return f"{name} without samples is not refused with its shape in the text"
        if len(batches) > 1 and not refuses(small, {**few, name: many[name]}):
            return f"{name} with another number of samples than the other inputs is accepted"
    return ""
