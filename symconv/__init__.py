"""symconv derives, proves, generates and checks the gradients of convolutional networks' layers."""

from symconv.errors import SymconvError
from symconv.layers import (
    Activation,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
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
from symconv.verbs import Unit, check, derive, generate, prove
from symconv.version import __version__

__all__ = [
    "Activation",
    "Add",
    "AvgPool",
    "BatchNorm",
    "Concat",
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
]
