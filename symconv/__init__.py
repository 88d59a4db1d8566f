"""symconv derives, proves, generates and checks the gradients of convolutional networks' layers."""

from symconv.errors import SymconvError
from symconv.files import read_tuning
from symconv.layers import (
    Activation,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Contraction,
    Conv,
    ConvTranspose,
    Flatten,
    GlobalAvgPool,
    GlobalMaxPool,
    LayerNorm,
    Linear,
    MaxPool,
    MeanSquaredError,
    Network,
    Reshape,
    Softmax,
    SoftmaxCrossEntropy,
)
from symconv.verbs import Unit, check, derive, generate, prove, tune
from symconv.version import __version__

__all__ = [
    "Activation",
    "Add",
    "AvgPool",
    "BatchNorm",
    "Concat",
    "Contraction",
    "Conv",
    "ConvTranspose",
    "Flatten",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "LayerNorm",
    "Linear",
    "MaxPool",
    "MeanSquaredError",
    "Network",
    "Reshape",
    "Softmax",
    "SoftmaxCrossEntropy",
    "SymconvError",
    "Unit",
    "__version__",
    "check",
    "derive",
    "generate",
    "prove",
    "read_tuning",
    "tune",
]
