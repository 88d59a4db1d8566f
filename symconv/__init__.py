"""symconv derives, proves, generates and checks the gradients of convolutional networks' layers.

Names are imported when they are first used, so that ``import symconv`` costs little.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

from symconv.errors import SymconvError
from symconv.version import __version__

if TYPE_CHECKING:
    from symconv.explain.example import worked
    from symconv.explanation import Explanation
    from symconv.files import read_machine, read_tuning
    from symconv.layers import (
        Activation,
        Add,
        AvgPool,
        BatchNorm,
        BinaryCrossEntropyWithLogits,
        Concat,
        Contraction,
        Conv,
        ConvTranspose,
        Dropout,
        Filter,
        Flatten,
        GlobalAvgPool,
        GlobalMaxPool,
        GroupNorm,
        InstanceNorm,
        LayerNorm,
        Linear,
        LocalResponseNorm,
        MatMul,
        MaxPool,
        MeanSquaredError,
        Multiply,
        Network,
        Pad,
        PixelShuffle,
        PReLU,
        ReduceMax,
        ReduceMean,
        ReduceSum,
        Reshape,
        Slice,
        Softmax,
        SoftmaxCrossEntropy,
        Transpose,
        Upsample,
    )
    from symconv.loading_weights import load_weights
    from symconv.measuring import tune
    from symconv.unit import Unit
    from symconv.verbs import check, derive, explain, generate, prove

_VERBS = ("check", "derive", "explain", "generate", "prove")
_BRIDGES = ("dask", "jax", "onnx", "torch")  # packages that other libraries are needed for
_HOMES = {
    "Explanation": "explanation",
    "worked": "explain.example",
    "Unit": "unit",
    "load_weights": "loading_weights",
    "read_machine": "files",
    "read_tuning": "files",
    "tune": "measuring",
} | dict.fromkeys(_VERBS, "verbs")

__all__ = [
    "Activation",
    "Add",
    "AvgPool",
    "BatchNorm",
    "BinaryCrossEntropyWithLogits",
    "Concat",
    "Contraction",
    "Conv",
    "ConvTranspose",
    "Dropout",
    "Explanation",
    "Filter",
    "Flatten",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "Linear",
    "LocalResponseNorm",
    "MatMul",
    "MaxPool",
    "MeanSquaredError",
    "Multiply",
    "Network",
    "PReLU",
    "Pad",
    "PixelShuffle",
    "ReduceMax",
    "ReduceMean",
    "ReduceSum",
    "Reshape",
    "Slice",
    "Softmax",
    "SoftmaxCrossEntropy",
    "SymconvError",
    "Transpose",
    "Unit",
    "Upsample",
    "__version__",
    "check",
    "derive",
    "explain",
    "generate",
    "load_weights",
    "prove",
    "read_machine",
    "read_tuning",
    "tune",
    "worked",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name in _BRIDGES:
        try:
            return importlib.import_module(f"symconv.{name}")
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            raise SymconvError(f"{name}: is not installed: pip install 'symconv[{name}]'") from error
    if name not in __all__:
        plain = name[:-2] if name.endswith(("1d", "2d", "3d")) else name
        near = [plain] if plain in __all__ else difflib.get_close_matches(plain, __all__, 1)
        axes = " (the number of axes follows from input_shape)" if plain != name else ""
        meant = f"; did you mean {near[0]!r}{axes}?" if near else ""
        raise AttributeError(f"module 'symconv' has no attribute {name!r}{meant}")
    found: object = getattr(importlib.import_module(f"symconv.{_HOMES.get(name, 'layers')}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """The package: its verbs stay functions, although rooms have the same names."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _VERBS and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
