"""Memory that a module has not written must not be right by luck."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


@contextmanager
def unwritten_is_nan(module: ModuleType) -> Iterator[None]:
    """Hand a module memory full of NaN whenever it asks for some that is empty."""

    def empty(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        array = np.empty(shape, dtype)
        if array.dtype.kind == "f":
            array.fill(np.nan)
        return array

    numpy = module.__dict__["np"]
    module.__dict__["np"] = SimpleNamespace(**{**vars(numpy), "empty": empty})
    module.release()
    try:
        yield
    finally:
        module.__dict__["np"] = numpy
        module.release()
